"""The JWTs themselves: which claims they carry and what makes one genuine. Whether it still counts is a row."""

import uuid
from dataclasses import dataclass
from typing import Any

from rest_framework_simplejwt import tokens
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings

from apps.accounts.models import Role, Scope, TokenFamily

MAX_LENGTH = 2048  # ours have about 400 characters
ACCESS_LIFETIME = api_settings.ACCESS_TOKEN_LIFETIME
REFRESH_LIFETIME = api_settings.REFRESH_TOKEN_LIFETIME


class TokenInvalid(Exception):
    """Not one of our tokens, or no longer. The reason is for the log, not for the sender."""


class Access(tokens.Token):
    token_type = "access"  # noqa: S105  # a kind of token, not one
    lifetime = ACCESS_LIFETIME


class Refresh(tokens.Token):
    token_type = "refresh"  # noqa: S105
    lifetime = REFRESH_LIFETIME


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What a genuine token says. ``role`` is in it for clients only: we read the row."""

    jti: uuid.UUID
    user: uuid.UUID
    family: uuid.UUID
    scope: Scope


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What a client gets."""

    access: str
    refresh: str


def issue(*, family: TokenFamily, role: Role | str) -> Pair:
    """A new access token and the refresh token that ``family.current`` names."""
    access, refresh = Access(), Refresh()
    for token in (access, refresh):
        token["sub"] = str(family.user_id)
        token["family"] = str(family.id)
        token["scope"] = str(family.scope)
        token["role"] = str(role)
    refresh["jti"] = family.current.hex
    return Pair(access=str(access), refresh=str(refresh))


def read(kind: type[tokens.Token], raw: str | bytes) -> Claims:
    """Check signature (one algorithm, our key), audience, issuer, times and kind. Raises ``TokenInvalid``."""
    if len(raw) > MAX_LENGTH:
        raise TokenInvalid("too long")
    try:
        token: Any = kind(raw)  # type: ignore[arg-type]  # the library's annotation says Token for the text
        if "iat" not in token:  # one that is there has been checked
            raise TokenInvalid("undated")
        return Claims(
            jti=uuid.UUID(token["jti"]),
            user=uuid.UUID(token["sub"]),
            family=uuid.UUID(token["family"]),
            scope=Scope(token["scope"]),
        )
    except (TokenError, KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError) as error:
        raise TokenInvalid(str(error)) from error
