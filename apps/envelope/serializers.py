"""Bodies as a contract: what we do not know is an error, and nothing is guessed from another type."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.fields import Field
from rest_framework.request import Request

WRONG_TYPE = "wrong_type"
UNKNOWN = "unknown_field"
READ_ONLY = "read_only_field"
SHAPE_CODES = frozenset({WRONG_TYPE, UNKNOWN, READ_ONLY, "required", "null", "not_a_list", "not_a_dict"})

# Subclasses count: a ChoiceField is no CharField, so it stands here too.
TYPES: tuple[tuple[type[Field[Any, Any, Any, Any]], tuple[type, ...], str], ...] = (
    (serializers.BooleanField, (bool,), "true or false"),
    (serializers.IntegerField, (int,), "a whole number"),
    (serializers.FloatField, (int, float), "a number"),
    (serializers.DecimalField, (int, float), "a number"),
    (serializers.MultipleChoiceField, (list,), "a list"),
    (serializers.CharField, (str,), "a text"),
    (serializers.ChoiceField, (str,), "a text"),
    (serializers.UUIDField, (str,), "a text"),
    (serializers.DateTimeField, (str,), "a text"),
    (serializers.ListField, (list,), "a list"),
    (serializers.ListSerializer, (list,), "a list"),
    (serializers.DictField, (dict,), "an object"),
    (serializers.BaseSerializer, (dict,), "an object"),
)


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses unknown and read-only fields and wrong JSON types (400), before any value is looked at (422).

    DRF on its own drops unknown fields and takes ``"7"`` for 7 and ``"yes"`` for true.
    """

    default_error_messages = {"invalid": "Expected an object."}

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise serializers.ValidationError(
                {"non_field_errors": [serializers.ErrorDetail("Expected an object.", code=WRONG_TYPE)]}
            )
        errors = _unexpected(self, data) | _wrong_types(self, data)
        if errors:
            raise serializers.ValidationError(errors)
        return super().to_internal_value(data)


class EmptySerializer(StrictSerializer):
    """The body of a verb without arguments: ``{}``, or none at all."""


def _unexpected(serializer: StrictSerializer, data: Mapping[str, Any]) -> dict[str, Any]:
    errors: dict[str, Any] = {}
    for name in data:
        field = serializer.fields.get(name)
        if field is None:
            errors[name] = [serializers.ErrorDetail("There is no such field.", code=UNKNOWN)]
        elif field.read_only:
            errors[name] = [serializers.ErrorDetail("This field cannot be set.", code=READ_ONLY)]
    return errors


def _wrong_types(serializer: StrictSerializer, data: Mapping[str, Any]) -> dict[str, Any]:
    errors: dict[str, Any] = {}
    for name, field in serializer.fields.items():
        if name in data and not field.read_only and (found := type_errors(field, data[name])):
            errors[name] = found
    return errors


def type_errors(field: Field[Any, Any, Any, Any], value: Any) -> Any:
    """DRF's error structure for a value of the wrong JSON type, or None. Looks into lists."""
    if value is None:
        return None  # the field itself says whether null is allowed
    for kind, accepted, spoken in TYPES:
        if isinstance(field, kind):
            if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in accepted):
                return [serializers.ErrorDetail(f"Expected {spoken}.", code=WRONG_TYPE)]
            break
    if isinstance(field, serializers.ListField):
        found = {index: error for index, item in enumerate(value) if (error := type_errors(field.child, item))}
        return found or None
    return None


def validated(serializer_class: type[StrictSerializer], request: Request) -> dict[str, Any]:
    """The body of a request, checked for its shape; services check what it means. Raises DRF's ``ValidationError``."""
    serializer = serializer_class(data=request.data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
