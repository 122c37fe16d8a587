"""Virtual machines in the admin. Verbs go through the services, like everywhere."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.accounts.permissions import actor_of
from apps.compute.models import VM, ConsolePassword, Nic, PortForward, Schedule, Size, Snapshot, VolumeAttachment
from apps.compute.models.console import ConsoleTicket
from apps.compute.services import vm as services
from apps.envelope.admin import ReadOnlyAdmin
from apps.operations.admin import each


@admin.register(VM)
class VMAdmin(ReadOnlyAdmin):
    list_display = [
        "name",
        "owner",
        "phase",
        "power",
        "desired_power",
        "host",
        "vcpus",
        "memory_mib",
        "created_at",
    ]
    list_filter = ["phase", "power", "host"]
    search_fields = ["name", "id"]
    list_select_related = ["owner", "host"]
    exclude = ["user_data"]
    actions = ["start", "shutdown", "power_off"]

    @admin.action(description="Start")
    def start(self, request: HttpRequest, chosen: QuerySet[VM]) -> None:
        each(request, chosen, lambda vm: services.vm_start(actor=actor_of(request), vm_id=vm.pk), "start queued")

    @admin.action(description="Shut down")
    def shutdown(self, request: HttpRequest, chosen: QuerySet[VM]) -> None:
        each(
            request,
            chosen,
            lambda vm: services.vm_shutdown(actor=actor_of(request), vm_id=vm.pk),
            "shutdown queued",
        )

    @admin.action(description="Power off")
    def power_off(self, request: HttpRequest, chosen: QuerySet[VM]) -> None:
        each(
            request,
            chosen,
            lambda vm: services.vm_power_off(actor=actor_of(request), vm_id=vm.pk),
            "power-off queued",
        )


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    list_display = ["vm", "action", "keep", "owner", "enabled", "next_run", "last_run"]
    list_filter = ["action", "enabled"]
    search_fields = ["vm__name"]
    list_select_related = ["vm", "owner"]


@admin.register(ConsoleTicket)
class ConsoleTicketAdmin(ReadOnlyAdmin):
    """Who was let into which console, and when."""

    list_display = ["kind", "vm", "user", "created_at", "used_at"]
    list_filter = ["kind"]
    search_fields = ["vm__name", "user__username"]
    list_select_related = ["vm", "user"]
    exclude = ["digest", "binding"]


@admin.register(ConsolePassword)
class ConsolePasswordAdmin(ReadOnlyAdmin):
    """Which are on their way. What is sealed is of no use to anybody here."""

    list_display = ["vm", "login", "user", "created_at", "expires_at"]
    search_fields = ["vm__name", "user__username"]
    list_select_related = ["vm", "user"]
    exclude = ["public_key", "sealed"]


@admin.register(Size)
class SizeAdmin(admin.ModelAdmin[Size]):
    """The catalogue is the one table that admins edit: VMs keep their numbers."""

    list_display = ["name", "vcpus", "memory_mib", "disk_gib", "policy"]
    list_select_related = ["policy"]


@admin.register(Nic)
class NicAdmin(ReadOnlyAdmin):
    list_display = ["mac", "ip", "vm", "network"]
    search_fields = ["mac", "ip", "vm__name"]
    list_select_related = ["vm", "network"]


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnlyAdmin):
    list_display = ["name", "vm", "phase", "current", "memory", "foreign", "taken_at"]
    list_filter = ["phase", "foreign", "memory"]
    search_fields = ["name", "vm__name", "id", "host_name"]
    list_select_related = ["vm"]


@admin.register(PortForward)
class PortForwardAdmin(ReadOnlyAdmin):
    list_display = ["name", "host", "vm", "guest_port", "phase", "reason"]
    list_filter = ["phase", "host"]
    list_select_related = ["host", "vm"]


@admin.register(VolumeAttachment)
class VolumeAttachmentAdmin(ReadOnlyAdmin):
    list_display = ["volume", "vm", "target", "state", "created_at"]
    list_filter = ["state"]
    search_fields = ["volume__name", "vm__name"]
    list_select_related = ["volume", "vm"]
