"""Networks in the API."""

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
from apps.envelope.filters import DocumentedFilters
from apps.envelope.mutation import Answer, Plan, mutation
from apps.envelope.parameters import MUTATION
from apps.envelope.references import ReferenceFilter
from apps.envelope.serializers import EmptySerializer, StrictSerializer, validated
from apps.names import NameField
from apps.network import services
from apps.network.models import Network, NetworkKind, NetworkPhase
from apps.network.selectors import network_for, networks_for
from apps.network.services import NetworkChange
from apps.operations.api import OperationSerializer, accepted


class NetworkSerializer(serializers.ModelSerializer[Network]):
    """A network on one host. The built-in one, called ``default``, is every host's own."""

    status = serializers.ChoiceField(choices=NetworkPhase.choices, source="phase", read_only=True)
    host = serializers.CharField(source="host.name", read_only=True)
    builtin = serializers.BooleanField(read_only=True)

    class Meta:
        model = Network
        fields = ["id", "name", "kind", "cidr", "host", "device", "shared", "builtin", "status", "reason", "created_at"]
        read_only_fields = fields


class NetworkCreateSerializer(StrictSerializer):
    name = NameField()
    kind = serializers.ChoiceField(choices=NetworkKind.choices)
    cidr = serializers.CharField(max_length=18, required=False, help_text="/24 to /29; the first free /24 if left out.")
    host = serializers.CharField(max_length=63, required=False, help_text="For administrators; else one is chosen.")
    device = serializers.RegexField(
        r"^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$",
        required=False,
        help_text="lan: the host's bridge or network card, where it cannot be read (qemu+tls).",
    )
    shared = serializers.BooleanField(required=False)


class NetworkUpdateSerializer(StrictSerializer):
    name = NameField(required=False)
    shared = serializers.BooleanField(required=False)


class NetworkFilter(filters.FilterSet):
    host = ReferenceFilter(field_name="host")
    kind = filters.MultipleChoiceFilter(choices=NetworkKind.choices)
    name = filters.CharFilter()
    search = filters.CharFilter(field_name="name", lookup_expr="icontains")

    class Meta:
        model = Network
        fields = ["host", "kind", "name", "search"]


ACCEPTED = {
    202: inline_serializer("NetworkAccepted", {"network": NetworkSerializer(), "operation": OperationSerializer()}),
}


def _accepted(change: NetworkChange) -> Answer:
    resource = dict(NetworkSerializer(change.network).data)
    return accepted(name="network", resource=resource, operation=change.operation, plan=change.plan)


class NetworkListView(generics.ListAPIView[Network]):
    """Networks: one's own, and those that everybody may use."""

    serializer_class = NetworkSerializer
    filter_backends = [DocumentedFilters]
    filterset_class = NetworkFilter
    ordering_fields = ("created_at", "name")
    queryset = Network.objects.none()

    def get_queryset(self) -> QuerySet[Network]:
        return networks_for(actor=actor_of(self.request))

    @extend_schema(request=NetworkCreateSerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request) -> Answer:
        """Create a network on one host."""
        values = validated(NetworkCreateSerializer, request)
        return _accepted(services.network_create(actor=actor_of(request), **values))


class NetworkView(APIView):
    """One network."""

    @extend_schema(responses=NetworkSerializer)
    def get(self, request: Request, network_id: uuid.UUID) -> Response:
        return Response(NetworkSerializer(network_for(actor=actor_of(request), network_id=network_id)).data)

    @extend_schema(request=NetworkUpdateSerializer, responses=NetworkSerializer, parameters=MUTATION)
    @mutation
    def patch(self, request: Request, network_id: uuid.UUID) -> Answer:
        """Rename it, or share it with everybody. No host is touched."""
        values: dict[str, Any] = validated(NetworkUpdateSerializer, request)
        network = services.network_update(actor=actor_of(request), network_id=network_id, **values)
        plan = Plan(changes=tuple(f"set {name} to {value}" for name, value in values.items()))
        return Answer(status=200, plan=plan, body=dict(NetworkSerializer(network).data))

    @extend_schema(request=None, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def delete(self, request: Request, network_id: uuid.UUID) -> Answer:
        """Delete it. 409 while machines are in it, naming them; the built-in one stays."""
        validated(EmptySerializer, request)
        return _accepted(services.network_delete(actor=actor_of(request), network_id=network_id))
