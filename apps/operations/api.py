"""Operations in the API, and the 202 answer that every app gives."""

import uuid
from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.permissions import actor_of
from apps.envelope.filters import DocumentedFilters
from apps.envelope.mutation import Answer, Plan, mutation
from apps.envelope.parameters import MUTATION
from apps.envelope.references import TargetFilter
from apps.envelope.serializers import EmptySerializer, validated
from apps.operations.models import Operation, Status
from apps.operations.selectors import operation_for, operations_for
from apps.operations.services import operation_cancel, operation_retry


class TargetSerializer(serializers.Serializer[Any]):
    type = serializers.CharField(source="target_type")
    id = serializers.UUIDField(source="target_id")
    name = serializers.CharField(source="target_name")


class OperationErrorSerializer(serializers.Serializer[Any]):
    code = serializers.CharField(source="error_code")
    detail = serializers.CharField(source="error_message")
    retryable = serializers.BooleanField()


class OperationSerializer(serializers.ModelSerializer[Operation]):
    """One change that a worker carries out."""

    target = TargetSerializer(source="*", read_only=True)
    error = serializers.SerializerMethodField()

    class Meta:
        model = Operation
        fields = [
            "id",
            "kind",
            "target",
            "status",
            "step",
            "progress",
            "error",
            "attempts",
            "cancel_requested",
            "request_id",
            "run_after",
            "created_at",
            "started_at",
            "finished_at",
        ]
        read_only_fields = fields

    @extend_schema_field(OperationErrorSerializer(allow_null=True))
    def get_error(self, operation: Operation) -> dict[str, Any] | None:
        return dict(OperationErrorSerializer(operation).data) if operation.error_code else None


class OperationFilter(filters.FilterSet):
    status = filters.MultipleChoiceFilter(choices=Status.choices)
    kind = filters.CharFilter()
    target = TargetFilter(field_name="target")

    class Meta:
        model = Operation
        fields = ["status", "kind", "target"]


def accepted(*, name: str, resource: dict[str, Any], operation: Operation, plan: Plan) -> Answer:
    """202 with the resource, the operation and where to follow it."""
    return Answer(
        status=202,
        plan=plan,
        body={name: resource, "operation": dict(OperationSerializer(operation).data)},
        location=f"/api/v1/operations/{operation.pk}/",
    )


class OperationListView(generics.ListAPIView[Operation]):
    """Operations, newest first."""

    serializer_class = OperationSerializer
    filter_backends = [DocumentedFilters]
    filterset_class = OperationFilter
    ordering_fields = ("created_at",)
    queryset = Operation.objects.none()

    def get_queryset(self) -> Any:
        return operations_for(actor=actor_of(self.request))


class OperationView(APIView):
    """One operation."""

    @extend_schema(responses=OperationSerializer)
    def get(self, request: Request, operation_id: uuid.UUID) -> Response:
        return Response(OperationSerializer(operation_for(actor=actor_of(request), operation_id=operation_id)).data)


class OperationCancelView(APIView):
    """Ask an operation to stop at its next step."""

    @extend_schema(request=EmptySerializer, responses=OperationSerializer, parameters=MUTATION)
    @mutation
    def post(self, request: Request, operation_id: uuid.UUID) -> Answer:
        validated(EmptySerializer, request)
        operation = operation_cancel(actor=actor_of(request), operation_id=operation_id)
        plan = Plan(changes=(f"stop {operation.kind} of {operation.target_name} at its next step",))
        return Answer(status=200, plan=plan, body=dict(OperationSerializer(operation).data))


class OperationRetryView(APIView):
    """Queue a failed operation again."""

    @extend_schema(request=EmptySerializer, responses={202: OperationSerializer}, parameters=MUTATION)
    @mutation
    def post(self, request: Request, operation_id: uuid.UUID) -> Answer:
        validated(EmptySerializer, request)
        operation = operation_retry(actor=actor_of(request), operation_id=operation_id)
        plan = Plan(changes=(f"do {operation.kind} of {operation.target_name} again",))
        return Answer(
            status=202,
            plan=plan,
            body=dict(OperationSerializer(operation).data),
            location=f"/api/v1/operations/{operation.pk}/",
        )
