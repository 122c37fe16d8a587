"""Snapshots in the API."""

import uuid
from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.permissions import actor_of
from apps.compute.models import Snapshot, SnapshotPhase
from apps.compute.selectors.snapshot import snapshot_for, snapshots_for
from apps.compute.selectors.vm import vm_for
from apps.compute.services import snapshot as services
from apps.envelope.filters import BooleanFilter, DocumentedFilters
from apps.envelope.mutation import Answer, mutation
from apps.envelope.parameters import MUTATION
from apps.envelope.references import ReferenceFilter
from apps.envelope.serializers import EmptySerializer, StrictSerializer, validated
from apps.names import NameField
from apps.operations.api import OperationSerializer, accepted

NEVER_QUIESCED = (
    "Whether the guest's file systems were frozen. Never: libvirt freezes only for snapshots in files of their own,"
    " and a snapshot with memory needs no freeze."
)


class SnapshotSerializer(serializers.ModelSerializer[Snapshot]):
    """A snapshot; power and sizes are what a revert brings back."""

    vm = serializers.UUIDField(source="vm_id", read_only=True)
    vm_name = serializers.CharField(source="vm.name", read_only=True)
    parent = serializers.UUIDField(source="parent_id", allow_null=True, read_only=True)  # type: ignore[assignment]  # DRF uses the name too
    schedule = serializers.UUIDField(source="schedule_id", allow_null=True, read_only=True)
    status = serializers.ChoiceField(choices=SnapshotPhase.choices, source="phase", read_only=True)
    quiesced = serializers.SerializerMethodField(help_text=NEVER_QUIESCED)

    class Meta:
        model = Snapshot
        fields = [
            "id",
            "name",
            "vm",
            "vm_name",
            "schedule",
            "status",
            "reason",
            "parent",
            "current",
            "memory",
            "quiesced",
            "power",
            "vcpus",
            "memory_mib",
            "disk_gib",
            "foreign",
            "external",
            "taken_at",
            "created_at",
        ]
        read_only_fields = fields

    def get_quiesced(self, _snapshot: Snapshot) -> bool:
        return False


class SnapshotCreateSerializer(StrictSerializer):
    name = NameField()
    memory = serializers.BooleanField(required=False, help_text="Default: whether the VM is on.")


class SnapshotFilter(filters.FilterSet):
    vm = ReferenceFilter(field_name="vm")
    name = filters.CharFilter()
    status = filters.MultipleChoiceFilter(field_name="phase", choices=SnapshotPhase.choices)
    foreign = BooleanFilter()
    current = BooleanFilter()

    class Meta:
        model = Snapshot
        fields = ["vm", "name", "status", "foreign", "current"]


ACCEPTED = {
    202: inline_serializer("SnapshotAccepted", {"snapshot": SnapshotSerializer(), "operation": OperationSerializer()}),
}


def _accepted(change: services.SnapshotChange) -> Answer:
    shown = dict(SnapshotSerializer(change.snapshot).data)
    return accepted(name="snapshot", resource=shown, operation=change.operation, plan=change.plan)


class SnapshotListView(generics.ListAPIView[Snapshot]):
    """Snapshots of all VMs, newest first."""

    serializer_class = SnapshotSerializer
    filter_backends = [DocumentedFilters]
    filterset_class = SnapshotFilter
    ordering_fields = ("created_at", "name")
    queryset = Snapshot.objects.none()

    def get_queryset(self) -> QuerySet[Snapshot]:
        return snapshots_for(actor=actor_of(self.request))


class VMSnapshotListView(generics.ListAPIView[Snapshot]):
    """Snapshots of one VM, newest first."""

    serializer_class = SnapshotSerializer
    filter_backends = [DocumentedFilters]
    ordering_fields = ("created_at", "name")
    queryset = Snapshot.objects.none()

    def get_queryset(self) -> QuerySet[Snapshot]:
        actor = actor_of(self.request)
        return snapshots_for(actor=actor).filter(vm=vm_for(actor=actor, vm_id=self.kwargs["vm_id"]))

    @extend_schema(request=SnapshotCreateSerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """Take a snapshot: with the memory of a VM that is on, of the disks alone of one that is off."""
        values = validated(SnapshotCreateSerializer, request)
        return _accepted(services.snapshot_create(actor=actor_of(request), vm_id=vm_id, **values))


class SnapshotView(APIView):
    """One snapshot."""

    @extend_schema(responses=SnapshotSerializer)
    def get(self, request: Request, snapshot_id: uuid.UUID) -> Response:
        snapshot = snapshot_for(actor=actor_of(request), snapshot_id=snapshot_id)
        data: dict[str, Any] = dict(SnapshotSerializer(snapshot).data)
        return Response(data)

    @extend_schema(request=None, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def delete(self, request: Request, snapshot_id: uuid.UUID) -> Answer:
        """Delete the snapshot. The VM and its other snapshots stay as they are."""
        validated(EmptySerializer, request)
        return _accepted(services.snapshot_delete(actor=actor_of(request), snapshot_id=snapshot_id))


class SnapshotRevertView(APIView):
    @extend_schema(request=EmptySerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request, snapshot_id: uuid.UUID) -> Answer:
        """Make the VM what it was: disks, memory, size and power. What it did since is lost."""
        validated(EmptySerializer, request)
        return _accepted(services.snapshot_revert(actor=actor_of(request), snapshot_id=snapshot_id))
