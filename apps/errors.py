"""Every error a user can meet, as one tree. Codes are append-only: clients script against them.

AppError                 code, detail, optional field errors
├── NotFound        404  foreign or missing: the same answer for both
├── Forbidden       403  your own object, but your role or token may not do this
├── Conflict        409  the object is busy or in the wrong state; may name the operation in the way
├── Refused         422  understood and not possible, with the field and the reason
└── Unavailable     503  try again; nothing was changed
"""

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class FieldError:
    """One field that is wrong. ``field`` is the name the client sent."""

    field: str
    code: str
    detail: str


class AppError(Exception):
    """Raised by services and selectors. ``code`` is stable, ``detail`` is one sentence for a person."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Error"

    def __init__(self, code: str, detail: str, *, errors: tuple[FieldError, ...] = (), **extra: Any) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = errors
        self.extra = extra


class NotFound(AppError):
    status = 404
    title = "Not found"


class Forbidden(AppError):
    status = 403
    title = "Not allowed"


class Conflict(AppError):
    status = 409
    title = "Conflict"


class Refused(AppError):
    status = 422
    title = "Refused"


class Unavailable(AppError):
    status = 503
    title = "Unavailable"


def refused(field: str, code: str, detail: str) -> Refused:
    """A refusal because of one field."""
    return Refused(code, detail, errors=(FieldError(field=field, code=code, detail=detail),))
