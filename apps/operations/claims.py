"""Working on an operation: claim, sign of life, end. Every write after the claim is fenced.

All times are the database's, so the clocks of workers do not matter.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, When
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Coalesce, Now

from apps.operations import timeouts
from apps.operations.doorbell import ring_on_commit
from apps.operations.models import ACTIVE, Operation, Status


class Fenced(Exception):
    """Somebody else has claimed this operation since: stop at once and write nothing."""


def operation_claim(operation_id: uuid.UUID) -> Operation | None:
    """Take an operation that is due and free. None: not mine (running elsewhere, ended, not yet, host full).

    A delete can be claimed once no other operation on its target is active. One that is still running although
    its lease is over was left by a worker that died; that is counted.
    """
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=Now())
    with transaction.atomic():
        host_id = Operation.objects.filter(pk=operation_id).values_list("host_id", flat=True).first()
        if host_id is not None and not host_has_a_slot(host_id=host_id, operation_id=operation_id):
            return None
        claimed = (
            _unblocked(Operation.objects.filter(free, pk=operation_id, status__in=ACTIVE))
            .filter(run_after__lte=Now())
            .update(
                status=Status.RUNNING,
                attempts=F("attempts") + 1,
                crashes=F("crashes") + Case(When(status=Status.RUNNING, then=1), default=0),
                lease_until=Now() + timedelta(seconds=timeouts.lease()),
                started_at=Coalesce("started_at", Now()),
            )
        )
        return Operation.objects.get(pk=operation_id) if claimed else None


def _unblocked(operations: QuerySet[Operation]) -> QuerySet[Operation]:
    """Without the deletes that wait for another operation on their target to end."""
    others = Operation.objects.filter(target_id=OuterRef("target_id"), status__in=ACTIVE, deletes=False)
    return operations.filter(Q(deletes=False) | ~Exists(others))


def host_has_a_slot(*, host_id: uuid.UUID, operation_id: uuid.UUID) -> bool:
    """Whether fewer than ``HOST_CALLS`` other operations run on the host: a sick one must not take all workers.

    Counting is serialised per host by an advisory lock that ends with the caller's transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [host_id.int >> 65])
    running = Operation.objects.filter(host_id=host_id, status=Status.RUNNING, lease_until__gte=Now())
    return running.exclude(pk=operation_id).count() < settings.HOST_CALLS


def _mine(operation: Operation) -> QuerySet[Operation]:
    """The operation's row as long as no later claim has it. Whoever updates it holds its lock."""
    return Operation.objects.filter(pk=operation.pk, attempts=operation.attempts, status=Status.RUNNING)


def _renewed() -> CombinedExpression:
    return Now() + timedelta(seconds=timeouts.lease())


@contextmanager
def held(operation: Operation) -> Iterator[None]:
    """A transaction that holds the operation's row and proves that it is still ours. Renews the lease.

    Whatever is written inside (a VM's state, a claim of capacity) is protected from a late worker too.
    Raises ``Fenced``.
    """
    with transaction.atomic():
        if not _mine(operation).update(lease_until=_renewed()):
            raise Fenced(str(operation.pk))
        yield


@contextmanager
def fenced(operation: Operation) -> Iterator[Operation]:
    """The same, with the row as it is now."""
    with held(operation):
        yield Operation.objects.get(pk=operation.pk)


def operation_report(
    operation: Operation, *, step: str, progress: int | None = None, host_id: uuid.UUID | None = None
) -> bool:
    """Say what happens now, in one statement, and renew the lease. False: it was asked to stop, nothing is said.

    Deletes are not asked to stop. Raises ``Fenced``.
    """
    said: dict[str, Any] = {"step": step[:200], "progress": progress}
    if host_id is not None:
        said["host_id"] = host_id
    wanted = Q(deletes=True) | Q(cancel_requested=False)
    if _mine(operation).filter(wanted).update(lease_until=_renewed(), **said):
        for field, value in said.items():
            setattr(operation, field, value)
        return True
    if _mine(operation).exists():
        return False
    raise Fenced(str(operation.pk))


def operation_postpone(operation: Operation, *, reason: str, seconds: float, renew: bool = False) -> None:
    """Give the operation back until later: ``queued`` with ``run_after`` and the reason in ``step``.

    One that was asked to stop is due at once. ``renew`` begins the deadline anew, for work that gets on.
    """
    with fenced(operation) as current:
        wait = 0.0 if current.cancel_requested and not current.deletes else seconds
        renewed = {"deadline": Now() + timedelta(seconds=timeouts.deadline())} if renew else {}
        Operation.objects.filter(pk=current.pk).update(
            status=Status.QUEUED,
            step=reason[:200],
            lease_until=None,
            run_after=Now() + timedelta(seconds=wait),
            **renewed,
        )
        ring_on_commit(current.pk, wait)
        _ring_waiting(current)


def operation_end(
    operation: Operation, *, status: Status, code: str = "", message: str = "", retryable: bool = False
) -> None:
    """Write the outcome and ring whatever waited for this target or host. Raises ``Fenced``."""
    with fenced(operation) as current:
        Operation.objects.filter(pk=current.pk).update(
            status=status,
            error_code=code,
            error_message=message[:1000],
            retryable=retryable,
            lease_until=None,
            finished_at=Now(),
            **({"progress": 100, "step": ""} if status == Status.SUCCEEDED else {}),
        )
        for operation_id in Operation.objects.filter(target_id=current.target_id, status=Status.QUEUED).values_list(
            "pk", flat=True
        ):
            ring_on_commit(operation_id)
        _ring_waiting(current)


def _ring_waiting(left: Operation) -> None:
    """Ring the two that have waited longest for the slot on the host that becomes free: one bell may be lost."""
    if left.host_id is None:
        return
    due = Operation.objects.filter(host_id=left.host_id, status=Status.QUEUED, run_after__lte=Now())
    for operation_id in _unblocked(due.exclude(pk=left.pk)).order_by("run_after").values_list("pk", flat=True)[:2]:
        ring_on_commit(operation_id)
