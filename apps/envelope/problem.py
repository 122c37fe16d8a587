"""What an error looks like in an answer (RFC 9457): for a whole request, and for one item of many."""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from apps.errors import AppError, FieldError


def body(
    *,
    status: int,
    code: str,
    title: str = "",
    detail: str,
    errors: tuple[FieldError, ...] = (),
    extra: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """A problem as a mapping. ``extra`` are extension members; they cannot replace the standard ones."""
    return {
        **extra,
        "type": f"urn:cloudsite:problem:{code}",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "errors": [{"field": e.field, "code": e.code, "detail": e.detail} for e in errors],
    }


def body_of(error: AppError) -> dict[str, Any]:
    """The problem that one of our own errors is."""
    return body(
        status=error.status,
        code=error.code,
        title=error.title,
        detail=error.detail,
        errors=error.errors,
        extra=error.extra,
    )
