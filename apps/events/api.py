"""History in the API."""

from typing import Any

from django_filters import rest_framework as filters
from rest_framework import generics, serializers

from apps.envelope.filters import DocumentedFilters
from apps.envelope.references import TargetFilter
from apps.events.models import Event
from apps.events.selectors import events_for


class EventSerializer(serializers.ModelSerializer[Event]):
    class Meta:
        model = Event
        fields = [
            "id",
            "at",
            "kind",
            "message",
            "actor_label",
            "target_type",
            "target_id",
            "target_name",
            "operation_id",
            "request_id",
        ]
        read_only_fields = fields


class EventFilter(filters.FilterSet):
    kind = filters.CharFilter()
    target = TargetFilter(field_name="target")

    class Meta:
        model = Event
        fields = ["kind", "target"]


class EventListView(generics.ListAPIView[Event]):
    """What happened, newest first."""

    serializer_class = EventSerializer
    filter_backends = [DocumentedFilters]
    filterset_class = EventFilter
    ordering = ("-at", "-id")
    queryset = Event.objects.none()

    def get_queryset(self) -> Any:
        return events_for(actor=self.request.user)
