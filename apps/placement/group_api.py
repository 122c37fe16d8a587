"""Placement groups in the API."""

import uuid
from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.permissions import actor_of
from apps.envelope.filters import DocumentedFilters
from apps.envelope.mutation import Answer, Plan, mutation
from apps.envelope.parameters import MUTATION
from apps.envelope.serializers import EmptySerializer, StrictSerializer, validated
from apps.names import NameField
from apps.placement import groups
from apps.placement.models import GroupRule, PlacementGroup


class MemberSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(help_text="Of the VM or, for a reservation, of the VM that takes it.")
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=["vm", "reservation"])
    host = serializers.CharField()


class PlacementGroupSerializer(serializers.ModelSerializer[PlacementGroup]):
    """Machines that want to be together or apart; ``members`` are those that have their place."""

    owner = serializers.CharField(source="owner.username", read_only=True)
    members = MemberSerializer(many=True, read_only=True)

    class Meta:
        model = PlacementGroup
        fields = ["id", "name", "rule", "owner", "members", "created_at"]
        read_only_fields = fields


class PlacementGroupRequestSerializer(StrictSerializer):
    name = NameField()
    rule = serializers.ChoiceField(choices=GroupRule.choices, help_text="It cannot be changed later.")


class PlacementGroupFilter(filters.FilterSet):
    name = filters.CharFilter()
    rule = filters.MultipleChoiceFilter(choices=GroupRule.choices)

    class Meta:
        model = PlacementGroup
        fields = ["name", "rule"]


class PlacementGroupListView(generics.ListAPIView[PlacementGroup]):
    """Placement groups, by name."""

    serializer_class = PlacementGroupSerializer
    filter_backends = [DocumentedFilters]
    filterset_class = PlacementGroupFilter
    ordering = ("name", "id")
    ordering_fields = ("name", "created_at")
    queryset = PlacementGroup.objects.none()

    def get_queryset(self) -> QuerySet[PlacementGroup]:
        return groups.groups_for(actor=actor_of(self.request))

    @extend_schema(
        request=PlacementGroupRequestSerializer, responses={201: PlacementGroupSerializer}, parameters=MUTATION
    )
    @mutation
    def post(self, request: Request) -> Answer:
        """Add a group. VMs join it when they are created, by `group`."""
        made = groups.group_create(actor=actor_of(request), **validated(PlacementGroupRequestSerializer, request))
        plan = Plan(changes=(f"add the placement group {made.name} ({made.rule})",))
        body = dict(PlacementGroupSerializer(made).data)
        return Answer(status=201, plan=plan, body=body, location=f"/api/v1/placement-groups/{made.pk}/")


class PlacementGroupView(APIView):
    """One placement group."""

    @extend_schema(responses=PlacementGroupSerializer)
    def get(self, request: Request, group_id: uuid.UUID) -> Response:
        return Response(PlacementGroupSerializer(groups.group_for(actor=actor_of(request), group_id=group_id)).data)

    @extend_schema(request=None, responses={204: None}, parameters=MUTATION)
    @mutation
    def delete(self, request: Request, group_id: uuid.UUID) -> Answer:
        """Forget it; 409 while a VM (also one in the trash) or a reservation is in it."""
        validated(EmptySerializer, request)
        gone = groups.group_delete(actor=actor_of(request), group_id=group_id)
        return Answer(status=204, plan=Plan(changes=(f"forget the placement group {gone.name}",), reversible=False))
