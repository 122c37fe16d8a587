"""The envelope of every mutation: one transaction, ``?dry_run=true`` and ``Idempotency-Key``.

A dry run executes the very same service and rolls back. Doorbells hang on the commit, so nothing rings, and
validation cannot drift from the real thing.
"""

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from django.db import connection, transaction
from django.utils.crypto import salted_hmac
from rest_framework.request import Request
from rest_framework.response import Response

from apps.envelope.models import IdempotencyKey
from apps.errors import Conflict, FieldError, Refused, refused

PARAMETERS = frozenset({"dry_run"})


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a mutation would do. ``host`` is a host's name, where one is touched."""

    changes: tuple[str, ...]
    host: str | None = None
    restart_needed: bool = False
    reversible: bool = True


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a mutation answers: a status, a body, and the plan that a dry run shows instead.

    ``kept`` is the body that a repeated request gets where the first one held a secret. ``beside_plan`` is what a
    dry run answers beside the plan: what would become of each of many.
    """

    status: int
    plan: Plan
    body: dict[str, Any] | None = field(default=None)
    location: str = ""
    kept: dict[str, Any] | None = field(default=None)
    beside_plan: dict[str, Any] = field(default_factory=dict)


Method = Callable[..., Answer]


def is_dry_run(request: Request) -> bool:
    """Whether the query says ``dry_run=true``. Anything else but ``false`` is refused.

    So is every other parameter: ``?dry-run=true`` must not delete a machine.
    """
    unknown = sorted(set(request.query_params) - PARAMETERS)
    if unknown:
        name = unknown[0][:60]
        detail = f"A change does not know the parameter {name!r}. It knows dry_run."
        error = FieldError(field=name, code="request.unknown_parameter", detail=detail)
        raise Refused("request.unknown_parameter", detail, errors=(error,))
    said = request.query_params.getlist("dry_run", ["false"])
    if said not in (["true"], ["false"]):
        raise refused("dry_run", "request.dry_run", "dry_run is true or false, and is said once")
    return said == ["true"]


def mutation(method: Method) -> Callable[..., Response]:
    """Make a view method that returns an ``Answer`` transactional, previewable and idempotent."""

    @functools.wraps(method)
    def wrapper(view: Any, request: Request, **kwargs: Any) -> Response:
        dry_run, name = is_dry_run(request), _key(request)
        with transaction.atomic():
            key = _reserve(request, name) if name and not dry_run else None
            if key is not None and key.pk:
                return _respond(status=key.status, body=key.body, location=key.location)
            answer = method(view, request, **kwargs)
            if dry_run:
                transaction.set_rollback(True)
                return Response({"plan": asdict(answer.plan), **answer.beside_plan})
            response = _respond(status=answer.status, body=answer.body, location=answer.location)
            if key is not None:
                key.status, key.location = answer.status, answer.location
                key.body = _as_json(answer.body if answer.kept is None else answer.kept)
                key.save()
            return response

    return wrapper


def _respond(*, status: int, body: Any, location: str) -> Response:
    response = Response(body, status=status)
    if location:
        response["Location"] = location
    return response


def _as_json(body: Any) -> Any:
    from rest_framework.utils.encoders import JSONEncoder

    return json.loads(json.dumps(body, cls=JSONEncoder))


def _key(request: Request) -> str | None:
    """What the header says, or None without it."""
    key: str | None = request.headers.get("Idempotency-Key")
    if key is not None and (not 1 <= len(key) <= 255 or not key.isprintable()):
        raise refused("Idempotency-Key", "idempotency.key", "Idempotency-Key must have 1 to 255 printable characters.")
    return key


def _reserve(request: Request, key: str) -> IdempotencyKey:
    """The stored key of this request, or a new unsaved one.

    Raises ``Refused`` when the key was used with another body and ``Conflict`` while its first use runs.
    """
    fingerprint = _fingerprint(request)
    user_id = request.user.pk
    assert user_id is not None  # noqa: S101  # the permission refuses anonymous
    _lock(f"{user_id}:{key}")
    known = IdempotencyKey.objects.filter(user_id=user_id, key=key).first()
    if known is None:
        return IdempotencyKey(user_id=user_id, key=key, fingerprint=fingerprint)
    if known.fingerprint != fingerprint:
        raise Refused("idempotency.mismatch", "This Idempotency-Key was used with another request.")
    return known


def _lock(text: str) -> None:
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
        (taken,) = cursor.fetchone()
    if not taken:
        raise Conflict("idempotency.in_flight", "A request with this Idempotency-Key is still running.")


def _fingerprint(request: Request) -> str:
    """What tells two requests apart. Keyed, because a body may hold something that is worth guessing."""
    text = f"{request.method} {request.path} {json.dumps(request.data, sort_keys=True)}"
    return salted_hmac("cloudsite.idempotency", text, algorithm="sha256").hexdigest()
