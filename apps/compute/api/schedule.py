"""Schedules of machines in the API."""

import uuid
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.permissions import actor_of
from apps.compute.models import Action, Schedule
from apps.compute.selectors.schedule import schedule_for, schedules_for
from apps.compute.selectors.vm import vm_for
from apps.compute.services.schedule import schedule_create, schedule_delete, schedule_update, told
from apps.compute.timetable import DAYS
from apps.envelope.filters import DocumentedFilters
from apps.envelope.mutation import Answer, Plan, mutation
from apps.envelope.parameters import MUTATION
from apps.envelope.serializers import EmptySerializer, StrictSerializer, validated


class ScheduleSerializer(serializers.ModelSerializer[Schedule]):
    vm = serializers.UUIDField(source="vm_id", read_only=True)
    owner = serializers.CharField(source="owner.username", read_only=True)
    weekdays = serializers.SerializerMethodField()
    time = serializers.TimeField(format="%H:%M", allow_null=True, read_only=True)

    class Meta:
        model = Schedule
        fields = [
            "id",
            "vm",
            "owner",
            "action",
            "keep",
            "once_at",
            "weekdays",
            "time",
            "time_zone",
            "enabled",
            "last_run",
            "next_run",
            "created_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField(choices=DAYS)))
    def get_weekdays(self, schedule: Schedule) -> list[str]:
        return [DAYS[day] for day in schedule.weekdays]


class ScheduleUpdateSerializer(StrictSerializer):
    action = serializers.ChoiceField(choices=Action.choices, required=False)
    keep = serializers.IntegerField(required=False, help_text="Of a snapshot's schedule: how many stay. Default: 7.")
    once_at = serializers.DateTimeField(required=False)
    weekdays = serializers.ListField(child=serializers.ChoiceField(choices=DAYS), max_length=7, required=False)
    time = serializers.CharField(max_length=5, required=False)
    time_zone = serializers.CharField(max_length=64, required=False)
    enabled = serializers.BooleanField(required=False)


class ScheduleCreateSerializer(ScheduleUpdateSerializer):
    action = serializers.ChoiceField(choices=Action.choices)


def _shown(schedule: Schedule) -> dict[str, Any]:
    return dict(ScheduleSerializer(schedule).data)


class VMScheduleListView(generics.ListAPIView[Schedule]):
    """The schedules of one machine, newest first."""

    serializer_class = ScheduleSerializer
    filter_backends = [DocumentedFilters]
    queryset = Schedule.objects.none()

    def get_queryset(self) -> QuerySet[Schedule]:
        actor = actor_of(self.request)
        return schedules_for(actor=actor).filter(vm=vm_for(actor=actor, vm_id=self.kwargs["vm_id"]))

    @extend_schema(request=ScheduleCreateSerializer, responses={201: ScheduleSerializer}, parameters=MUTATION)
    @mutation
    def post(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """Plan an action: `once_at`, or `weekdays` with `time` (HH:MM) in `time_zone`."""
        values = validated(ScheduleCreateSerializer, request)
        schedule = schedule_create(actor=actor_of(request), vm_id=vm_id, **values)
        return Answer(status=201, plan=Plan(changes=(told(schedule),)), body=_shown(schedule))


class ScheduleView(APIView):
    """One schedule."""

    @extend_schema(responses=ScheduleSerializer)
    def get(self, request: Request, schedule_id: uuid.UUID) -> Response:
        return Response(_shown(schedule_for(actor=actor_of(request), schedule_id=schedule_id)))

    @extend_schema(request=ScheduleUpdateSerializer, responses=ScheduleSerializer, parameters=MUTATION)
    @mutation
    def patch(self, request: Request, schedule_id: uuid.UUID) -> Answer:
        """Change what, when or whether. It then acts for whoever changed it."""
        values = validated(ScheduleUpdateSerializer, request)
        schedule = schedule_update(actor=actor_of(request), schedule_id=schedule_id, **values)
        return Answer(status=200, plan=Plan(changes=(told(schedule),)), body=_shown(schedule))

    @extend_schema(request=None, responses={204: None}, parameters=MUTATION)
    @mutation
    def delete(self, request: Request, schedule_id: uuid.UUID) -> Answer:
        """Forget it."""
        validated(EmptySerializer, request)
        schedule = schedule_delete(actor=actor_of(request), schedule_id=schedule_id)
        return Answer(status=204, plan=Plan(changes=(f"forget: {told(schedule)}",)))
