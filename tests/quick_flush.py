"""What a test with real transactions wrote is deleted after it, and nothing else.

Django truncates every table instead and makes permissions and content types anew: 150 ms after each such test.
"""

from collections.abc import Iterator
from typing import Any

import pytest

# Made from the models; equal after every flush.
KEPT = ("django_migrations", "django_content_type", "auth_permission")
TABLES = """
SELECT quote_ident(relname) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> ALL(%s)
"""


def empty_tables() -> None:
    """Delete all rows of all tables but ``KEPT``, whatever refers to what."""
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(TABLES, [list(KEPT)])
        tables = [name for (name,) in cursor.fetchall()]
        # the names come quoted from the catalogue
        one = "SELECT '{0}' WHERE EXISTS (SELECT FROM {0})"
        cursor.execute(" UNION ALL ".join(one.format(name) for name in tables))
        filled = [name for (name,) in cursor.fetchall()]
        cursor.execute("SET LOCAL session_replication_role = replica")
        for name in filled:
            cursor.execute(f"DELETE FROM {name}")  # noqa: S608


@pytest.fixture(scope="session", autouse=True)
def quick_flush() -> Iterator[None]:
    from django.test import TransactionTestCase

    def teardown(_case: Any) -> None:
        empty_tables()

    patch = pytest.MonkeyPatch()
    patch.setattr(TransactionTestCase, "_fixture_teardown", teardown)
    yield
    patch.undo()
