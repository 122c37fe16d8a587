"""In what hosts and records differ, in the API."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.permissions import actor_of
from apps.dashboard.selectors import differences_for
from apps.dashboard.services import installation_confirm_restored
from apps.envelope.mutation import Answer, Plan, mutation
from apps.envelope.parameters import MUTATION
from apps.envelope.serializers import EmptySerializer, validated


class UnknownMachineSerializer(serializers.Serializer[Any]):
    """A domain that carries this installation's mark and is in no row."""

    id = serializers.UUIDField(source="consumer_id")
    name = serializers.CharField(source="label")
    host = serializers.CharField(source="host.name")
    power = serializers.CharField()


class MissingMachineSerializer(serializers.Serializer[Any]):
    """A VM that its host does not know."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    host = serializers.CharField(source="host.name", default=None, allow_null=True)


class DifferencesSerializer(serializers.Serializer[Any]):
    restored_at = serializers.DateTimeField(source="installation.restored_at", default=None, allow_null=True)
    restored_from = serializers.DateTimeField(source="installation.restored_from", default=None, allow_null=True)
    unknown = UnknownMachineSerializer(many=True)
    missing = MissingMachineSerializer(many=True)


class DifferencesView(APIView):
    """In what hosts and records differ."""

    @extend_schema(responses=DifferencesSerializer)
    def get(self, request: Request) -> Response:
        """Machines that no row names, and rows whose host does not know them. For administrators."""
        return Response(DifferencesSerializer(differences_for(actor=actor_of(request))).data)


class DifferencesConfirmView(APIView):
    """Take the notice of a restored backup away."""

    @extend_schema(request=EmptySerializer, responses=DifferencesSerializer, parameters=MUTATION)
    @mutation
    def post(self, request: Request) -> Answer:
        """Confirm that the differences have been looked at. Nothing on a host changes."""
        validated(EmptySerializer, request)
        installation_confirm_restored(actor=actor_of(request))
        body = DifferencesSerializer(differences_for(actor=actor_of(request))).data
        return Answer(status=200, plan=Plan(changes=("take the notice of the restored backup away",)), body=body)
