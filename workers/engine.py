"""Carrying out one operation: claim, call the handler, write one of four outcomes.

returned                      succeeded
HostUnreachable, Postpone     queued again with ``run_after``, until the deadline; also while the database is away
AppError, other host errors   failed with a code
anything else                 failed ``internal``, with the traceback in the log under the operation's id
"""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from django.db import InterfaceError, OperationalError, close_old_connections, connection, transaction
from django.db.models.functions import Now

from apps.errors import AppError
from apps.operations import timeouts
from apps.operations.claims import (
    Fenced,
    fenced,
    held,
    operation_claim,
    operation_end,
    operation_postpone,
    operation_report,
)
from apps.operations.models import Operation, Status
from apps.operations.services import operation_record
from hypervisor.errors import HostBusy, HostUnreachable, HypervisorError, StaleFence, TrustError
from workers.faults import fault_point

log = structlog.get_logger(__name__)
MOST_CRASHES = 10
DATABASE_BACK_OFF = 2.0


class Postpone(Exception):
    """Raised by a handler that has to wait: the operation goes back to the queue with the reason as its step.

    ``renew`` says that it gets on meanwhile, so that its deadline begins anew.
    """

    def __init__(self, reason: str, *, seconds: float, renew: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.seconds = seconds
        self.renew = renew


class Cancelled(Exception):
    """A person asked this operation to stop."""


class Run:
    """One claim of one operation, as its handler sees it."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.current_step = ""
        self._proven_at = _clock()

    @property
    def kind(self) -> str:
        return self.operation.kind

    @contextmanager
    def step(
        self, name: str, text: str, *, progress: int | None = None, host_id: uuid.UUID | None = None
    ) -> Iterator[None]:
        """Commit the intent, then let the handler do the effect.

        The moments of ``promises.md`` 5.2: a before the intent is committed, b after it, c after the effect,
        and d is the next step's a. Raises ``Cancelled`` before the intent, ``Fenced`` when somebody took over or
        may have, because this process stood still since the intent.
        """
        self._fault_point(name, "a")
        proven_at = _clock()
        if not operation_report(self.operation, step=text, progress=progress, host_id=host_id):
            raise Cancelled
        self.current_step = name
        self._proven_at = proven_at
        self._fault_point(name, "b")
        self._check_still_ours()
        log.info("operation.step", step=name)
        yield
        self._fault_point(name, "c")

    def _fault_point(self, step: str, moment: str) -> None:
        fault_point(f"{self.kind}.{step}.{moment}", self.operation.target_id)

    def check_cancelled(self) -> None:
        """Deletes are not cancelled: they end as asked or fail with a reason."""
        if self.operation.deletes:
            return
        if Operation.objects.filter(pk=self.operation.pk, cancel_requested=True).exists():
            raise Cancelled

    def _check_still_ours(self) -> None:
        """A host cannot see the row's fence, so whoever slept for the length of a lease must not act on one."""
        if _clock() - self._proven_at >= timeouts.lease():
            raise Fenced(f"{self.operation.pk}: the lease ended before the effect")

    @contextmanager
    def write(self) -> Iterator[None]:
        """A fenced transaction for what the handler has seen or claimed."""
        with held(self.operation):
            yield

    def remember(self, **values: object) -> None:
        """Keep something for the next claim."""
        with fenced(self.operation) as current:
            current.state.update(values)
            current.save(update_fields=["state"])
            self.operation.state = current.state


def _clock() -> float:
    """Seconds that also pass while the process is stopped or the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, kw_only=True)
class Handler:
    """``run`` does the work and may be called any number of times; ``failed`` tidies up after a final no.

    ``failed`` is called inside the transaction that ends the operation. One that ``takes_back`` is called although
    a person asked it to stop: its first step raises ``Cancelled``, and it puts right what an earlier claim began.
    """

    run: Callable[[Run], None]
    failed: Callable[[Operation, str], None] | None = None
    takes_back: bool = False


HostLost = Callable[[uuid.UUID, HypervisorError], None]


def execute(operation_id: uuid.UUID, *, handlers: Mapping[str, Handler], host_lost: HostLost) -> bool:
    """Claim and carry out. False: it was not mine to do. Never raises for what a handler did."""
    close_old_connections()
    operation = operation_claim(operation_id)
    if operation is None:
        return False
    bound = {"operation_id": str(operation.pk), "kind": operation.kind, "target_id": str(operation.target_id)}
    if operation.request_id:
        bound["request_id"] = operation.request_id
    with structlog.contextvars.bound_contextvars(**bound, attempt=operation.attempts):
        log.info("operation.claimed")
        try:
            _carry_out(operation, handlers, host_lost)
        except Fenced:
            log.warning("operation.fenced")
    return True


def _carry_out(operation: Operation, handlers: Mapping[str, Handler], host_lost: HostLost) -> None:
    run = Run(operation)
    handler = handlers.get(operation.kind)
    if handler is None:
        _fail(operation, None, code="operation.unknown_kind", message=f"No worker knows {operation.kind}.")
        return
    try:
        if operation.crashes > MOST_CRASHES:
            raise AppError("operation.crashes", f"Workers died {operation.crashes} times while doing this.")
        if not handler.takes_back:
            run.check_cancelled()
        handler.run(run)
    except Fenced:
        raise
    except Cancelled:
        _end_cancelled(run.operation, handler)
    except Postpone as wait:
        _postpone(run.operation, handler, reason=wait.reason, seconds=wait.seconds, renew=wait.renew)
    except HostBusy as error:
        _postpone(run.operation, handler, reason=f"The host is busy: {error.detail}", seconds=1.0)
    except HostUnreachable as error:
        if run.operation.host_id is not None:
            host_lost(run.operation.host_id, error)
        log.info("operation.host_unreachable", reason=error.detail)
        seconds = timeouts.back_off(operation.attempts)
        _postpone(run.operation, handler, reason=f"The host does not answer: {error.detail}", seconds=seconds)
    except TrustError as error:
        if run.operation.host_id is not None:
            host_lost(run.operation.host_id, error)
        _fail(run.operation, handler, code=error.code, message=error.detail, retryable=True)
    except StaleFence as error:
        raise Fenced(error.detail) from error
    except HypervisorError as error:
        log.warning("operation.refused_by_host", code=error.code, reason=error.detail)
        _fail(run.operation, handler, code=error.code, message=error.detail, retryable=True)
    except AppError as error:
        _fail(run.operation, handler, code=error.code, message=error.detail, retryable=True)
    except (OperationalError, InterfaceError) as error:
        log.warning("operation.database_away", reason=str(error))
        connection.close()
        _postpone(run.operation, handler, reason="The database did not answer.", seconds=DATABASE_BACK_OFF)
    except Exception:
        log.exception("operation.internal")
        message = f"Something unexpected happened in step {run.current_step or 'start'}; the log has it."
        _fail(run.operation, handler, code="internal", message=message, retryable=True)
    else:
        fault_point(f"{operation.kind}.end.a", operation.target_id)
        with transaction.atomic():
            operation_end(run.operation, status=Status.SUCCEEDED)
            operation_record(run.operation, message="succeeded")
        log.info("operation.succeeded")


def _postpone(operation: Operation, handler: Handler, *, reason: str, seconds: float, renew: bool = False) -> None:
    """Back to the queue, or the end when the deadline has passed."""
    if not renew and Operation.objects.filter(pk=operation.pk, deadline__lte=Now()).exists():
        message = f"Given up after waiting: {reason}"
        _fail(operation, handler, code="operation.deadline", message=message, retryable=True)
    else:
        operation_postpone(operation, reason=reason, seconds=seconds, renew=renew)


def _fail(operation: Operation, handler: Handler | None, *, code: str, message: str, retryable: bool = False) -> None:
    with transaction.atomic():
        operation_end(operation, status=Status.FAILED, code=code, message=message, retryable=retryable)
        if handler is not None and handler.failed is not None:
            handler.failed(operation, message)
        operation_record(operation, message=f"failed: {message}")
    log.warning("operation.failed", code=code, reason=message)


def _end_cancelled(operation: Operation, handler: Handler) -> None:
    with transaction.atomic():
        operation_end(operation, status=Status.CANCELLED, code="operation.cancelled", retryable=True)
        if handler.failed is not None:
            handler.failed(operation, "cancelled")
        operation_record(operation, message="was cancelled")
    log.info("operation.cancelled")
