"""Tokens, one's own account and SSH keys in the API."""

import uuid
from typing import Any

from django.db import transaction
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import generics, serializers
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from apps.accounts import services, tokens
from apps.accounts.models import Role, Scope, SSHKey, User
from apps.accounts.permissions import OwnAccount, actor_of
from apps.accounts.selectors import ssh_key_for, ssh_keys_for
from apps.accounts.throttles import AttemptThrottle, OwnAttemptThrottle, RefreshThrottle
from apps.envelope.filters import DocumentedFilters
from apps.envelope.mutation import Answer, Plan, is_dry_run, mutation
from apps.envelope.parameters import DRY_RUN, MUTATION
from apps.envelope.serializers import EmptySerializer, StrictSerializer, validated
from apps.names import NameField

LOCKED_OUT_WAIT_S = 60


class TokenRequestSerializer(StrictSerializer):
    username = serializers.CharField(trim_whitespace=False)
    password = serializers.CharField(trim_whitespace=False, write_only=True)
    scope = serializers.ChoiceField(
        choices=Scope.choices,
        default=Scope.FULL,
        help_text="`read`: 403 on everything that changes something.",
    )


class RefreshRequestSerializer(StrictSerializer):
    refresh = serializers.CharField(trim_whitespace=False)


class TokenPairSerializer(serializers.Serializer[Any]):
    access = serializers.CharField(help_text="Send as `Authorization: Bearer …`; good for 5 minutes.")
    refresh = serializers.CharField(help_text="Good once, for the next pair.")


class AccountSerializer(serializers.Serializer[User]):
    id = serializers.UUIDField()
    username = serializers.CharField()
    role = serializers.ChoiceField(choices=Role.choices)


class PasswordSerializer(StrictSerializer):
    current_password = serializers.CharField(trim_whitespace=False, write_only=True)
    new_password = serializers.CharField(trim_whitespace=False, write_only=True)


class SSHKeyRequestSerializer(StrictSerializer):
    name = NameField()
    public_key = serializers.CharField(
        trim_whitespace=False, allow_blank=True, help_text="One line, as in a .pub file, without options."
    )


class SSHKeySerializer(serializers.ModelSerializer[SSHKey]):
    class Meta:
        model = SSHKey
        fields = ["id", "name", "public_key", "fingerprint", "created_at"]
        read_only_fields = fields


class PublicView(APIView):
    """Open to everybody, blind to cookies; its 401 says how to sign in, and its answers are kept by no cache."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get_authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Cache-Control"] = "no-store"
        return response


def _pair(pair: tokens.Pair) -> Response:
    return Response({"access": pair.access, "refresh": pair.refresh})


class TokenView(PublicView):
    """Sign in. A wrong name and a wrong password get the same answer."""

    throttle_classes = (AttemptThrottle,)

    @extend_schema(
        request=TokenRequestSerializer,
        responses=TokenPairSerializer,
        examples=[OpenApiExample("sign in", {"username": "ada", "password": "…"}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        given = validated(TokenRequestSerializer, request)
        user = services.password_verify(request=request, username=given["username"], password=given["password"])
        if getattr(request, "axes_locked_out", False):
            raise Throttled(wait=LOCKED_OUT_WAIT_S, detail="Too many attempts. Try again in a few minutes.")
        if user is None:
            raise AuthenticationFailed("Wrong user name or password.", code="auth.credentials")
        return _pair(services.token_issue(user=user, scope=Scope(given["scope"])))


class TokenRefreshView(PublicView):
    """Trade a refresh token for a new pair. It is good once; used again, the whole sign-in ends."""

    throttle_classes = (RefreshThrottle,)

    @extend_schema(request=RefreshRequestSerializer, responses=TokenPairSerializer)
    def post(self, request: Request) -> Response:
        given = validated(RefreshRequestSerializer, request)
        try:
            return _pair(services.token_refresh(raw=given["refresh"]))
        except tokens.TokenInvalid as error:
            raise _invalid() from error


class TokenRevokeView(PublicView):
    """Sign out: the refresh token, and every token that came from the same sign-in, ends."""

    throttle_classes = (RefreshThrottle,)

    @extend_schema(request=RefreshRequestSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        given = validated(RefreshRequestSerializer, request)
        try:
            services.token_revoke(raw=given["refresh"])
        except tokens.TokenInvalid as error:
            raise _invalid() from error
        return Response(status=204)


def _invalid() -> AuthenticationFailed:
    return AuthenticationFailed("The token is not valid. Sign in again.", code="auth.token_invalid")


class MeView(APIView):
    """Who I am here."""

    permission_classes = (OwnAccount,)

    @extend_schema(responses=AccountSerializer)
    def get(self, request: Request) -> Response:
        return Response(AccountSerializer(actor_of(request)).data)


class MePasswordView(APIView):
    """Change my password. Ends all my sessions and tokens, this one too.

    No ``Idempotency-Key`` here: its record would keep a hash of the passwords.
    """

    permission_classes = (OwnAccount,)

    def get_throttles(self) -> list[BaseThrottle]:
        return [OwnAttemptThrottle()] if self.request.method == "POST" else []

    @extend_schema(request=PasswordSerializer, responses={204: None}, parameters=[DRY_RUN])
    def post(self, request: Request) -> Response:
        dry_run = is_dry_run(request)
        given = validated(PasswordSerializer, request)
        with transaction.atomic():
            services.password_change(
                actor=actor_of(request), current=given["current_password"], new=given["new_password"]
            )
            if dry_run:
                transaction.set_rollback(True)
                changes = ["change your password", "end all your sessions and tokens"]
                return Response(
                    {"plan": {"changes": changes, "host": None, "restart_needed": False, "reversible": True}}
                )
        return Response(status=204)


class SSHKeyListView(generics.ListAPIView[SSHKey]):
    """My SSH keys."""

    serializer_class = SSHKeySerializer
    filter_backends = (DocumentedFilters,)
    ordering_fields = ("name", "created_at")
    queryset = SSHKey.objects.none()

    def get_queryset(self) -> Any:
        return ssh_keys_for(actor=actor_of(self.request))

    @extend_schema(request=SSHKeyRequestSerializer, responses={201: SSHKeySerializer}, parameters=MUTATION)
    @mutation
    def post(self, request: Request) -> Answer:
        """Add a public key."""
        given = validated(SSHKeyRequestSerializer, request)
        key = services.ssh_key_create(actor=actor_of(request), **given)
        return Answer(
            status=201,
            plan=Plan(changes=(f"add the SSH key {key.name} ({key.fingerprint})",)),
            body=dict(SSHKeySerializer(key).data),
            location=f"/api/v1/ssh-keys/{key.pk}/",
        )


class SSHKeyView(APIView):
    """One of my SSH keys."""

    @extend_schema(responses=SSHKeySerializer)
    def get(self, request: Request, key_id: uuid.UUID) -> Response:
        return Response(SSHKeySerializer(ssh_key_for(actor=actor_of(request), key_id=key_id)).data)

    @extend_schema(request=None, responses={204: None}, parameters=MUTATION)
    @mutation
    def delete(self, request: Request, key_id: uuid.UUID) -> Answer:
        """Remove a key. Machines that were made with it keep accepting it."""
        validated(EmptySerializer, request)
        key = services.ssh_key_delete(actor=actor_of(request), key_id=key_id)
        return Answer(status=204, plan=Plan(changes=(f"delete the SSH key {key.name}",), reversible=False))
