"""Hosts in the admin."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.accounts.permissions import actor_of
from apps.envelope.admin import ReadOnlyAdmin
from apps.hosts import services
from apps.hosts.models import Allocation, Host, Installation
from apps.operations.admin import each


@admin.register(Host)
class HostAdmin(ReadOnlyAdmin):
    list_display = ["name", "uri", "status", "enabled", "accelerator", "cpus", "memory_mib", "observed_at"]
    list_filter = ["status", "enabled", "accelerator"]
    search_fields = ["name", "address", "hostname"]
    actions = ["probe", "open_for_vms", "close_for_vms"]

    @admin.action(description="Probe")
    def probe(self, request: HttpRequest, chosen: QuerySet[Host]) -> None:
        each(
            request,
            chosen,
            lambda host: services.host_probe(actor=actor_of(request), host_id=host.pk),
            "probe queued",
        )

    @admin.action(description="Open for new VMs")
    def open_for_vms(self, request: HttpRequest, chosen: QuerySet[Host]) -> None:
        each(request, chosen, lambda host: self._enable(request, host, enabled=True), "open")

    @admin.action(description="Close for new VMs")
    def close_for_vms(self, request: HttpRequest, chosen: QuerySet[Host]) -> None:
        each(request, chosen, lambda host: self._enable(request, host, enabled=False), "closed")

    def _enable(self, request: HttpRequest, host: Host, *, enabled: bool) -> None:
        services.host_update(actor=actor_of(request), host_id=host.pk, enabled=enabled)


@admin.register(Allocation)
class AllocationAdmin(ReadOnlyAdmin):
    list_display = ["label", "host", "kind", "vcpus", "memory_mib", "disk_gib"]
    list_filter = ["kind", "host"]
    search_fields = ["label", "consumer_id"]
    list_select_related = ["host"]


@admin.register(Installation)
class InstallationAdmin(ReadOnlyAdmin):
    list_display = ["id"]
