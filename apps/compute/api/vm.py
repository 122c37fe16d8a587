"""Virtual machines and sizes in the API."""

import uuid
from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field, inline_serializer
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.permissions import actor_of
from apps.compute.models import VM, Phase, Size
from apps.compute.selectors.vm import ROW, STATUSES, sizes, vm_addresses, vm_row, vm_rows, vms_for
from apps.compute.services import vm as services
from apps.compute.services.group import vm_group
from apps.compute.services.trash import vm_restore
from apps.compute.services.vm import VMChange
from apps.envelope.filters import DocumentedFilters
from apps.envelope.mutation import Answer, Plan, mutation
from apps.envelope.parameters import MUTATION
from apps.envelope.references import ReferenceFilter
from apps.envelope.serializers import EmptySerializer, StrictSerializer, validated
from apps.names import NameField
from apps.operations.api import OperationSerializer, accepted
from apps.storage.models import Devices, Firmware


class AddressSerializer(serializers.Serializer[Any]):
    ip = serializers.IPAddressField()
    source = serializers.ChoiceField(choices=["reserved", "lease", "arp", "agent"])  # type: ignore[assignment]  # DRF uses the name too


class VMSerializer(serializers.ModelSerializer[VM]):
    """A virtual machine; its id is the libvirt domain UUID."""

    status = serializers.ChoiceField(choices=STATUSES, read_only=True)
    host = serializers.CharField(source="host.name", default=None, allow_null=True, read_only=True)
    size = serializers.CharField(source="size_id", allow_null=True, read_only=True)
    image = serializers.CharField(source="image.name", default=None, allow_null=True, read_only=True)
    policy = serializers.CharField(source="policy.name", default=None, allow_null=True, read_only=True)
    group = serializers.CharField(source="group.name", default=None, allow_null=True, read_only=True)
    architecture = serializers.CharField(read_only=True)
    rescued = serializers.BooleanField(read_only=True, help_text="Whether it is booted from a rescue system.")
    cdrom = serializers.CharField(source="cdrom.name", default=None, allow_null=True, read_only=True)
    addresses = serializers.SerializerMethodField()
    max_vcpus = serializers.IntegerField(source="most_vcpus", read_only=True)
    max_memory_mib = serializers.IntegerField(source="most_memory_mib", read_only=True)

    class Meta:
        model = VM
        fields = [
            "id",
            "name",
            "status",
            "reason",
            "power",
            "observed_at",
            "desired_power",
            "host",
            "size",
            "vcpus",
            "memory_mib",
            "disk_gib",
            "max_vcpus",
            "max_memory_mib",
            "image",
            "policy",
            "group",
            "cpu_features",
            "architecture",
            "firmware",
            "devices",
            "rescued",
            "cdrom",
            "addresses",
            "protected",
            "start_on_boot",
            "boot_order",
            "tags",
            "notes",
            "created_at",
            "trashed_until",
        ]
        read_only_fields = fields

    @extend_schema_field(AddressSerializer(many=True))
    def get_addresses(self, vm: VM) -> list[dict[str, str]]:
        return vm_addresses(vm)


class SizeSerializer(serializers.ModelSerializer[Size]):
    policy = serializers.CharField(source="policy.name", default=None, allow_null=True, read_only=True)

    class Meta:
        model = Size
        fields = ["name", "vcpus", "memory_mib", "disk_gib", "policy"]
        read_only_fields = fields


class VMCreateSerializer(StrictSerializer):
    name = NameField()
    image = serializers.CharField(max_length=63)
    size = serializers.CharField(max_length=63, required=False)
    vcpus = serializers.IntegerField(required=False)
    memory_mib = serializers.IntegerField(required=False)
    disk_gib = serializers.IntegerField(required=False)
    max_vcpus = serializers.IntegerField(required=False)
    max_memory_mib = serializers.IntegerField(required=False)
    ssh_keys = serializers.ListField(child=serializers.CharField(max_length=63), max_length=50, required=False)
    user_data = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)
    host = serializers.CharField(max_length=63, required=False)
    network = serializers.CharField(max_length=63, required=False, help_text="Id or name; default: the host's own.")
    policy = serializers.CharField(max_length=63, required=False, help_text="Id or name; default: the installation's.")
    group = serializers.CharField(max_length=63, required=False, help_text="A placement group of yours, by id or name.")
    cpu_features = serializers.ListField(
        child=serializers.CharField(max_length=32),
        max_length=20,
        required=False,
        help_text="What it needs of its CPU: features such as avx2, or a level such as x86-64-v3.",
    )
    placement = serializers.UUIDField(required=False, help_text="A reservation, whose room it takes.")
    tags = serializers.ListField(child=serializers.CharField(), max_length=20, required=False)
    start_on_boot = serializers.BooleanField(required=False)
    firmware = serializers.ChoiceField(choices=Firmware.choices, required=False)
    devices = serializers.ChoiceField(choices=Devices.choices, required=False)


class VMUpdateSerializer(StrictSerializer):
    protected = serializers.BooleanField(required=False)
    start_on_boot = serializers.BooleanField(required=False)
    boot_order = serializers.IntegerField(required=False)
    group = serializers.CharField(
        max_length=63, required=False, allow_null=True, help_text="A placement group of its owner's, by id or name."
    )
    tags = serializers.ListField(child=serializers.CharField(), max_length=20, required=False)
    notes = serializers.CharField(required=False, allow_blank=True, max_length=10000)


class ShutdownSerializer(StrictSerializer):
    timeout_s = serializers.IntegerField(required=False)
    on_timeout = serializers.ChoiceField(choices=["leave", "power-off"], required=False)


class VMDeleteSerializer(StrictSerializer):
    permanent = serializers.BooleanField(required=False, help_text="At once, past or out of the trash.")


class RenameSerializer(StrictSerializer):
    name = NameField()


class VMFilter(filters.FilterSet):
    status = filters.MultipleChoiceFilter(choices=[(status, status) for status in STATUSES])
    host = ReferenceFilter(field_name="host")
    image = ReferenceFilter(field_name="image")
    group = ReferenceFilter(field_name="group")
    name = filters.CharFilter()
    tag = filters.CharFilter(method="with_tag")
    search = filters.CharFilter(field_name="name", lookup_expr="icontains")

    class Meta:
        model = VM
        fields = ["status", "host", "image", "group", "name", "tag", "search"]

    def filter_queryset(self, queryset: QuerySet[VM]) -> QuerySet[VM]:
        """What is in the trash is listed only if asked for by its status."""
        found: QuerySet[VM] = super().filter_queryset(queryset)
        return found if "trashed" in self.form.cleaned_data["status"] else found.exclude(phase=Phase.TRASHED)

    def with_tag(self, queryset: QuerySet[VM], _name: str, value: str) -> QuerySet[VM]:
        return queryset.filter(tags__contains=[value])


ACCEPTED = {
    202: inline_serializer("VMAccepted", {"vm": VMSerializer(), "operation": OperationSerializer()}),
}


def as_serialized(row: dict[str, Any]) -> dict[str, Any]:
    """A row as ``VMSerializer`` shows the VM."""
    named = {
        **row,
        "host": row["host__name"],
        "image": row["image__name"],
        "policy": row["policy__name"],
        "group": row["group__name"],
        "size": row["size_id"],
        "observed_at": row["seen_at"],
        "architecture": row["image__architecture"] or "x86_64",
        "rescued": row["rescue_image_id"] is not None,
        "cdrom": row["cdrom__name"],
    }
    named |= {most: row[most] or row[most.removeprefix("max_")] for most in ("max_vcpus", "max_memory_mib")}
    return {field: named[field] for field in VMSerializer.Meta.fields}


def _shown(request: Request, vm_id: uuid.UUID) -> dict[str, Any]:
    return as_serialized(vm_row(actor=actor_of(request), vm_id=vm_id))


def answer_accepted(request: Request, change: VMChange) -> Answer:
    """202 with the VM as it is now and the operation."""
    vm = _shown(request, change.vm.pk)
    return accepted(name="vm", resource=vm, operation=change.operation, plan=change.plan)


class VMListView(generics.ListAPIView[VM]):
    """Virtual machines, newest first."""

    serializer_class = VMSerializer
    filter_backends = [DocumentedFilters]
    filterset_class = VMFilter
    ordering_fields = ("created_at", "name")
    queryset = VM.objects.none()

    def get_queryset(self) -> QuerySet[VM]:
        return vms_for(actor=actor_of(self.request)).prefetch_related(None)

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Straight from the columns: objects and a serializer would take most of the time of a long list."""
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset()).values(*ROW))
        return self.get_paginated_response([as_serialized(row) for row in vm_rows(rows or [])])

    @extend_schema(request=VMCreateSerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request) -> Answer:
        """Create a VM."""
        return answer_accepted(
            request, services.vm_create(actor=actor_of(request), **validated(VMCreateSerializer, request))
        )


class VMView(APIView):
    """One virtual machine."""

    @extend_schema(responses=VMSerializer)
    def get(self, request: Request, vm_id: uuid.UUID) -> Response:
        return Response(_shown(request, vm_id))

    @extend_schema(request=VMUpdateSerializer, responses=VMSerializer, parameters=MUTATION)
    @mutation
    def patch(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """Change protection, start on boot and its order, group, tags or notes. No host is touched."""
        values = validated(VMUpdateSerializer, request)
        change = f"set {', '.join(sorted(values)) or 'nothing'}"
        if "group" in values:
            vm_group(actor=actor_of(request), vm_id=vm_id, group=values.pop("group"))
        return _changed(request, services.vm_update(actor=actor_of(request), vm_id=vm_id, **values), change)

    @extend_schema(request=VMDeleteSerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def delete(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """Put the VM into the trash, or delete it and its disk.

        It is deleted with `permanent` (also out of the trash), if it is not ready, and where the trash is switched off.
        """
        values = validated(VMDeleteSerializer, request)
        return answer_accepted(request, services.vm_delete(actor=actor_of(request), vm_id=vm_id, **values))


def _changed(request: Request, vm: VM, change: str) -> Answer:
    return Answer(status=200, plan=Plan(changes=(change,)), body=_shown(request, vm.pk))


class VMRestoreView(APIView):
    @extend_schema(request=EmptySerializer, responses=VMSerializer, parameters=MUTATION)
    @mutation
    def post(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """Take it out of the trash. It stays off."""
        validated(EmptySerializer, request)
        vm = vm_restore(actor=actor_of(request), vm_id=vm_id)
        return _changed(request, vm, f"take {vm.name} out of the trash; it stays off")


class VMRenameView(APIView):
    @extend_schema(request=RenameSerializer, responses=VMSerializer, parameters=MUTATION)
    @mutation
    def post(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """Give it another name. The libvirt name and the host name inside stay."""
        name = validated(RenameSerializer, request)["name"]
        return _changed(
            request, services.vm_rename(actor=actor_of(request), vm_id=vm_id, name=name), f"rename to {name}"
        )


class VMShutdownView(APIView):
    @extend_schema(request=ShutdownSerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """Press the power button, wait, then leave it or pull the plug."""
        values = validated(ShutdownSerializer, request)
        return answer_accepted(request, services.vm_shutdown(actor=actor_of(request), vm_id=vm_id, **values))


class _VerbView(APIView):
    """A verb without arguments."""

    verb: Any

    @extend_schema(request=EmptySerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request, vm_id: uuid.UUID) -> Answer:
        validated(EmptySerializer, request)
        return answer_accepted(request, type(self).verb(actor=actor_of(request), vm_id=vm_id))


class VMStartView(_VerbView):
    """Start it."""

    verb = staticmethod(services.vm_start)


class VMPowerOffView(_VerbView):
    """Pull the plug."""

    verb = staticmethod(services.vm_power_off)


class VMRebootView(_VerbView):
    """Ask the guest to restart."""

    verb = staticmethod(services.vm_reboot)


class VMResetView(_VerbView):
    """Press reset."""

    verb = staticmethod(services.vm_reset)


class VMPauseView(_VerbView):
    """Hold its processors."""

    verb = staticmethod(services.vm_pause)


class VMResumeView(_VerbView):
    """Let a paused one run on."""

    verb = staticmethod(services.vm_resume)


class SizeListView(generics.ListAPIView[Size]):
    """The catalogue of sizes, smallest first."""

    serializer_class = SizeSerializer
    filter_backends = [DocumentedFilters]
    ordering = ("vcpus", "memory_mib", "name")
    queryset = sizes()
