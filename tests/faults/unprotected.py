"""The Celery application with protections taken away, for the controls: ``celery -A tests.faults.unprotected``.

A control shows that a test would notice. ``CLOUDSITE_TEST_WITHOUT`` names what is taken away, by comma.
"""

import os
import uuid
from collections.abc import Callable
from functools import cache
from typing import Any

import django

from cloudsite.celery import app

django.setup()


def derived_names() -> None:
    """Each process makes up its own name for a VM's disk."""
    from workers.compute import domain, vm

    @cache
    def made_up(_process: int, _vm_id: uuid.UUID) -> uuid.UUID:
        return uuid.uuid4()

    domain.root_volume_id = vm.root_volume_id = lambda machine: made_up(os.getpid(), machine.pk)


def sweep() -> None:
    """Nobody looks for what no bell announced."""
    from workers import sweep

    sweep.sweep = lambda: 0  # type: ignore[assignment]


def self_kill() -> None:
    """A child may hang for as long as it likes."""
    app.conf.task_time_limit = None


def late_check() -> None:
    """Whoever slept for a lease goes on as if nothing had happened."""
    from workers.engine import Run

    Run._check_still_ours = lambda _run: None  # type: ignore[method-assign]


def claim() -> None:
    """Everybody who hears of an operation takes it."""
    from django.db.models import F

    from apps.operations.models import Operation, Status
    from workers import engine

    def take(operation_id: uuid.UUID) -> Operation:
        Operation.objects.filter(pk=operation_id).update(status=Status.RUNNING, attempts=F("attempts") + 1)
        return Operation.objects.get(pk=operation_id)

    engine.operation_claim = take


def capacity() -> None:
    """Read, think, then write: what capacity looks like without the conditional update."""
    from django.db import connection, transaction
    from django.db.models import F

    from apps.hosts.models import Allocation, Host
    from apps.placement import services

    def naive(
        *, host_id: uuid.UUID, consumer_id: uuid.UUID, label: str, demand: Any, kind: str, ceiling: Any, group_id: Any
    ) -> bool:
        memory = demand.claimed_memory_mib
        host = Host.objects.get(pk=host_id)
        if host.memory_claimed_mib + memory > host.memory_limit_mib:
            return False
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.05)")
        with transaction.atomic():
            Host.objects.filter(pk=host_id).update(
                vcpus_claimed=F("vcpus_claimed") + demand.vcpus,
                memory_claimed_mib=F("memory_claimed_mib") + memory,
                disk_claimed_gib=F("disk_claimed_gib") + demand.disk_gib,
            )
            Allocation.objects.create(
                host_id=host_id,
                consumer_id=consumer_id,
                label=label,
                kind=kind,
                vcpus=demand.vcpus,
                memory_mib=memory,
                disk_gib=demand.disk_gib,
                group_id=group_id,
            )
        return True

    services.capacity_claim = naive


PROTECTIONS: dict[str, Callable[[], None]] = {
    "derived-names": derived_names,
    "sweep": sweep,
    "self-kill": self_kill,
    "late-check": late_check,
    "claim": claim,
    "capacity": capacity,
}
for name in os.environ["CLOUDSITE_TEST_WITHOUT"].split(","):
    PROTECTIONS[name]()
__all__ = ["app"]
