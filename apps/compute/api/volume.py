"""Data volumes in the API, and the limits of root disks."""

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
from apps.compute.api.vm import ACCEPTED as VM_ACCEPTED
from apps.compute.api.vm import VMSerializer
from apps.compute.selectors.vm import vm_for
from apps.compute.selectors.volume import STATUSES, volume_for, volumes_for
from apps.compute.services import volume as services
from apps.compute.services import volume_attachment as attachments
from apps.envelope.filters import DocumentedFilters
from apps.envelope.mutation import Answer, Plan, mutation
from apps.envelope.parameters import MUTATION
from apps.envelope.references import ReferenceFilter
from apps.envelope.serializers import EmptySerializer, StrictSerializer, validated
from apps.names import NameField
from apps.operations.api import OperationSerializer, accepted
from apps.operations.models import Operation
from apps.storage.models import Volume


class VolumeVMSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()


class VolumeSerializer(serializers.ModelSerializer[Volume]):
    """A data volume. ``device`` is where a Linux guest that has it finds it, ``target`` its disk in the definition."""

    status = serializers.ChoiceField(choices=STATUSES, read_only=True)
    host = serializers.CharField(source="host.name", default=None, allow_null=True, read_only=True)
    vm = serializers.SerializerMethodField()
    target = serializers.SerializerMethodField()
    device = serializers.CharField(read_only=True)

    class Meta:
        model = Volume
        fields = [
            "id",
            "name",
            "status",
            "reason",
            "host",
            "size_gib",
            "vm",
            "target",
            "device",
            "iops",
            "bandwidth_mib_s",
            "created_at",
        ]
        read_only_fields = fields

    @extend_schema_field(VolumeVMSerializer(allow_null=True))
    def get_vm(self, volume: Volume) -> dict[str, Any] | None:
        attachment = getattr(volume, "attachment", None)
        return {"id": str(attachment.vm_id), "name": attachment.vm.name} if attachment else None

    def get_target(self, volume: Volume) -> str | None:
        attachment = getattr(volume, "attachment", None)
        return attachment.target if attachment else None


class VolumeCreateSerializer(StrictSerializer):
    name = NameField()
    size_gib = serializers.IntegerField()
    host = serializers.CharField(max_length=63, required=False)
    vm = serializers.CharField(max_length=63, required=False)
    iops = serializers.IntegerField(required=False)
    bandwidth_mib_s = serializers.IntegerField(required=False)


class VolumeUpdateSerializer(StrictSerializer):
    name = NameField(required=False)
    iops = serializers.IntegerField(required=False)
    bandwidth_mib_s = serializers.IntegerField(required=False)


class VolumeAttachSerializer(StrictSerializer):
    vm = serializers.CharField(max_length=63)


class VolumeResizeSerializer(StrictSerializer):
    size_gib = serializers.IntegerField()


class IOLimitsSerializer(StrictSerializer):
    """0 is no limit."""

    iops = serializers.IntegerField(required=False)
    bandwidth_mib_s = serializers.IntegerField(required=False)


class VolumeFilter(filters.FilterSet):
    status = filters.MultipleChoiceFilter(choices=[(status, status) for status in STATUSES])
    host = ReferenceFilter(field_name="host")
    vm = ReferenceFilter(field_name="attachment__vm")
    name = filters.CharFilter()
    search = filters.CharFilter(field_name="name", lookup_expr="icontains")

    class Meta:
        model = Volume
        fields = ["status", "host", "vm", "name", "search"]


ACCEPTED = {
    202: inline_serializer("VolumeAccepted", {"volume": VolumeSerializer(), "operation": OperationSerializer()}),
}


def _shown(request: Request, volume_id: uuid.UUID) -> dict[str, Any]:
    return dict(VolumeSerializer(volume_for(actor=actor_of(request), volume_id=volume_id)).data)


def _accepted(request: Request, volume_id: uuid.UUID, operation: Operation, plan: Plan) -> Answer:
    return accepted(name="volume", resource=_shown(request, volume_id), operation=operation, plan=plan)


def _answer(request: Request, change: services.VolumeChange) -> Answer:
    """202 with the operation; 200 where our records alone were changed."""
    if change.operation is not None:
        return _accepted(request, change.volume.pk, change.operation, change.plan)
    return Answer(status=200, plan=change.plan, body=_shown(request, change.volume.pk))


class VolumeListView(generics.ListAPIView[Volume]):
    """Data volumes, newest first."""

    serializer_class = VolumeSerializer
    filter_backends = [DocumentedFilters]
    filterset_class = VolumeFilter
    ordering_fields = ("created_at", "name")
    queryset = Volume.objects.none()

    def get_queryset(self) -> QuerySet[Volume]:
        return volumes_for(actor=actor_of(self.request))

    @extend_schema(request=VolumeCreateSerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request) -> Answer:
        """Create an empty volume, on the host of ``vm``, on ``host``, or where the most disk is free."""
        values = validated(VolumeCreateSerializer, request)
        return _answer(request, services.volume_create(actor=actor_of(request), **values))


class VolumeView(APIView):
    """One data volume."""

    @extend_schema(responses=VolumeSerializer)
    def get(self, request: Request, volume_id: uuid.UUID) -> Response:
        return Response(_shown(request, volume_id))

    @extend_schema(request=VolumeUpdateSerializer, responses={200: VolumeSerializer, **ACCEPTED}, parameters=MUTATION)
    @mutation
    def patch(self, request: Request, volume_id: uuid.UUID) -> Answer:
        """Rename or limit it. New limits of an attached volume are an operation (202), everything else is not."""
        values = validated(VolumeUpdateSerializer, request)
        return _answer(request, services.volume_update(actor=actor_of(request), volume_id=volume_id, **values))

    @extend_schema(request=None, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def delete(self, request: Request, volume_id: uuid.UUID) -> Answer:
        """Delete the volume and everything on it."""
        validated(EmptySerializer, request)
        return _answer(request, services.volume_delete(actor=actor_of(request), volume_id=volume_id))


class VolumeAttachView(APIView):
    @extend_schema(request=VolumeAttachSerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request, volume_id: uuid.UUID) -> Answer:
        """Attach it to a VM on the same host; a running guest sees it at once."""
        vm = validated(VolumeAttachSerializer, request)["vm"]
        change = attachments.volume_attach(actor=actor_of(request), volume_id=volume_id, vm=vm)
        return _accepted(request, volume_id, change.operation, change.plan)


class VolumeDetachView(APIView):
    @extend_schema(request=EmptySerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request, volume_id: uuid.UUID) -> Answer:
        """Detach it. Fails when the guest does not let go of it."""
        validated(EmptySerializer, request)
        change = attachments.volume_detach(actor=actor_of(request), volume_id=volume_id)
        return _accepted(request, volume_id, change.operation, change.plan)


class VolumeResizeView(APIView):
    @extend_schema(request=VolumeResizeSerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request, volume_id: uuid.UUID) -> Answer:
        """Grow it, attached or not. A volume never shrinks."""
        values = validated(VolumeResizeSerializer, request)
        return _answer(request, services.volume_resize(actor=actor_of(request), volume_id=volume_id, **values))


class VMIOLimitsView(APIView):
    """The limits of a VM's root disk; those of a data volume are its own."""

    @extend_schema(responses=IOLimitsSerializer)
    def get(self, request: Request, vm_id: uuid.UUID) -> Response:
        disk = vm_for(actor=actor_of(request), vm_id=vm_id).root_volume
        iops, bandwidth = (disk.iops, disk.bandwidth_mib_s) if disk else (0, 0)
        return Response({"iops": iops, "bandwidth_mib_s": bandwidth})

    @extend_schema(request=IOLimitsSerializer, responses=VM_ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """Limit the root disk, at once where the VM runs. What is not given stays."""
        values = validated(IOLimitsSerializer, request)
        change = services.vm_io_limits(actor=actor_of(request), vm_id=vm_id, **values)
        shown = dict(VMSerializer(vm_for(actor=actor_of(request), vm_id=vm_id)).data)
        return accepted(name="vm", resource=shown, operation=change.operation, plan=change.plan)
