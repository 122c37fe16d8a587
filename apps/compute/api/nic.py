"""Network interfaces and port forwards in the API."""

import uuid

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.accounts.permissions import actor_of
from apps.compute.models import ForwardPhase, Nic, NicPhase, PortForward
from apps.compute.selectors.nic import forwards_of, nics_of
from apps.compute.services import nic as nic_services
from apps.compute.services import port_forward as forward_services
from apps.compute.services.nic import NicChange
from apps.compute.services.port_forward import ForwardChange
from apps.envelope.filters import DocumentedFilters
from apps.envelope.mutation import Answer, mutation
from apps.envelope.parameters import MUTATION
from apps.envelope.serializers import EmptySerializer, StrictSerializer, validated
from apps.operations.api import OperationSerializer, accepted


class NicSerializer(serializers.ModelSerializer[Nic]):
    """A network interface of a VM. In a lan the address is not ours to know."""

    vm = serializers.UUIDField(source="vm_id", read_only=True)
    network = serializers.CharField(source="network.name", read_only=True)
    network_id = serializers.UUIDField(read_only=True)
    kind = serializers.CharField(source="network.kind", read_only=True)
    status = serializers.ChoiceField(choices=NicPhase.choices, source="phase", read_only=True)

    class Meta:
        model = Nic
        fields = ["id", "vm", "network", "network_id", "kind", "mac", "ip", "status", "created_at"]
        read_only_fields = fields


class NicCreateSerializer(StrictSerializer):
    network = serializers.CharField(max_length=63)


class PortForwardSerializer(serializers.ModelSerializer[PortForward]):
    """A port of the host that leads to a port of a VM."""

    vm = serializers.UUIDField(source="vm_id", read_only=True)
    host = serializers.CharField(source="host.name", read_only=True)
    address = serializers.IPAddressField(source="nic.ip", read_only=True)
    status = serializers.ChoiceField(choices=ForwardPhase.choices, source="phase", read_only=True)

    class Meta:
        model = PortForward
        fields = [
            "id",
            "vm",
            "host",
            "protocol",
            "host_port",
            "address",
            "guest_port",
            "status",
            "reason",
            "created_at",
        ]
        read_only_fields = fields


class PortForwardCreateSerializer(StrictSerializer):
    host_port = serializers.IntegerField()
    guest_port = serializers.IntegerField()
    protocol = serializers.ChoiceField(choices=["tcp", "udp"], required=False)


NIC_ACCEPTED = {
    202: inline_serializer("NicAccepted", {"nic": NicSerializer(), "operation": OperationSerializer()}),
}
FORWARD_ACCEPTED = {
    202: inline_serializer(
        "PortForwardAccepted", {"port_forward": PortForwardSerializer(), "operation": OperationSerializer()}
    ),
}


def _nic_accepted(change: NicChange) -> Answer:
    resource = dict(NicSerializer(change.nic).data)
    return accepted(name="nic", resource=resource, operation=change.operation, plan=change.plan)


def _forward_accepted(change: ForwardChange) -> Answer:
    resource = dict(PortForwardSerializer(change.forward).data)
    return accepted(name="port_forward", resource=resource, operation=change.operation, plan=change.plan)


class NicListView(generics.ListAPIView[Nic]):
    """The network interfaces of a VM."""

    serializer_class = NicSerializer
    filter_backends = [DocumentedFilters]
    ordering_fields = ("created_at",)
    queryset = Nic.objects.none()

    def get_queryset(self) -> QuerySet[Nic]:
        return nics_of(actor=actor_of(self.request), vm_id=self.kwargs["vm_id"])

    @extend_schema(request=NicCreateSerializer, responses=NIC_ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """Put the VM into one more network of its host."""
        values = validated(NicCreateSerializer, request)
        return _nic_accepted(nic_services.nic_create(actor=actor_of(request), vm_id=vm_id, **values))


class NicView(APIView):
    """One network interface."""

    @extend_schema(request=None, responses=NIC_ACCEPTED, parameters=MUTATION)
    @mutation
    def delete(self, request: Request, nic_id: uuid.UUID) -> Answer:
        """Take the VM out of a network. 409 for its last interface, or while ports lead to it."""
        validated(EmptySerializer, request)
        return _nic_accepted(nic_services.nic_delete(actor=actor_of(request), nic_id=nic_id))


class PortForwardListView(generics.ListAPIView[PortForward]):
    """The ports of the host that lead to a VM."""

    serializer_class = PortForwardSerializer
    filter_backends = [DocumentedFilters]
    ordering_fields = ("created_at", "host_port")
    queryset = PortForward.objects.none()

    def get_queryset(self) -> QuerySet[PortForward]:
        return forwards_of(actor=actor_of(self.request), vm_id=self.kwargs["vm_id"])

    @extend_schema(request=PortForwardCreateSerializer, responses=FORWARD_ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """Open a port of the host to the VM."""
        values = validated(PortForwardCreateSerializer, request)
        change = forward_services.port_forward_create(actor=actor_of(request), vm_id=vm_id, **values)
        return _forward_accepted(change)


class PortForwardView(APIView):
    """One port forward."""

    @extend_schema(request=None, responses=FORWARD_ACCEPTED, parameters=MUTATION)
    @mutation
    def delete(self, request: Request, forward_id: uuid.UUID) -> Answer:
        """Close the port."""
        validated(EmptySerializer, request)
        change = forward_services.port_forward_delete(actor=actor_of(request), forward_id=forward_id)
        return _forward_accepted(change)
