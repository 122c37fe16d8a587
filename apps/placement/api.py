"""Decisions in the API, for administrators: they name hosts."""

import uuid
from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.permissions import AdminOnly, actor_of
from apps.envelope.filters import DocumentedFilters
from apps.envelope.mutation import Answer, Plan, mutation
from apps.envelope.parameters import MUTATION
from apps.envelope.references import TargetFilter
from apps.envelope.serializers import EmptySerializer, StrictSerializer, validated
from apps.errors import NotFound
from apps.names import NameField
from apps.placement.batch import MOST_AT_ONCE, reservations_create
from apps.placement.explain import placement_explain
from apps.placement.models import Placement
from apps.placement.policy.tree import MOST_BYTES
from apps.placement.reservations import (
    LEAST_SECONDS,
    MOST_SECONDS,
    USUAL_SECONDS,
    reservation_create,
    reservation_release,
)
from apps.placement.selectors import placement_trace, placements_for
from apps.storage.models import Firmware


class PlacementSerializer(serializers.ModelSerializer[Placement]):
    """A decision that was carried out."""

    reserved_until = serializers.DateTimeField(
        source="reservation.expires_at",
        default=None,
        allow_null=True,
        read_only=True,
        help_text="Where it only holds room. Null: it is a VM's or a volume's, or the room was given back.",
    )

    class Meta:
        model = Placement
        fields = [
            "id",
            "consumer_id",
            "consumer_name",
            "host_id",
            "host_name",
            "policy",
            "policy_version",
            "snapshot_hash",
            "reserved_until",
            "created_at",
        ]
        read_only_fields = fields


class ShareSerializer(serializers.Serializer[Any]):
    term = serializers.CharField()
    value = serializers.FloatField(help_text="What the term saw at this host.")
    adds = serializers.FloatField(help_text="What it added to the score, with its weight.")


class VerdictSerializer(serializers.Serializer[Any]):
    """One host: the filter that rejected it and the numbers, or its score and where it is from."""

    host = serializers.CharField()
    rejected_by = serializers.CharField(allow_null=True)
    reason = serializers.CharField(allow_null=True)
    score = serializers.FloatField(allow_null=True)
    shares = ShareSerializer(many=True)
    words = serializers.CharField(help_text="The same as a sentence.")


class RemovedSerializer(serializers.Serializer[Any]):
    filter = serializers.CharField()
    hosts = serializers.IntegerField(help_text="Each host is counted at the first filter that rejected it.")


class TraceSerializer(serializers.Serializer[Any]):
    """Why. With many hosts the best 200 candidates and the first 200 of the rejected."""

    policy = serializers.CharField()
    best = serializers.CharField(allow_null=True)
    runner_up = serializers.CharField(allow_null=True)
    margin = serializers.FloatField(allow_null=True, help_text="By how much the best is ahead of the runner-up.")
    hosts = serializers.IntegerField()
    fitting = serializers.IntegerField()
    removed = RemovedSerializer(many=True)
    verdicts = VerdictSerializer(many=True)


class PlacementDetailSerializer(PlacementSerializer):
    """Why a VM is where it is. ``best`` is not its host where others took the room at the same moment."""

    trace = TraceSerializer(allow_null=True, read_only=True)
    problem = serializers.CharField(read_only=True, help_text="Why there is no trace. Empty where there is one.")

    class Meta(PlacementSerializer.Meta):
        fields = [*PlacementSerializer.Meta.fields, "trace", "problem"]
        read_only_fields = fields


class NewHostSerializer(StrictSerializer):
    name = NameField()
    cpus = serializers.IntegerField(min_value=1, max_value=4096)
    memory_mib = serializers.IntegerField(min_value=1, max_value=2**26)
    disk_gib = serializers.IntegerField(min_value=1, max_value=2**26)
    architecture = serializers.CharField(max_length=16, default="x86_64")
    cpu_features = serializers.ListField(
        child=serializers.CharField(max_length=32), max_length=100, required=False, help_text="Unless told: all."
    )


class MachineSerializer(StrictSerializer):
    """A VM as far as its place depends on it."""

    vcpus = serializers.IntegerField(min_value=1, max_value=4096)
    memory_mib = serializers.IntegerField(min_value=1, max_value=2**26)
    disk_gib = serializers.IntegerField(min_value=1, max_value=2**26)
    architecture = serializers.CharField(max_length=16, default="x86_64")
    firmware = serializers.ChoiceField(choices=Firmware.choices, default=Firmware.BIOS)
    image = serializers.CharField(max_length=63, required=False, help_text="Its architecture counts, and who has it.")
    host = serializers.CharField(max_length=63, required=False)
    policy = serializers.CharField(max_length=63, required=False)
    group = serializers.CharField(max_length=63, required=False, help_text="Your placement group, by id or name.")
    network = serializers.CharField(max_length=63, required=False, help_text="Id or name; default: the host's own.")
    cpu_features = serializers.ListField(
        child=serializers.CharField(max_length=32),
        max_length=20,
        required=False,
        help_text="Features such as avx2, or a level such as x86-64-v3.",
    )


class ExpiresSerializer(StrictSerializer):
    expires_s = serializers.IntegerField(
        min_value=LEAST_SECONDS, max_value=MOST_SECONDS, default=USUAL_SECONDS, help_text="How long it is held."
    )


class NamedMachineSerializer(MachineSerializer):
    name = NameField()


class ReserveSerializer(NamedMachineSerializer, ExpiresSerializer):
    """Room for a VM that is made later."""


class ReserveBatchSerializer(ExpiresSerializer):
    """Room for several VMs that belong together."""

    placements = serializers.ListField(child=NamedMachineSerializer(), min_length=1, max_length=MOST_AT_ONCE)
    all_or_nothing = serializers.BooleanField(default=True, help_text="False: those get room for which there is some.")


class BatchErrorSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    detail = serializers.CharField()


class OutcomeSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    placement = PlacementSerializer(allow_null=True)
    error = BatchErrorSerializer(allow_null=True)


class BatchSerializer(serializers.Serializer[Any]):
    results = OutcomeSerializer(many=True, help_text="In the order of the request.")


class ExplainSerializer(MachineSerializer):
    """A VM that nobody makes, and a cloud that is a little different."""

    policy_text = serializers.CharField(
        max_length=MOST_BYTES, trim_whitespace=False, required=False, help_text="A policy that is not kept yet."
    )
    down = serializers.ListField(
        child=serializers.CharField(max_length=63), max_length=100, default=list, help_text="Hosts taken as down."
    )
    added = serializers.ListField(
        child=NewHostSerializer(), max_length=100, default=list, help_text="Empty hosts taken as there."
    )


class ChangeSerializer(serializers.Serializer[Any]):
    host = serializers.CharField()
    filters = serializers.ListField(child=serializers.CharField(), help_text="Every filter that rejects it now.")
    words = serializers.CharField()


class ExplainedSerializer(TraceSerializer):
    smallest_changes = ChangeSerializer(many=True, help_text="Empty where a host fits.")


class PlacementExplainView(APIView):
    permission_classes = [AdminOnly]

    @extend_schema(request=ExplainSerializer, responses=ExplainedSerializer)
    def post(self, request: Request) -> Response:
        """Ask where a VM would go and why, perhaps with hosts down or added or by another policy. Places nothing."""
        values = validated(ExplainSerializer, request)
        return Response(placement_explain(actor=actor_of(request), **values))


class PlacementFilter(filters.FilterSet):
    consumer = TargetFilter(field_name="consumer")

    class Meta:
        model = Placement
        fields = ["consumer"]


class PlacementListView(generics.ListAPIView[Placement]):
    """Decisions, newest first."""

    permission_classes = [AdminOnly]
    serializer_class = PlacementSerializer
    filter_backends = [DocumentedFilters]
    filterset_class = PlacementFilter
    queryset = Placement.objects.none()

    def get_queryset(self) -> QuerySet[Placement]:
        return placements_for(actor=actor_of(self.request))

    @extend_schema(request=ReserveSerializer, responses={201: PlacementSerializer}, parameters=MUTATION)
    @mutation
    def post(self, request: Request) -> Answer:
        """Claim room for a VM that is made later. A create takes it with `placement`; else it expires."""
        made = reservation_create(actor=actor_of(request), **validated(ReserveSerializer, request))
        change = f"hold room on {made.host_name} until {made.reservation.expires_at:%Y-%m-%d %H:%M:%S} UTC"
        plan = Plan(host=made.host_name, changes=(change,))
        location = f"/api/v1/placements/{made.pk}/"
        return Answer(status=201, plan=plan, body=dict(PlacementSerializer(made).data), location=location)


class PlacementBatchView(APIView):
    permission_classes = [AdminOnly]

    @extend_schema(request=ReserveBatchSerializer, responses={201: BatchSerializer}, parameters=MUTATION)
    @mutation
    def post(self, request: Request) -> Answer:
        """Claim room for several VMs that are made later: for all or for none, unless told otherwise."""
        values = validated(ReserveBatchSerializer, request)
        outcomes = reservations_create(actor=actor_of(request), wishes=values.pop("placements"), **values)
        changes = tuple(
            f"hold room for {outcome.name} on {outcome.placement.host_name}"
            if outcome.placement
            else f"no room for {outcome.name}"
            for outcome in outcomes
        )
        body = dict(BatchSerializer({"results": outcomes}).data)
        return Answer(status=201, plan=Plan(changes=changes), body=body, location="/api/v1/placements/")


class PlacementView(APIView):
    """One decision."""

    permission_classes = [AdminOnly]

    @extend_schema(responses=PlacementDetailSerializer)
    def get(self, request: Request, placement_id: uuid.UUID) -> Response:
        placement = placements_for(actor=actor_of(request)).filter(pk=placement_id).first()
        if placement is None:
            raise NotFound("placement.not_found", "There is no placement with this id.")
        trace, problem = placement_trace(placement=placement)
        return Response({**PlacementSerializer(placement).data, "trace": trace, "problem": problem})

    @extend_schema(request=None, responses={204: None}, parameters=MUTATION)
    @mutation
    def delete(self, request: Request, placement_id: uuid.UUID) -> Answer:
        """Give back the room of a reservation; 409 for the place of a VM. The decision stays."""
        validated(EmptySerializer, request)
        gone = reservation_release(actor=actor_of(request), placement_id=placement_id)
        change = f"give back the room reserved for {gone.consumer_name} on {gone.host_name}"
        return Answer(status=204, plan=Plan(host=gone.host_name, changes=(change,), reversible=False))
