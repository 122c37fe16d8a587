"""Hosts in the API. Everything here is for administrators."""

import uuid
from dataclasses import replace
from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field, inline_serializer
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.permissions import AdminOnly, actor_of
from apps.envelope.filters import DocumentedFilters
from apps.envelope.mutation import Answer, Plan, is_dry_run, mutation
from apps.envelope.parameters import MUTATION
from apps.envelope.serializers import EmptySerializer, StrictSerializer, validated
from apps.hosts import services
from apps.hosts.models import Accelerator, Host, HostStatus, Transport
from apps.hosts.selectors import host_for, hosts_for
from apps.hosts.services import fingerprint_of
from apps.hosts.setup import setup_for
from apps.names import NameField
from apps.operations.api import OperationSerializer, accepted


class AcceleratorSerializer(serializers.Serializer[Any]):
    wanted = serializers.ChoiceField(choices=Accelerator.choices, source="accelerator_wanted")
    used = serializers.CharField(source="accelerator")
    proven = serializers.BooleanField(source="accelerator_proven")
    reason = serializers.CharField(source="accelerator_reason")


class ClaimSerializer(serializers.Serializer[Any]):
    vcpus = serializers.IntegerField()
    memory_mib = serializers.IntegerField()
    disk_gib = serializers.IntegerField()


class VersionsSerializer(serializers.Serializer[Any]):
    libvirt = serializers.CharField()
    qemu = serializers.CharField()


class SetupSerializer(serializers.Serializer[Any]):
    """What a person runs on the new host, as root."""

    commands = serializers.ListField(child=serializers.CharField())
    public_key = serializers.CharField(required=False)
    allowed_dn = serializers.CharField(required=False, help_text="For qemu+tls: the one client name to let in.")
    ca_certificate = serializers.CharField(required=False)
    server_certificate = serializers.CharField(required=False)
    server_key = serializers.CharField(required=False, help_text="Private, shown this once.")


class HostSerializer(serializers.ModelSerializer[Host]):
    """A machine with libvirt. ``enabled`` is the wish, ``status`` what was seen."""

    uri = serializers.CharField(read_only=True)
    since = serializers.DateTimeField(source="status_since", read_only=True)
    fingerprint = serializers.SerializerMethodField(help_text="Of the key that waits for confirmation.")
    accelerator = AcceleratorSerializer(source="*", read_only=True)
    architectures = serializers.ListField(child=serializers.CharField(), read_only=True)
    uefi = serializers.ListField(
        child=serializers.CharField(), read_only=True, help_text="Architectures for which it has UEFI firmware."
    )
    labels = serializers.DictField(child=serializers.CharField(), read_only=True)
    cpu_features = serializers.SerializerMethodField(help_text="What its guests find in their CPU.")
    capacity = serializers.SerializerMethodField()
    claimed = serializers.SerializerMethodField()
    versions = serializers.SerializerMethodField()

    class Meta:
        model = Host
        fields = [
            "id",
            "name",
            "uri",
            "enabled",
            "labels",
            "status",
            "since",
            "reason",
            "fingerprint",
            "accelerator",
            "hostname",
            "cpus",
            "cpu_model",
            "cpu_features",
            "memory_mib",
            "architectures",
            "uefi",
            "capacity",
            "claimed",
            "versions",
            "pool_path",
            "pool_total_gib",
            "pool_free_gib",
            "pull_interval_s",
            "observed_at",
            "created_at",
        ]
        read_only_fields = fields

    def get_fingerprint(self, host: Host) -> str | None:
        return fingerprint_of(host.offered_key) if host.offered_key else None

    def get_cpu_features(self, host: Host) -> list[str]:
        return list(host.cpu_features.get(host.accelerator, []))

    @extend_schema_field(ClaimSerializer)
    def get_capacity(self, host: Host) -> dict[str, int]:
        return {
            "vcpus": host.vcpus_limit,
            "memory_mib": host.memory_limit_mib,
            "disk_gib": host.disk_limit_gib,
        }

    @extend_schema_field(ClaimSerializer)
    def get_claimed(self, host: Host) -> dict[str, int]:
        return {
            "vcpus": host.vcpus_claimed,
            "memory_mib": host.memory_claimed_mib,
            "disk_gib": host.disk_claimed_gib,
        }

    @extend_schema_field(VersionsSerializer)
    def get_versions(self, host: Host) -> dict[str, str]:
        return {"libvirt": host.libvirt_version, "qemu": host.qemu_version}


class NewHostSerializer(HostSerializer):
    """A host just added. ``setup`` is null where a repeated request would show a private key again."""

    setup = SetupSerializer(allow_null=True, read_only=True)

    class Meta(HostSerializer.Meta):
        fields = [*HostSerializer.Meta.fields, "setup"]
        read_only_fields = fields


class HostCreateSerializer(StrictSerializer):
    name = NameField()
    uri = serializers.CharField(max_length=400)


class HostTrustSerializer(StrictSerializer):
    fingerprint = serializers.CharField(max_length=100)
    password = serializers.CharField(
        max_length=200,
        required=False,
        write_only=True,
        trim_whitespace=False,
        help_text="Installs our key on the host; used once and never stored.",
    )


class HostUpdateSerializer(StrictSerializer):
    enabled = serializers.BooleanField(required=False)
    accelerator = serializers.ChoiceField(choices=Accelerator.choices, required=False)
    vcpu_ratio = serializers.FloatField(required=False)
    memory_ratio = serializers.FloatField(required=False)
    disk_ratio = serializers.FloatField(required=False)
    pull_interval_s = serializers.IntegerField(required=False, help_text="Seconds from one reading to the next.")
    labels = serializers.DictField(
        child=serializers.CharField(), required=False, help_text="All labels, for the policies of placement."
    )


class HostFilter(filters.FilterSet):
    status = filters.MultipleChoiceFilter(choices=HostStatus.choices)
    name = filters.CharFilter()
    search = filters.CharFilter(field_name="name", lookup_expr="icontains")

    class Meta:
        model = Host
        fields = ["status", "name", "search"]


ACCEPTED = {
    202: inline_serializer("HostAccepted", {"host": HostSerializer(), "operation": OperationSerializer()}),
}
ADDED = {
    202: inline_serializer("HostAdded", {"host": NewHostSerializer(), "operation": OperationSerializer()}),
}


class HostListView(generics.ListAPIView[Host]):
    """Hosts."""

    permission_classes = [AdminOnly]
    serializer_class = HostSerializer
    filter_backends = [DocumentedFilters]
    filterset_class = HostFilter
    ordering_fields = ("created_at", "name")
    queryset = Host.objects.none()

    def get_queryset(self) -> QuerySet[Host]:
        return hosts_for(actor=actor_of(self.request))

    @extend_schema(request=HostCreateSerializer, responses=ADDED, parameters=MUTATION)
    @mutation
    def post(self, request: Request) -> Answer:
        """Add a host. The answer's ``setup`` says what to run on it."""
        host, operation = services.host_create(actor=actor_of(request), **validated(HostCreateSerializer, request))
        resource = dict(HostSerializer(host).data)
        plan = Plan(host=host.name, changes=(f"add {host.uri}", f"run {operation.kind}"))
        answer = accepted(name="host", resource=resource, operation=operation, plan=plan)
        setup = None if is_dry_run(request) else setup_for(host)
        shown = {**(answer.body or {}), "host": {**resource, "setup": setup}}
        secret = host.transport == Transport.TLS
        kept = {**shown, "host": {**resource, "setup": None}} if secret else None
        return replace(answer, body=shown, kept=kept)


class HostView(APIView):
    """One host."""

    permission_classes = [AdminOnly]

    @extend_schema(responses=HostSerializer)
    def get(self, request: Request, host_id: uuid.UUID) -> Response:
        return Response(HostSerializer(host_for(actor=actor_of(request), host_id=host_id)).data)

    @extend_schema(request=HostUpdateSerializer, responses=HostSerializer, parameters=MUTATION)
    @mutation
    def patch(self, request: Request, host_id: uuid.UUID) -> Answer:
        """Open or close it for new VMs; set its accelerator, ratios, labels, or how often it is read."""
        values = validated(HostUpdateSerializer, request)
        host = services.host_update(actor=actor_of(request), host_id=host_id, **values)
        plan = Plan(host=host.name, changes=tuple(f"set {name} to {value}" for name, value in values.items()))
        return Answer(status=200, plan=plan, body=dict(HostSerializer(host).data))

    @extend_schema(request=None, responses={204: None}, parameters=MUTATION)
    @mutation
    def delete(self, request: Request, host_id: uuid.UUID) -> Answer:
        """Forget a host without VMs of ours; it keeps running as plain libvirt."""
        validated(EmptySerializer, request)
        host = services.host_delete(actor=actor_of(request), host_id=host_id)
        return Answer(status=204, plan=Plan(host=host.name, changes=(f"forget {host.name}",), reversible=False))


class HostTrustView(APIView):
    permission_classes = [AdminOnly]

    @extend_schema(request=HostTrustSerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request, host_id: uuid.UUID) -> Answer:
        """Confirm the fingerprint of its key."""
        values = validated(HostTrustSerializer, request)
        host, operation = services.host_trust(actor=actor_of(request), host_id=host_id, **values)
        plan = Plan(host=host.name, changes=("pin its key", "probe it"))
        return accepted(name="host", resource=dict(HostSerializer(host).data), operation=operation, plan=plan)


class HostProbeView(APIView):
    permission_classes = [AdminOnly]

    @extend_schema(request=EmptySerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request, host_id: uuid.UUID) -> Answer:
        """Look at it again."""
        validated(EmptySerializer, request)
        host, operation = services.host_probe(actor=actor_of(request), host_id=host_id)
        plan = Plan(host=host.name, changes=(f"run {operation.kind}",))
        return accepted(name="host", resource=dict(HostSerializer(host).data), operation=operation, plan=plan)
