"""Cursors: a page costs the same at the beginning and at the end of a long list."""

from base64 import b64decode
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.timezone import is_naive
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.pagination import Cursor as Position
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from apps.errors import refused

LONGEST_OFFSET = 6  # digits
FOREIGN_CURSOR = "This cursor was not made by this list."


class Cursor(CursorPagination):
    """``?limit=`` (at most 200) and ``?cursor=``; links in the body and in the ``Link`` header (RFC 8288).

    ``?ordering=`` takes the names that the view lists as ``ordering_fields``, with ``-`` for descending.
    """

    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 200
    ordering = ("-created_at", "-id")

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> tuple[str, ...]:
        allowed = getattr(view, "ordering_fields", ())
        wanted = request.query_params.get("ordering")
        if wanted is None:
            return tuple(getattr(view, "ordering", self.ordering))
        if wanted.removeprefix("-") not in allowed:
            names = ", ".join(allowed) or "nothing"
            raise refused("ordering", "request.ordering", f"This list can be ordered by {names}.")
        return (wanted, "-id" if wanted.startswith("-") else "id")

    def get_page_size(self, request: Request) -> int | None:
        wanted = request.query_params.get("limit")
        if wanted is None:
            return self.page_size
        plain = wanted.isascii() and wanted.isdigit() and len(wanted) <= len(str(self.max_page_size))
        if not plain or not 1 <= int(wanted) <= self.max_page_size:
            raise refused("limit", "request.limit", f"limit lies between 1 and {self.max_page_size}.")
        return int(wanted)

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        ordering = self.get_ordering(request, queryset, view)
        cursor = self.decode_cursor(request)
        if cursor is not None and cursor.position is not None:
            _must_be_of(queryset, ordering[0].removeprefix("-"), str(cursor.position))
        return super().paginate_queryset(queryset, request, view)

    def decode_cursor(self, request: Request) -> Position | None:
        """DRF's takes whatever is no cursor for the first page; a script would read it for ever."""
        text = request.query_params.get(self.cursor_query_param)
        if text is None:
            return None
        if not _is_cursor(text):
            raise ParseError(FOREIGN_CURSOR)
        try:
            return super().decode_cursor(request)
        except NotFound as error:
            raise ParseError(FOREIGN_CURSOR) from error

    def get_paginated_response(self, data: Any) -> Response:
        links = {"next": self.get_next_link(), "previous": self.get_previous_link()}
        response = Response({**links, "results": data})
        header = [f'<{url}>; rel="{"prev" if name == "previous" else name}"' for name, url in links.items() if url]
        if header:
            response["Link"] = ", ".join(header)
        return response

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        limit = {"type": "integer", "minimum": 1, "maximum": self.max_page_size, "default": self.page_size}
        return [
            {"name": "cursor", "in": "query", "description": "From a link of this list.", "schema": {"type": "string"}},
            {"name": "limit", "in": "query", "description": "Results on one page.", "schema": limit},
        ]

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri"}
        properties = {"next": link, "previous": link, "results": schema}
        return {"type": "object", "required": ["next", "previous", "results"], "properties": properties}


def _is_cursor(text: str) -> bool:
    """Base64 of what this paginator writes: a position, a direction, an offset."""
    try:
        plain = b64decode(text, validate=True).decode("ascii")
        written = parse_qs(plain, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        return False
    offset = written.get("o", ["0"])[0]
    return bool(written) and set(written) <= {"o", "r", "p"} and offset.isdigit() and len(offset) <= LONGEST_OFFSET


def _must_be_of(queryset: QuerySet[Any], column: str, position: str) -> None:
    """A cursor of another list, or of another ordering, has a position that this column cannot take."""
    try:
        value = queryset.model._meta.get_field(column).to_python(position)
    except ValidationError as error:
        raise ParseError(FOREIGN_CURSOR) from error
    if "\x00" in position or (isinstance(value, datetime) and is_naive(value)):
        raise ParseError(FOREIGN_CURSOR)
