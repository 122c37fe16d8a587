"""Writing operations on the side of the apps: create, cancel, retry. Claiming is in ``claims``."""

import uuid
from datetime import timedelta
from typing import Any, Protocol

import structlog
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from apps.accounts.models import User
from apps.errors import Conflict
from apps.events.services import event_record
from apps.operations import timeouts
from apps.operations.doorbell import ring_on_commit
from apps.operations.models import ACTIVE, Operation, Status
from apps.operations.selectors import operation_active, operation_for


class Target(Protocol):
    """What an operation is about."""

    @property
    def id(self) -> uuid.UUID: ...

    @property
    def name(self) -> str: ...


def operation_create(
    *,
    kind: str,
    target_type: str,
    target: Target,
    actor: User | None,
    params: dict[str, Any] | None = None,
    host_id: uuid.UUID | None = None,
    deletes: bool = False,
) -> Operation:
    """Write the operation and its event in the caller's transaction; a worker is rung after the commit.

    A delete asks the active operation to stop and waits for it. Raises ``Conflict`` naming the operation
    that is in the way.
    """
    active = operation_active(target_id=target.id)
    if active is not None and (not deletes or active.deletes):
        raise busy(active)
    if active is not None:
        _ask_to_stop(active.pk)
    operation = Operation(
        kind=kind,
        deletes=deletes,
        target_type=target_type,
        target_id=target.id,
        target_name=str(target.name)[:100],
        host_id=host_id,
        owner_id=getattr(target, "owner_id", None),
        requested_by=actor.pk if actor else None,
        requested_by_label=actor.get_username() if actor else "",
        request_id=structlog.contextvars.get_contextvars().get("request_id", ""),
        params=params or {},
        run_after=Now(),
        created_at=Now(),
        deadline=Now() + timedelta(seconds=timeouts.deadline()),
    )
    try:
        with transaction.atomic():
            operation.save(force_insert=True)
    except IntegrityError as error:
        active = operation_active(target_id=target.id)
        if active is None:
            raise
        raise busy(active) from error
    operation.refresh_from_db()
    event_record(
        kind=kind,
        target_type=target_type,
        target=target,
        actor=actor,
        operation_id=operation.pk,
        message=f"{kind} was requested",
    )
    ring_on_commit(operation.pk)
    return operation


def _ask_to_stop(operation_id: uuid.UUID) -> bool:
    """Whether it was active. It notices at its next step, or at once where it only waits for its time."""
    changed = Operation.objects.filter(pk=operation_id, status__in=ACTIVE, deletes=False).update(
        cancel_requested=True, run_after=Now()
    )
    ring_on_commit(operation_id)
    return bool(changed)


class _Named:
    """The target of an operation as its row knows it; the object itself may be gone."""

    def __init__(self, operation: Operation) -> None:
        self.id: uuid.UUID = operation.target_id
        self.name: str = operation.target_name
        self.owner_id: uuid.UUID | None = operation.owner_id


def operation_record(operation: Operation, *, message: str, actor: User | None = None) -> None:
    """Write an event about an operation in the caller's transaction."""
    event_record(
        kind=operation.kind,
        target_type=operation.target_type,
        target=_Named(operation),
        actor=actor,
        operation_id=operation.pk,
        message=f"{operation.kind} {message}",
    )


def busy(operation: Operation) -> Conflict:
    """The refusal that names the operation in the way."""
    return Conflict(
        "operation.in_the_way",
        f"{operation.target_name} is busy: {operation.kind} is {operation.status}. Wait for it or cancel it.",
        operation=str(operation.pk),
    )


def operation_cancel(*, actor: User, operation_id: uuid.UUID) -> Operation:
    """Ask an operation to stop at its next step. Raises ``Conflict`` when it has ended."""
    operation = operation_for(actor=actor, operation_id=operation_id)
    with transaction.atomic():
        if operation.deletes or not _ask_to_stop(operation.pk):
            reason = "A delete cannot be cancelled." if operation.deletes else "This operation has already ended."
            raise Conflict("operation.not_cancellable", reason)
        operation_record(operation, message="was asked to stop", actor=actor)
    operation.refresh_from_db()
    return operation


def operation_retry(*, actor: User, operation_id: uuid.UUID) -> Operation:
    """Queue a failed operation again, under the same id. Raises ``Conflict`` when that makes no sense."""
    operation = operation_for(actor=actor, operation_id=operation_id)
    if operation.status not in (Status.FAILED, Status.CANCELLED) or not operation.retryable:
        raise Conflict("operation.not_retryable", "Only a failed operation that says so can be retried.")
    if (active := operation_active(target_id=operation.target_id)) is not None:
        raise busy(active)
    try:
        with transaction.atomic():
            changed = Operation.objects.filter(pk=operation.pk, status=operation.status).update(
                status=Status.QUEUED,
                step="",
                state={},
                crashes=0,
                progress=None,
                error_code="",
                error_message="",
                cancel_requested=False,
                run_after=Now(),
                lease_until=None,
                finished_at=None,
                deadline=Now() + timedelta(seconds=timeouts.deadline()),
            )
            if changed:
                operation_record(operation, message="was asked for again", actor=actor)
    except IntegrityError as error:
        active = operation_active(target_id=operation.target_id)
        if active is None:
            raise
        raise busy(active) from error
    if not changed:
        raise Conflict("operation.not_retryable", "This operation was just changed by somebody else.")
    ring_on_commit(operation.pk)
    operation.refresh_from_db()
    return operation
