"""Policies in the API. Everybody may read and choose them; administrators write them."""

import uuid
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.permissions import AdminOnly, SignedInWithScope, actor_of
from apps.envelope.filters import DocumentedFilters
from apps.envelope.mutation import Answer, Plan, mutation
from apps.envelope.parameters import MUTATION
from apps.envelope.serializers import EmptySerializer, StrictSerializer, validated
from apps.placement import policies
from apps.placement.models import Policy
from apps.placement.policy.tree import MOST_BYTES


class AdminsWrite(AdminOnly):
    """Everybody who is signed in reads."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """False is a 401. Raises ``Forbidden`` with the reason."""
        if request.method in SAFE_METHODS:
            return SignedInWithScope.has_permission(self, request, view)
        return super().has_permission(request, view)


class PolicySerializer(serializers.ModelSerializer[Policy]):
    default = serializers.SerializerMethodField(
        method_name="is_default", help_text="Whether VMs without a policy are placed by it."
    )

    class Meta:
        model = Policy
        fields = ["id", "name", "description", "shipped", "file", "default", "version", "text", "updated_at"]
        read_only_fields = fields

    def is_default(self, policy: Policy) -> bool:
        return bool(policy.name == settings.DEFAULT_POLICY)


class PolicyTextSerializer(StrictSerializer):
    text = serializers.CharField(
        max_length=MOST_BYTES, trim_whitespace=False, help_text="YAML, as docs/placement.md describes it."
    )


class PolicyVersionSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField()
    author = serializers.CharField()
    created_at = serializers.DateTimeField()
    diff = serializers.CharField(help_text="Unified, from the version before.")


class PolicyHistorySerializer(serializers.Serializer[Any]):
    results = PolicyVersionSerializer(many=True)


class PolicyFilter(filters.FilterSet):
    name = filters.CharFilter()

    class Meta:
        model = Policy
        fields = ["name"]


class PolicyListView(generics.ListAPIView[Policy]):
    """Policies, by name."""

    permission_classes = [AdminsWrite]
    serializer_class = PolicySerializer
    filter_backends = [DocumentedFilters]
    filterset_class = PolicyFilter
    ordering = ("name", "id")
    ordering_fields = ("name", "updated_at")
    queryset = Policy.objects.none()

    def get_queryset(self) -> QuerySet[Policy]:
        return policies.policies()

    @extend_schema(request=PolicyTextSerializer, responses={201: PolicySerializer}, parameters=MUTATION)
    @mutation
    def post(self, request: Request) -> Answer:
        """Add a policy; its name stands in its text. What is wrong is named with line and path in ``problems``."""
        text = validated(PolicyTextSerializer, request)["text"]
        made = policies.policy_create(actor=actor_of(request), text=text)
        plan = Plan(changes=(f"add the policy {made.name}",))
        return Answer(status=201, plan=plan, body=dict(PolicySerializer(made).data))


class PolicyView(APIView):
    """One policy."""

    permission_classes = [AdminsWrite]

    @extend_schema(responses=PolicySerializer)
    def get(self, request: Request, policy_id: uuid.UUID) -> Response:
        return Response(PolicySerializer(policies.policy_for(policy_id=policy_id)).data)

    @extend_schema(request=PolicyTextSerializer, responses=PolicySerializer, parameters=MUTATION)
    @mutation
    def put(self, request: Request, policy_id: uuid.UUID) -> Answer:
        """Make a new version of it. No VM moves."""
        text = validated(PolicyTextSerializer, request)["text"]
        known = policies.policy_replace(actor=actor_of(request), policy_id=policy_id, text=text)
        plan = Plan(changes=(f"version {known.version} of the policy {known.name}",))
        return Answer(status=200, plan=plan, body=dict(PolicySerializer(known).data))

    @extend_schema(request=None, responses={204: None}, parameters=MUTATION)
    @mutation
    def delete(self, request: Request, policy_id: uuid.UUID) -> Answer:
        """Forget it; 409 while something uses it."""
        validated(EmptySerializer, request)
        gone = policies.policy_delete(actor=actor_of(request), policy_id=policy_id)
        return Answer(status=204, plan=Plan(changes=(f"forget the policy {gone.name}",), reversible=False))


class PolicyHistoryView(APIView):
    """The versions of a policy, newest first, with author and difference."""

    permission_classes = [AdminsWrite]

    @extend_schema(responses=PolicyHistorySerializer)
    def get(self, request: Request, policy_id: uuid.UUID) -> Response:
        known = policies.policy_for(policy_id=policy_id)
        return Response(PolicyHistorySerializer({"results": policies.policy_history(policy=known)}).data)
