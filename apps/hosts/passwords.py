"""A password on its way from a request to the worker that uses it once.

It never reaches PostgreSQL, a message or a log: Redis holds it encrypted with a key derived from the secret
key, for two minutes at most, and whoever takes it removes it.
"""

import base64
import hashlib
import uuid

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.core.cache import cache

from apps.errors import Unavailable

SECONDS = 120


def password_keep(*, operation_id: uuid.UUID, password: str) -> None:
    """Hand a password to the worker of this operation. Raises ``Unavailable`` with Redis away."""
    cache.set(_name(operation_id), _fernet().encrypt(password.encode()), SECONDS)
    if cache.get(_name(operation_id)) is None:
        raise Unavailable("password.not_kept", "The password could not be handed over: Redis does not answer.")


def password_take(*, operation_id: uuid.UUID) -> str | None:
    """The password, once. None: none was given, it was taken, or it is too old."""
    kept = cache.get(_name(operation_id))
    cache.delete(_name(operation_id))
    if kept is None:
        return None
    try:
        return _fernet().decrypt(kept, ttl=SECONDS).decode()
    except InvalidToken:
        return None


def _name(operation_id: uuid.UUID) -> str:
    return f"password:{operation_id}"


def _fernet() -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"host-password:" + settings.SECRET_KEY.encode()).digest()))
