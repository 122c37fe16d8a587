"""A host with machines on it, and reading what is kept of them."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def machines(host: Any) -> list[uuid.UUID]:
    """Two machines that hold room on the host."""
    from apps.hosts.models import Allocation

    ids = [uuid.uuid4(), uuid.uuid4()]
    for number, vm_id in enumerate(ids):
        Allocation.objects.create(
            host=host, consumer_id=vm_id, label=f"vm-{number}", kind="vm", vcpus=1, memory_mib=256, disk_gib=1
        )
    return ids


@pytest.fixture
def kept(db: None) -> Callable[..., list[dict[str, Any]]]:
    """The rows of a table in order: ``kept("vm", "minute", vm_id)``."""
    from django.db import connection

    def read(kind: str, level: str, key: uuid.UUID) -> list[dict[str, Any]]:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM metrics_{kind}_{level} WHERE {kind}_id = %s ORDER BY at", [key])  # noqa: S608
            names = [column.name for column in cursor.description or []]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    return read
