"""What becomes of an operation: every outcome of a handler, cancel, deadline, crashes."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models.functions import Now

from apps.errors import Refused
from apps.events.models import Event
from apps.operations import timeouts
from apps.operations.claims import Fenced, operation_claim
from apps.operations.models import Operation, Status
from apps.operations.services import operation_cancel
from hypervisor import errors
from workers import engine
from workers.engine import Handler, Postpone, Run, execute

SECOND = timedelta(seconds=1)


class Handlers:
    """One handler for ``thing.do`` that does what the test wants, and what was told to the edges."""

    def __init__(self) -> None:
        self.lost: list[Exception] = []
        self.failed: list[str] = []
        self.runs = 0

    def execute(self, operation: Operation, act: Any) -> Operation:
        def run(run: Run) -> None:
            self.runs += 1
            act(run)

        def tidy(_operation: Operation, message: str) -> None:
            self.failed.append(message)

        handlers = {"thing.do": Handler(run=run, failed=tidy)}
        execute(operation.pk, handlers=handlers, host_lost=lambda _host, error: self.lost.append(error))
        operation.refresh_from_db()
        return operation


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> Handlers:
    monkeypatch.setattr(engine, "close_old_connections", lambda: None)  # the test's transaction lives in this one
    return Handlers()


def raises(error: Exception) -> Any:
    def act(_run: Run) -> None:
        raise error

    return act


def messages() -> list[str]:
    return list(Event.objects.order_by("pk").values_list("message", flat=True))


class TestOutcomes:
    def test_returned_is_succeeded(self, make_operation: Any, handlers: Handlers) -> None:
        done = handlers.execute(make_operation(), lambda run: None)
        assert (done.status, done.progress, done.step, done.error_code) == ("succeeded", 100, "", "")
        assert done.finished_at and done.lease_until is None
        assert messages() == ["thing.do was requested", "thing.do succeeded"]

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (errors.HostKeyChanged("x"), "host-key-changed"),
            (errors.CertificateRejected("x"), "host-certificate-rejected"),
            (errors.AuthenticationFailed("x"), "host-authentication-failed"),
            (errors.Rejected("x"), "host-rejected"),
            (errors.NotFound("x"), "not-found-on-host"),
            (errors.OutOfSpace("x"), "host-out-of-space"),
            (errors.OutOfMemory("x"), "host-out-of-memory"),
            (errors.Conflict("x"), "host-conflict"),
            (errors.ForeignObject("x"), "foreign-object"),
            (errors.Unsupported("x"), "unsupported-by-host"),
            (Refused("placement.no_host_fits", "x"), "placement.no_host_fits"),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
    )
    def test_a_no_is_failed_with_its_code(
        self, make_operation: Any, handlers: Handlers, error: Exception, code: str
    ) -> None:
        done = handlers.execute(make_operation(), raises(error))
        assert (done.status, done.error_code, done.error_message, done.retryable) == ("failed", code, "x", True)
        assert handlers.failed == ["x"]
        assert messages()[-1] == "thing.do failed: x"

    @pytest.mark.parametrize("error", [errors.HostUnreachable("gone"), errors.HostBusy("full")], ids=str)
    def test_no_answer_is_postponed(self, make_operation: Any, handlers: Handlers, error: Exception) -> None:
        waiting = handlers.execute(make_operation(), raises(error))
        assert waiting.status == "queued"
        assert str(error) in waiting.step
        assert waiting.run_after > waiting.created_at
        assert handlers.failed == []
        assert messages() == ["thing.do was requested"]

    def test_every_error_of_a_host_has_an_outcome(self, make_operation: Any, handlers: Handlers) -> None:
        known = [errors.HypervisorError]
        for kind in known:
            known += [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
        assert len(known) > 12
        for kind in set(known) - {errors.StaleFence}:
            done = handlers.execute(make_operation(), raises(kind("x")))
            assert done.status == ("queued" if kind.retryable else "failed"), kind

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (errors.HostUnreachable("x"), True),
            (errors.HostKeyChanged("x"), True),
            (errors.HostBusy("x"), False),
            (errors.Rejected("x"), False),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
    )
    def test_only_a_lost_host_is_told_so(
        self, make_operation: Any, handlers: Handlers, error: Exception, told: bool
    ) -> None:
        handlers.execute(make_operation(host_id=uuid.uuid4()), raises(error))
        assert bool(handlers.lost) is told

    def test_anything_else_is_internal_and_tells_no_detail(self, make_operation: Any, handlers: Handlers) -> None:
        def act(run: Run) -> None:
            with run.step("press", "Pressing"):
                raise ZeroDivisionError("a secret detail")

        done = handlers.execute(make_operation(), act)
        assert (done.status, done.error_code, done.retryable) == ("failed", "internal", True)
        assert "press" in done.error_message
        assert "secret" not in done.error_message

    def test_a_database_that_was_away_is_no_failure(
        self, make_operation: Any, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from django.db import connection

        monkeypatch.setattr(engine, "connection", type("Kept", (), {"close": lambda self: None})())
        waiting = handlers.execute(make_operation(), raises(OperationalError("server closed the connection")))
        assert (waiting.status, waiting.error_code) == ("queued", "")
        assert connection.connection is not None

    def test_a_higher_fence_on_the_domain_stops_it_without_a_word(
        self, make_operation: Any, handlers: Handlers
    ) -> None:
        stopped = handlers.execute(make_operation(), raises(errors.StaleFence("fence 4 > 3")))
        assert (stopped.status, stopped.error_code, handlers.failed) == ("running", "", [])

    def test_a_kind_that_nobody_knows(self, make_operation: Any, handlers: Handlers) -> None:
        done = handlers.execute(make_operation(kind="thing.unheard-of"), lambda run: None)
        assert (done.status, done.error_code, handlers.runs) == ("failed", "operation.unknown_kind", 0)

    def test_one_that_is_not_mine(self, make_operation: Any, handlers: Handlers) -> None:
        operation = make_operation()
        assert operation_claim(operation.pk) is not None
        handlers.execute(operation, lambda run: None)
        assert handlers.runs == 0


class TestWaiting:
    def test_backs_off_longer_each_time_up_to_a_limit(self) -> None:
        waits = [timeouts.back_off(attempts) for attempts in range(12)]
        assert waits == sorted(waits)
        assert waits[0] < waits[3] < timeouts.back_off(100) == timeouts.BACK_OFF_MOST

    def test_polls_as_often_as_it_takes(self, make_operation: Any, handlers: Handlers) -> None:
        operation = make_operation()
        for _ in range(engine.MOST_CRASHES * 3):
            handlers.execute(operation, raises(Postpone("still booting", seconds=0)))
        assert (operation.status, operation.step) == ("queued", "still booting")
        assert handlers.execute(operation, lambda run: None).status == "succeeded"

    @pytest.mark.parametrize(
        "error", [Postpone("no room", seconds=0), errors.HostUnreachable("gone")], ids=["waits", "gone"]
    )
    def test_ends_at_its_deadline(self, make_operation: Any, handlers: Handlers, error: Exception) -> None:
        operation = make_operation()
        Operation.objects.filter(pk=operation.pk).update(deadline=Now() - SECOND)
        done = handlers.execute(operation, raises(error))
        assert (done.status, done.error_code, done.retryable) == ("failed", "operation.deadline", True)
        assert handlers.failed

    def test_getting_on_moves_the_deadline(self, make_operation: Any, handlers: Handlers) -> None:
        operation = make_operation()
        Operation.objects.filter(pk=operation.pk).update(deadline=Now() - SECOND)
        moved = handlers.execute(operation, raises(Postpone("a piece more", seconds=0, renew=True)))
        assert moved.status == "queued"
        assert moved.deadline > moved.run_after

    def test_workers_that_die_each_time_end_it(self, make_operation: Any, handlers: Handlers) -> None:
        operation = make_operation()
        for _ in range(engine.MOST_CRASHES + 1):
            assert operation_claim(operation.pk) is not None
            Operation.objects.filter(pk=operation.pk).update(lease_until=Now() - SECOND)
        done = handlers.execute(operation, lambda run: None)
        assert (done.status, done.error_code, handlers.runs) == ("failed", "operation.crashes", 0)


class TestCancel:
    def test_before_the_handler_even_where_it_would_only_wait(
        self, make_operation: Any, handlers: Handlers, admin: Any
    ) -> None:
        operation = make_operation()
        operation_cancel(actor=admin, operation_id=operation.pk)
        done = handlers.execute(operation, raises(Postpone("the host is away", seconds=30)))
        assert (done.status, done.retryable, handlers.runs) == ("cancelled", True, 0)
        assert handlers.failed == ["cancelled"]
        assert messages()[-1] == "thing.do was cancelled"

    def test_between_steps(self, make_operation: Any, handlers: Handlers) -> None:
        steps: list[str] = []

        def act(run: Run) -> None:
            with run.step("one", "One"):
                steps.append("one")
                Operation.objects.filter(pk=run.operation.pk).update(cancel_requested=True)
            with run.step("two", "Two"):
                steps.append("two")

        assert handlers.execute(make_operation(), act).status == "cancelled"
        assert steps == ["one"]

    def test_a_delete_goes_on(self, make_operation: Any, handlers: Handlers) -> None:
        operation = make_operation(deletes=True)
        Operation.objects.filter(pk=operation.pk).update(cancel_requested=True)

        def act(run: Run) -> None:
            with run.step("one", "One"):
                pass

        assert handlers.execute(operation, act).status == "succeeded"


class TestFence:
    def test_a_late_handler_is_stopped_at_its_next_step_and_ends_nothing(
        self, make_operation: Any, handlers: Handlers
    ) -> None:
        steps: list[str] = []

        def act(run: Run) -> None:
            with run.step("one", "One"):
                steps.append("one")
                Operation.objects.filter(pk=run.operation.pk).update(lease_until=Now() - SECOND)
                assert operation_claim(run.operation.pk) is not None
            with run.step("two", "Two"):
                steps.append("two")

        operation = handlers.execute(make_operation(), act)
        assert steps == ["one"]
        assert (operation.status, operation.attempts, handlers.failed) == (Status.RUNNING, 2, [])

    def test_who_slept_for_a_lease_does_not_act(
        self, make_operation: Any, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps: list[str] = []
        clock = iter([0.0, 0.0, timeouts.lease() + 1])
        monkeypatch.setattr(engine, "_clock", lambda: next(clock))

        def act(run: Run) -> None:
            with run.step("one", "One"):
                steps.append("one")

        assert handlers.execute(make_operation(), act).status == Status.RUNNING
        assert steps == []

    def test_what_was_written_beside_a_lost_claim_is_rolled_back(self, make_operation: Any, make_host: Any) -> None:
        host = make_host()
        claim = operation_claim(make_operation().pk)
        assert claim is not None
        Operation.objects.filter(pk=claim.pk).update(attempts=7)
        with pytest.raises(Fenced), Run(claim).write():
            type(host).objects.filter(pk=host.pk).update(vcpus_claimed=1)
        host.refresh_from_db()
        assert host.vcpus_claimed == 0

    def test_what_is_remembered_is_there_at_the_next_claim(self, make_operation: Any, handlers: Handlers) -> None:
        def first(run: Run) -> None:
            run.remember(pressed=True)
            raise Postpone("later", seconds=0)

        operation = handlers.execute(make_operation(), first)
        seen: list[Any] = []
        handlers.execute(operation, lambda run: seen.append(run.operation.state))
        assert seen == [{"pressed": True}]
