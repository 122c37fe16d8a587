"""Who opens a WebSocket: the browser's session cookie or an access token, as anywhere else."""

import uuid
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import parse_cookie

from apps.accounts import selectors, tokens
from apps.accounts.models import Scope, User


@dataclass(frozen=True, kw_only=True)
class Caller:
    """A sign-in. It is asked again while a console is open, since it may have ended meanwhile."""

    binding: str
    session_key: str = ""
    family: uuid.UUID | None = None
    token_user: uuid.UUID | None = None

    def user(self) -> User | None:
        """Who is signed in now, or None. Reads PostgreSQL."""
        if self.family is None or self.token_user is None:
            return selectors.session_sign_in_current(session_key=self.session_key)
        family = selectors.sign_in_query(family_id=self.family, user_id=self.token_user)
        return family.user if family is not None and family.scope == Scope.FULL else None


def caller_of(scope: Any) -> Caller | None:
    """The sign-in that a handshake names, whether or not it still counts."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    kind, _, raw = headers.get(b"authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return _token_caller(raw.strip())
    key = parse_cookie(headers.get(b"cookie", "")).get(settings.SESSION_COOKIE_NAME, "")
    return Caller(binding=selectors.session_binding(key), session_key=key) if key else None


def _token_caller(raw: str) -> Caller | None:
    try:
        claims = tokens.read(tokens.Access, raw)
    except tokens.TokenInvalid:
        return None
    return Caller(binding=selectors.token_binding(claims.family), family=claims.family, token_user=claims.user)
