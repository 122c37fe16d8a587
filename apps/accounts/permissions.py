"""What a role or a token's scope allows at all. What belongs to whom is decided in selectors and services."""

from typing import Any

from django.http import HttpRequest
from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from apps.accounts.models import Role, Scope, User
from apps.accounts.tokens import Claims
from apps.errors import Forbidden


def is_read_only_token(request: Request) -> bool:
    """Whether the request came with a token that may only read."""
    return isinstance(request.auth, Claims) and request.auth.scope != Scope.FULL


def actor_of(request: Request | HttpRequest) -> User:
    """Who asks. Raises ``NotAuthenticated`` where nobody is signed in."""
    if not isinstance(request.user, User):
        raise NotAuthenticated
    return request.user


class SignedInWithScope(BasePermission):
    """Signed in; and to change anything, neither a viewer nor a read-only token."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """False is a 401. Raises ``Forbidden`` with the reason."""
        user = request.user
        if not isinstance(user, User):
            return False
        if request.method in SAFE_METHODS:
            return True
        if is_read_only_token(request):
            raise Forbidden("auth.scope", "This token may only read.")
        if user.role == Role.VIEWER and not user.is_admin:
            raise Forbidden("auth.role", "A viewer may only read.")
        return True


class OwnAccount(BasePermission):
    """One's own account: a viewer may change their password too, a read-only token may not."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """False is a 401. Raises ``Forbidden`` with the reason."""
        if not isinstance(request.user, User):
            return False
        if request.method not in SAFE_METHODS and is_read_only_token(request):
            raise Forbidden("auth.scope", "This token may only read.")
        return True


class AdminOnly(SignedInWithScope):
    """For views that only administrators may use at all."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """False is a 401. Raises ``Forbidden`` with the reason."""
        if not super().has_permission(request, view):
            return False
        if not actor_of(request).is_admin:
            raise Forbidden("role.admin_only", "Only administrators may do this.")
        return True
