"""Every error of the API as ``application/problem+json`` (RFC 9457), from one table.

400: the shape is wrong (not JSON, wrong type, missing, unknown or read-only field).
422: the shape is right and the value is refused. 503: PostgreSQL is away; nothing was changed.
"""

from collections.abc import Iterator
from http import HTTPStatus
from itertools import islice
from typing import Any

import structlog
from django.core import exceptions as django_errors
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse, JsonResponse
from rest_framework import exceptions
from rest_framework.permissions import SAFE_METHODS
from rest_framework.response import Response
from rest_framework.views import set_rollback

from apps.envelope.problem import body as body
from apps.envelope.problem import body_of
from apps.envelope.serializers import SHAPE_CODES
from apps.errors import AppError, FieldError

log = structlog.get_logger(__name__)
MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
MOST_ERRORS = 100
LONGEST_FIELD = 100  # an answer does not grow with what was sent

# DRF's exceptions, most specific first: class, code, title.
TABLE: tuple[tuple[type[exceptions.APIException], str, str], ...] = (
    (exceptions.ParseError, "request.unparsable", "Malformed"),
    (exceptions.NotAuthenticated, "auth.required", "Not signed in"),
    (exceptions.AuthenticationFailed, "auth.failed", "Not signed in"),
    (exceptions.PermissionDenied, "auth.forbidden", "Not allowed"),
    (exceptions.NotFound, "request.not_found", "Not found"),
    (exceptions.MethodNotAllowed, "request.method", "Method not allowed"),
    (exceptions.NotAcceptable, "request.not_acceptable", "Not acceptable"),
    (exceptions.UnsupportedMediaType, "request.media_type", "Unsupported media type"),
    (exceptions.Throttled, "request.throttled", "Too many requests"),
)


def problem(*, status: int, code: str, detail: str, title: str = "") -> HttpResponse:
    """The same for places outside of DRF: no such path, CSRF, an unexpected error."""
    content = body(status=status, code=code, title=title, detail=detail)
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return JsonResponse(content, status=status, content_type=MEDIA_TYPE, headers=headers)


def problem_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's hook. None for what we do not know: Django logs it and ``views.server_error`` answers."""
    content = _content(error, safe=context["request"].method in SAFE_METHODS)
    if content is None:
        return None
    set_rollback()
    response = Response(content, status=content["status"], content_type=MEDIA_TYPE)
    for name, value in _headers(error).items():
        response[name] = value
    return response


def _content(error: Exception, *, safe: bool) -> dict[str, Any] | None:
    if isinstance(error, AppError):
        return body_of(error)
    if isinstance(error, exceptions.ValidationError):
        return _validation(error, safe=safe)
    if isinstance(error, exceptions.APIException):
        return _from_table(error)
    if isinstance(error, Http404):
        return body(status=404, code="request.not_found", detail="There is nothing here.")
    if isinstance(error, django_errors.PermissionDenied):
        return body(status=403, code="auth.forbidden", title="Not allowed", detail="You may not do this.")
    if isinstance(error, django_errors.RequestDataTooBig):
        return body(status=413, code="request.too_large", detail="The body is too large.")
    if isinstance(error, (OperationalError, InterfaceError)):
        log.warning("database.away", error=str(error))
        return database_away()
    return None


def database_away() -> dict[str, Any]:
    """The problem of a request that PostgreSQL could not serve. Its transaction did not commit."""
    detail = "The database cannot be reached at the moment. Nothing was changed; try again."
    return body(status=503, code="unavailable.database", title="Unavailable", detail=detail)


def _from_table(error: exceptions.APIException) -> dict[str, Any]:
    for kind, code, title in TABLE:
        if isinstance(error, kind):
            given = error.get_codes()
            own = given if isinstance(given, str) and "." in given else code
            return body(status=error.status_code, code=own, title=title, detail=str(error.detail))
    return body(status=error.status_code, code="request.failed", detail=str(error.detail))


def _validation(error: exceptions.ValidationError, *, safe: bool) -> dict[str, Any]:
    errors = tuple(islice(_flatten(error.detail), MOST_ERRORS))
    if safe or any(e.code in SHAPE_CODES for e in errors):
        detail = "The request does not have the form that is documented."
        return body(status=400, code="request.malformed", title="Malformed", detail=detail, errors=errors)
    detail = "; ".join(e.detail for e in errors[:3]) or "The values are refused."
    return body(status=422, code="request.refused", title="Refused", detail=detail, errors=errors)


def _flatten(detail: Any, path: str = "") -> Iterator[FieldError]:
    """DRF's tree of errors as a list; ``path`` becomes ``ssh_keys.0`` and the like."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            own = "" if name == "non_field_errors" else str(name)
            yield from _flatten(inner, ".".join(part for part in (path, own) if part))
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            is_leaf = isinstance(inner, exceptions.ErrorDetail)
            yield from _flatten(inner, path if is_leaf else f"{path}.{index}")
    else:
        code = detail.code if isinstance(detail, exceptions.ErrorDetail) else "invalid"
        yield FieldError(field=path[:LONGEST_FIELD], code=code or "invalid", detail=str(detail))


def _headers(error: Exception) -> dict[str, str]:
    if isinstance(error, (OperationalError, InterfaceError)):
        return {"Retry-After": str(RETRY_AFTER_S)}
    if isinstance(error, AppError) and error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"Retry-After": str(RETRY_AFTER_S)}
    headers = {}
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = str(error.auth_header)  # type: ignore[attr-defined]
    if getattr(error, "wait", None):
        headers["Retry-After"] = str(max(1, round(error.wait)))  # type: ignore[attr-defined]
    return headers
