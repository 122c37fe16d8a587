"""Reading answers: one place that knows what a problem looks like."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import sql

STANDARD = {"type", "title", "status", "detail", "code", "errors"}


def problem_of(response: Any, status: int, code: str | None = None, field: str | None = None) -> dict[str, Any]:
    """The problem of an answer, after checking its form; optionally its code and a field that it names."""
    assert response.status_code == status, (response.status_code, response.content[:500])
    assert response["Content-Type"] == "application/problem+json", response["Content-Type"]
    found: dict[str, Any] = response.json()
    assert set(found) >= STANDARD
    assert found["status"] == status
    assert found["title"] and found["detail"]
    assert found["type"] == f"urn:cloudsite:problem:{found['code']}"
    for error in found["errors"]:
        assert set(error) == {"field", "code", "detail"}
    if code is not None:
        assert found["code"] == code, found
    if field is not None:
        assert field in [error["field"] for error in found["errors"]], found
    return found


def rows() -> dict[str, int]:
    """How many rows every table of ours has."""
    from django.apps import apps

    models = [model for model in apps.get_models() if model.__module__.startswith("apps.")]
    return {model._meta.label: model._default_manager.count() for model in models}


def everything() -> dict[str, list[str]]:
    """Every row of every table of ours as PostgreSQL writes it, so that a silent update is seen too."""
    from django.apps import apps
    from django.db import connection

    tables = sorted(model._meta.db_table for model in apps.get_models() if model.__module__.startswith("apps."))
    each = (
        sql.SQL("SELECT {}, to_jsonb(one)::text FROM {} one").format(sql.Literal(table), sql.Identifier(table))
        for table in tables
    )
    found: dict[str, list[str]] = {table: [] for table in tables}
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(" UNION ALL ").join(each))
        for table, row in cursor:
            found[table].append(row)
    return {table: sorted(lines) for table, lines in found.items()}


@contextmanager
def undone() -> Iterator[None]:
    """What is done to the database in here is taken back, so that several can act on the same world in one test."""
    from django.db import transaction

    with transaction.atomic():
        yield
        transaction.set_rollback(True)
