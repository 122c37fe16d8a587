"""Reads. Every one takes the actor; what is not theirs does not exist for them."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.core.cache import cache
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from apps.accounts.models import SSHKey, TokenFamily, User
from apps.errors import Forbidden, NotFound, refused
from apps.names import as_id

SIGN_IN_TTL_S = 3  # bound on how long a revoked token still works; promised are 5 s
CACHED_FIELDS = {"id", "username", "role", "is_active", "is_staff", "is_superuser", "token_epoch"}


def require_admin(actor: User | AnonymousUser) -> User:
    """The actor as an administrator. Raises ``Forbidden``."""
    if not isinstance(actor, User) or not actor.is_admin:
        raise Forbidden("role.admin_only", "Only administrators may do this.")
    return actor


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """A token family that counts, and its person without the password (other columns load when asked for)."""

    user: User
    scope: str


def sign_in_key(family_id: uuid.UUID) -> str:
    """Where the cache keeps the answer of ``sign_in_current``."""
    return f"sign-in:{family_id}"


def sign_in_current(*, family_id: uuid.UUID, user_id: uuid.UUID) -> SignIn | None:
    """The sign-in that a genuine access token belongs to, or None when it was ended.

    One cached read, at most ``SIGN_IN_TTL_S`` old. Without Redis it is one query.
    """
    key = sign_in_key(family_id)
    names = [field.attname for field in User._meta.concrete_fields if field.attname in CACHED_FIELDS]
    found: tuple[str, dict[str, Any]] | None = cache.get(key)
    if found is None:
        family = sign_in_query(family_id=family_id, user_id=user_id)
        if family is None:
            return None  # not kept: answers to forged or ended tokens must not fill the cache
        found = (family.scope, {name: getattr(family.user, name) for name in names})
        cache.set(key, found, SIGN_IN_TTL_S)
    scope, values = found
    user = User.from_db(None, names, [values[name] for name in names])
    return SignIn(user=user, scope=scope) if user.id == user_id else None


def sign_in_query(*, family_id: uuid.UUID, user_id: uuid.UUID) -> TokenFamily | None:
    """The family as it is now, if it counts: not revoked, its person active, password and epoch unchanged."""
    family = (
        TokenFamily.objects.select_related("user")
        .filter(
            id=family_id,
            user_id=user_id,
            revoked_at=None,
            user__is_active=True,
            expires_at__gt=timezone.now(),
        )
        .first()
    )
    if family is None or family.credentials != family.user.get_session_auth_hash():
        return None
    return family


def session_sign_in_current(*, session_key: str) -> User | None:
    """Who is signed in with this browser session, or None when it was ended, by whatever means."""
    request = HttpRequest()
    request.session = SessionStore(session_key)
    user = get_user(request)
    return user if isinstance(user, User) else None


def session_binding(session_key: str) -> str:
    """A name for a browser session that does not open it."""
    return f"session:{hashlib.sha256(session_key.encode()).hexdigest()}"


def token_binding(family_id: uuid.UUID) -> str:
    return f"token:{family_id}"


def ssh_keys_for(*, actor: User) -> QuerySet[SSHKey]:
    """The actor's own keys; an administrator, too, sees only their own."""
    return SSHKey.objects.filter(owner=actor).order_by("name", "id")


def ssh_key_for(*, actor: User, key_id: uuid.UUID) -> SSHKey:
    """One of the actor's keys. Raises ``NotFound`` for a foreign and a missing one alike."""
    key = ssh_keys_for(actor=actor).filter(id=key_id).first()
    if key is None:
        raise NotFound("ssh_key.not_found", "There is no such SSH key.")
    return key


def ssh_keys_wanted(*, actor: User, references: Sequence[str], field: str = "ssh_keys") -> list[SSHKey]:
    """The actor's keys by name or id, in the order given. Raises ``Refused`` on ``field`` for an unknown one."""
    own = list(ssh_keys_for(actor=actor))
    by_reference = {key.name: key for key in own} | {str(key.id): key for key in own}
    found: dict[uuid.UUID, SSHKey] = {}
    for reference in references:
        identifier = as_id(reference)
        key = by_reference.get(str(identifier) if identifier else reference)
        if key is None:
            raise refused(field, "ssh_key.unknown", "There is no SSH key of yours with this name or id.")
        found[key.id] = key
    return list(found.values())
