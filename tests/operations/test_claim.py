"""Claiming: once, on the database's clock, within the host's slots, a delete after what it interrupts."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from apps.operations import claims, timeouts
from apps.operations.claims import (
    Fenced,
    fenced,
    operation_claim,
    operation_end,
    operation_postpone,
    operation_report,
)
from apps.operations.models import Operation, Status
from apps.operations.selectors import operations_due
from tests.parallel import in_parallel

SECOND = timedelta(seconds=1)


def expire(operation: Operation) -> None:
    """The lease of a worker that died."""
    Operation.objects.filter(pk=operation.pk).update(lease_until=Now() - SECOND)


def due() -> set[uuid.UUID]:
    return set(operations_due().values_list("pk", flat=True))


class TestOnce:
    @pytest.mark.django_db(transaction=True)
    def test_of_many_at_once_one_gets_it(self, make_operation: Any) -> None:
        operation = make_operation()
        won = [claim for claim in in_parallel(operation_claim, [operation.pk] * 16) if claim is not None]
        assert [claim.attempts for claim in won] == [1]

    @pytest.mark.django_db(transaction=True)
    def test_control_reading_before_writing_lets_several_in(
        self, make_operation: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        operation = make_operation()

        def read_think_write(operation_id: uuid.UUID) -> Operation | None:
            found = Operation.objects.get(pk=operation_id)
            if found.status != Status.QUEUED:
                return None
            gate.wait(10)
            found.status = Status.RUNNING
            found.save()
            return found

        import threading

        gate = threading.Barrier(4)
        monkeypatch.setattr(claims, "operation_claim", read_think_write)
        won = [claim for claim in in_parallel(claims.operation_claim, [operation.pk] * 4) if claim is not None]
        assert len(won) == 4

    def test_not_before_its_time(self, make_operation: Any) -> None:
        operation = make_operation()
        Operation.objects.filter(pk=operation.pk).update(run_after=Now() + 60 * SECOND)
        assert operation_claim(operation.pk) is None
        assert due() == set()

    @pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED])
    def test_not_after_its_end(self, make_operation: Any, status: Status) -> None:
        operation = make_operation()
        operation_end(operation_claim(operation.pk), status=status)  # type: ignore[arg-type]
        assert operation_claim(operation.pk) is None
        assert due() == set()

    def test_an_unknown_one_is_nobodys(self, db: None) -> None:
        assert operation_claim(uuid.uuid4()) is None


class TestLease:
    def test_a_running_one_is_taken_over_only_when_its_lease_is_over(self, make_operation: Any) -> None:
        first = operation_claim(make_operation().pk)
        assert first is not None
        assert operation_claim(first.pk) is None
        assert due() == set()
        expire(first)
        assert due() == {first.pk}
        second = operation_claim(first.pk)
        assert second is not None
        assert (second.attempts, second.crashes) == (2, 1)
        assert second.started_at == first.started_at

    def test_a_report_renews_it(self, make_operation: Any) -> None:
        claim = operation_claim(make_operation().pk)
        assert claim is not None
        expire(claim)
        operation_report(claim, step="alive")
        assert operation_claim(claim.pk) is None

    def test_waiting_is_no_crash(self, make_operation: Any) -> None:
        operation = make_operation()
        for _ in range(3):
            claim = operation_claim(operation.pk)
            assert claim is not None
            operation_postpone(claim, reason="wait", seconds=0)
        claim = operation_claim(operation.pk)
        assert claim is not None
        assert (claim.attempts, claim.crashes) == (4, 0)


class TestFence:
    """A worker that comes back late writes nothing."""

    @pytest.fixture
    def late(self, make_operation: Any) -> Operation:
        late = operation_claim(make_operation().pk)
        assert late is not None
        expire(late)
        assert operation_claim(late.pk) is not None
        return late

    @pytest.fixture
    def row(self, late: Operation) -> dict[str, Any]:
        return Operation.objects.filter(pk=late.pk).values().get()

    def test_report(self, late: Operation, row: dict[str, Any]) -> None:
        with pytest.raises(Fenced):
            operation_report(late, step="late", host_id=uuid.uuid4())
        assert Operation.objects.filter(pk=late.pk).values().get() == row

    def test_postpone(self, late: Operation, row: dict[str, Any]) -> None:
        with pytest.raises(Fenced):
            operation_postpone(late, reason="late", seconds=0)
        assert Operation.objects.filter(pk=late.pk).values().get() == row

    def test_end(self, late: Operation, row: dict[str, Any]) -> None:
        with pytest.raises(Fenced):
            operation_end(late, status=Status.SUCCEEDED)
        assert Operation.objects.filter(pk=late.pk).values().get() == row

    def test_whatever_is_written_beside_it(self, late: Operation, make_host: Any) -> None:
        host = make_host()
        with pytest.raises(Fenced), fenced(late):
            type(host).objects.filter(pk=host.pk).update(vcpus_claimed=8)
        host.refresh_from_db()
        assert host.vcpus_claimed == 0

    def test_control_without_the_fence_the_late_one_writes(
        self, late: Operation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(late, "attempts", Operation.objects.get(pk=late.pk).attempts)
        operation_end(late, status=Status.FAILED)
        assert Operation.objects.get(pk=late.pk).status == Status.FAILED

    def test_an_ended_one_is_fenced_too(self, make_operation: Any) -> None:
        claim = operation_claim(make_operation().pk)
        assert claim is not None
        operation_end(claim, status=Status.SUCCEEDED)
        with pytest.raises(Fenced):
            operation_report(claim, step="after the end")


class TestSlots:
    """One sick host must not take all workers."""

    @pytest.mark.django_db(transaction=True)
    def test_at_most_so_many_on_one_host(self, make_operation: Any, settings: Any) -> None:
        settings.HOST_CALLS = 3
        here, there = uuid.uuid4(), uuid.uuid4()
        operations = [make_operation(host_id=here) for _ in range(8)]
        elsewhere = [make_operation(host_id=there) for _ in range(2)]
        claims_here = in_parallel(operation_claim, [operation.pk for operation in operations])
        assert sum(claim is not None for claim in claims_here) == 3
        assert all(operation_claim(operation.pk) for operation in elsewhere)

    @pytest.mark.django_db(transaction=True)
    def test_control_without_the_count_all_get_in(
        self, make_operation: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.HOST_CALLS = 3
        here = uuid.uuid4()
        operations = [make_operation(host_id=here) for _ in range(8)]
        monkeypatch.setattr(claims, "host_has_a_slot", lambda **_: True)
        assert all(in_parallel(operation_claim, [operation.pk for operation in operations]))

    def test_a_dead_worker_keeps_no_slot(self, make_operation: Any, settings: Any) -> None:
        settings.HOST_CALLS = 1
        here = uuid.uuid4()
        dead, next_one = make_operation(host_id=here), make_operation(host_id=here)
        claim = operation_claim(dead.pk)
        assert claim is not None
        assert operation_claim(next_one.pk) is None
        expire(claim)
        assert operation_claim(next_one.pk) is not None

    @pytest.mark.parametrize("leave", ["end", "postpone"])
    def test_whoever_leaves_rings_who_waited_longest(
        self,
        make_operation: Any,
        settings: Any,
        monkeypatch: pytest.MonkeyPatch,
        django_capture_on_commit_callbacks: Any,
        leave: str,
    ) -> None:
        settings.HOST_CALLS = 1
        here = uuid.uuid4()
        first, second, third, fourth = (make_operation(host_id=here) for _ in range(4))
        claim = operation_claim(first.pk)
        assert claim is not None
        rung: list[uuid.UUID] = []
        monkeypatch.setattr("apps.operations.doorbell.ring", lambda operation_id, seconds=0: rung.append(operation_id))
        monkeypatch.setattr(claims, "ring_on_commit", lambda operation_id, seconds=0: rung.append(operation_id))
        if leave == "end":
            operation_end(claim, status=Status.SUCCEEDED)
        else:
            operation_postpone(claim, reason="later", seconds=30)
        assert rung[-2:] == [second.pk, third.pk]
        assert fourth.pk not in rung


class TestDelete:
    def test_waits_for_the_active_operation_and_asks_it_to_stop(self, make_operation: Any, thing: Any) -> None:
        active = operation_claim(make_operation(thing).pk)
        delete = make_operation(thing, kind="thing.delete", deletes=True)
        assert active is not None
        assert Operation.objects.get(pk=active.pk).cancel_requested
        assert operation_claim(delete.pk) is None
        operation_end(active, status=Status.CANCELLED)
        claimed = operation_claim(delete.pk)
        assert claimed is not None
        assert not claimed.cancel_requested

    def test_what_only_waits_is_made_due_at_once(self, make_operation: Any, thing: Any) -> None:
        waiting = operation_claim(make_operation(thing).pk)
        assert waiting is not None
        operation_postpone(waiting, reason="the host is away", seconds=30)
        assert due() == set()
        make_operation(thing, kind="thing.delete", deletes=True)
        assert waiting.pk in due()

    def test_the_end_of_what_it_waits_for_rings_it(
        self, make_operation: Any, thing: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        active = operation_claim(make_operation(thing).pk)
        assert active is not None
        delete = make_operation(thing, kind="thing.delete", deletes=True)
        rung: list[uuid.UUID] = []
        monkeypatch.setattr(claims, "ring_on_commit", lambda operation_id, seconds=0: rung.append(operation_id))
        operation_end(active, status=Status.CANCELLED)
        assert delete.pk in rung


class TestPostpone:
    def test_one_asked_to_stop_is_due_at_once(self, make_operation: Any, admin: Any) -> None:
        from apps.operations.services import operation_cancel

        claim = operation_claim(make_operation().pk)
        assert claim is not None
        operation_cancel(actor=admin, operation_id=claim.pk)
        operation_postpone(claim, reason="the host is away", seconds=30)
        assert claim.pk in due()

    def test_getting_on_begins_the_deadline_anew(self, make_operation: Any) -> None:
        claim = operation_claim(make_operation().pk)
        assert claim is not None
        Operation.objects.filter(pk=claim.pk).update(deadline=Now() + SECOND)
        operation_postpone(claim, reason="sent a piece", seconds=0, renew=True)
        claim.refresh_from_db()
        assert claim.deadline - claim.run_after > timedelta(seconds=timeouts.deadline() / 2)
