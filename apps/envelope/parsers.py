"""JSON as a contract: duplicate keys, NaN, deep nesting and broken text are errors, not guesses."""

import json
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

MAX_DEPTH = 20


class StrictJSONParser(JSONParser):
    """DRF's parser, refusing what JSON parsers disagree about."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        limit: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise RequestDataTooBig("The body is too large.")
        try:
            value = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise ParseError(f"This is not valid JSON: {error}") from error
        _check(value, depth=0)
        return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"the key {name[:60]!r} stands twice")
        result[name] = value
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _check(value: Any, *, depth: int) -> None:
    """Depth within bounds, and neither NUL nor lone surrogates: PostgreSQL cannot store them."""
    if depth > MAX_DEPTH:
        raise ParseError(f"The body is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, dict):
        for key, item in value.items():
            _check(key, depth=depth + 1)
            _check(item, depth=depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth=depth + 1)
    elif isinstance(value, str):
        if "\x00" in value:
            raise ParseError("The text holds a NUL character.")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ParseError("The text holds half a character (a lone surrogate).") from error
