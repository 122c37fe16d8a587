"""One-time passwords for the console, in the API."""

import uuid

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.accounts.permissions import actor_of
from apps.compute.api.vm import ACCEPTED, answer_accepted
from apps.compute.services.console_password import console_password_reveal, vm_console_password
from apps.envelope.mutation import Answer, mutation
from apps.envelope.parameters import MUTATION
from apps.envelope.serializers import EmptySerializer, validated

SHOWN = inline_serializer(
    "ConsolePassword",
    {
        "login": serializers.CharField(help_text="The user of the guest."),
        "password": serializers.CharField(),
        "must_change": serializers.BooleanField(help_text="Whether the guest asks for another one at sign-in."),
    },
)


class VMConsolePasswordView(APIView):
    @extend_schema(request=EmptySerializer, responses=ACCEPTED, parameters=MUTATION)
    @mutation
    def post(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """Set a new password for the user of its image, through the guest agent of the running guest.

        Once the operation has succeeded, `reveal/` shows it to you, once, within ten minutes.
        """
        validated(EmptySerializer, request)
        return answer_accepted(request, vm_console_password(actor=actor_of(request), vm_id=vm_id))


class VMConsolePasswordRevealView(APIView):
    @extend_schema(request=EmptySerializer, responses={200: SHOWN}, parameters=MUTATION)
    @mutation
    def post(self, request: Request, vm_id: uuid.UUID) -> Answer:
        """The password that you have asked for. It is shown once; a repeated request gets an empty one."""
        validated(EmptySerializer, request)
        shown = console_password_reveal(actor=actor_of(request), vm_id=vm_id)
        body = {"login": shown.login, "must_change": shown.must_change}
        return Answer(
            status=200, plan=shown.plan, body={"password": shown.password, **body}, kept={"password": "", **body}
        )
