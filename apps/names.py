"""Names that people give to things: what a machine may be called, and how a reference is told from an id."""

import re
import uuid
from collections.abc import Iterable
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.errors import AppError, refused

MAX_LENGTH = 63
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
RULE = "1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit"
CPU_FEATURE = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
MOST_FEATURES = 20
UUID_SHAPE = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)


def valid_name(field: str, value: str) -> str:
    """The name itself. Raises ``Refused`` on ``field``: a name must suit DNS, and never look like an id."""
    if not NAME.fullmatch(value):
        raise refused(field, "name.invalid", f"Use {RULE}.")
    if UUID_SHAPE.fullmatch(value):
        raise refused(field, "name.like_id", "A name must not look like an id.")
    return value


def valid_cpu_features(names: Iterable[str]) -> tuple[str, ...]:
    """CPU features and levels that somebody asks for, each once. Raises ``Refused`` for too many, or what is none."""
    found = tuple(sorted(set(names)))
    if len(found) > MOST_FEATURES:
        raise refused("cpu_features", "cpu_features.too_many", f"At most {MOST_FEATURES} CPU features are asked for.")
    for name in found:
        if not CPU_FEATURE.fullmatch(name):
            detail = f"{name[:40]!r} is no CPU feature such as avx2, nor a level such as x86-64-v3."
            raise refused("cpu_features", "cpu_features.name", detail)
    return found


def as_id(reference: str) -> uuid.UUID | None:
    """The id that a reference in a body or filter spells, or None when it is a name."""
    return uuid.UUID(reference) if UUID_SHAPE.fullmatch(reference) else None


@extend_schema_field({"type": "string", "pattern": f"^{NAME.pattern}$", "maxLength": MAX_LENGTH})
class NameField(serializers.CharField):
    """A serializer field for such a name."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, max_length=MAX_LENGTH, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data)
        try:
            return valid_name(self.field_name or "name", value)
        except AppError as error:
            raise serializers.ValidationError(error.detail, code=error.code) from error
