"""Console tickets in the API."""

import uuid

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.accounts.authentication import binding_of
from apps.accounts.permissions import actor_of
from apps.compute.models import ConsoleKind
from apps.compute.services.console import ticket_issue
from apps.envelope.mutation import Answer, mutation
from apps.envelope.parameters import MUTATION
from apps.envelope.serializers import StrictSerializer, validated


class ConsoleSerializer(StrictSerializer):
    kind = serializers.ChoiceField(choices=ConsoleKind.choices)


ISSUED = inline_serializer(
    "ConsoleTicket",
    {
        "ticket": serializers.CharField(),
        "expires_at": serializers.DateTimeField(),
        "path": serializers.CharField(),
    },
)


class VMConsoleView(APIView):
    """The consoles of one virtual machine."""

    @extend_schema(request=ConsoleSerializer, responses={201: ISSUED}, parameters=MUTATION)
    @mutation
    def post(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """A ticket for the WebSocket at ``path``: good once, for a minute, for the sign-in that asked.

        Offer the subprotocols ``cloudsite.console.v1`` and ``ticket.<ticket>`` there.
        """
        kind = validated(ConsoleSerializer, request)["kind"]
        issued = ticket_issue(actor=actor_of(request), vm_id=vm_id, kind=kind, binding=binding_of(request))
        body = {"expires_at": issued.expires_at, "path": issued.path}
        return Answer(
            status=201,
            plan=issued.plan,
            body={"ticket": issued.ticket, **body},
            location=issued.path,
            kept={"ticket": "", **body},
        )
