"""Decisions in the API, for administrators: they name hosts."""

import uuid

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.permissions import AdminOnly, actor_of
from apps.envelope.filters import DocumentedFilters
from apps.envelope.references import TargetFilter
from apps.errors import NotFound
from apps.placement.models import Placement
from apps.placement.selectors import placements_for


class PlacementSerializer(serializers.ModelSerializer[Placement]):
    """Why a VM is where it is: per host its score, or the filter that rejected it with the numbers."""

    class Meta:
        model = Placement
        fields = [
            "id",
            "consumer_id",
            "consumer_name",
            "host_id",
            "host_name",
            "policy",
            "trace",
            "created_at",
        ]
        read_only_fields = fields


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


class PlacementView(APIView):
    """One decision."""

    permission_classes = [AdminOnly]

    @extend_schema(responses=PlacementSerializer)
    def get(self, request: Request, placement_id: uuid.UUID) -> Response:
        placement = placements_for(actor=actor_of(request)).filter(pk=placement_id).first()
        if placement is None:
            raise NotFound("placement.not_found", "There is no placement with this id.")
        return Response(PlacementSerializer(placement).data)
