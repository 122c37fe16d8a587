"""The apps' side: create, conflict, cancel, retry; the event in the same transaction, the bell after the commit."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
import structlog
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from apps.errors import Conflict, NotFound
from apps.events.models import Event
from apps.operations import doorbell, services
from apps.operations.claims import operation_claim, operation_end
from apps.operations.models import Operation, Status
from tests.parallel import in_parallel


def fail(operation: Operation, *, retryable: bool = True) -> Operation:
    claim = operation_claim(operation.pk)
    assert claim is not None
    operation_end(claim, status=Status.FAILED, code="thing.broken", message="It broke.", retryable=retryable)
    operation.refresh_from_db()
    return operation


class TestCreate:
    def test_writes_the_operation_with_who_asked_and_the_request_id(
        self, make_operation: Any, thing: Any, admin: Any
    ) -> None:
        with structlog.contextvars.bound_contextvars(request_id="req-1"):
            operation = make_operation(thing, actor=admin, params={"a": 1})
        assert (operation.status, operation.target_id, operation.request_id) == ("queued", thing.id, "req-1")
        assert (operation.requested_by, operation.requested_by_label) == (admin.pk, "admin")
        event = Event.objects.get()
        assert (event.operation_id, event.actor_id, event.request_id) == (operation.pk, admin.pk, "req-1")

    def test_the_second_is_a_conflict_that_names_the_first(self, make_operation: Any, thing: Any) -> None:
        first = make_operation(thing)
        with pytest.raises(Conflict) as error:
            make_operation(thing, kind="thing.other")
        assert error.value.code == "operation.in_the_way"
        assert error.value.extra == {"operation": str(first.pk)}
        assert Event.objects.count() == 1

    def test_a_delete_in_the_way_is_named_before_anything_else(self, make_operation: Any, thing: Any) -> None:
        make_operation(thing)
        delete = make_operation(thing, kind="thing.delete", deletes=True)
        for deletes in (False, True):
            with pytest.raises(Conflict) as error:
                make_operation(thing, kind="thing.more", deletes=deletes)
            assert error.value.extra == {"operation": str(delete.pk)}

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("deletes", [False, True])
    def test_of_many_at_once_one_is_accepted(self, thing: Any, deletes: bool) -> None:
        def ask(number: int) -> Operation:
            return services.operation_create(
                kind=f"thing.{number}", target_type="thing", target=thing, actor=None, deletes=deletes
            )

        answers = in_parallel(ask, range(12))
        assert sum(isinstance(answer, Operation) for answer in answers) == 1
        assert sum(isinstance(answer, Conflict) for answer in answers) == 11
        assert (Operation.objects.count(), Event.objects.count()) == (1, 1)

    @pytest.mark.django_db(transaction=True)
    def test_control_without_the_constraint_several_are(self, thing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from django.db import connection

        monkeypatch.setattr(services, "operation_active", lambda **_: None)
        name = "operation_one_active_per_target"
        with connection.cursor() as cursor:
            cursor.execute(f"DROP INDEX {name}")
        try:
            for number in range(2):
                services.operation_create(kind=f"thing.{number}", target_type="thing", target=thing, actor=None)
            assert Operation.objects.filter(target_id=thing.id, status="queued").count() == 2
        finally:
            Operation.objects.all().delete()
            constraint = next(item for item in Operation._meta.constraints if item.name == name)
            with connection.schema_editor() as editor:
                editor.add_constraint(Operation, constraint)


@pytest.mark.django_db(transaction=True)
class TestTransaction:
    """Wish, event and operation commit together or not at all; the bell rings after."""

    @pytest.fixture
    def rung(self, monkeypatch: pytest.MonkeyPatch) -> list[uuid.UUID]:
        rung: list[uuid.UUID] = []
        monkeypatch.setattr(doorbell, "ring", lambda operation_id, seconds=0: rung.append(operation_id))
        return rung

    def test_a_rollback_leaves_nothing_and_rings_nobody(self, make_operation: Any, rung: list[uuid.UUID]) -> None:
        class Stop(Exception):
            pass

        with pytest.raises(Stop), transaction.atomic():
            make_operation()
            raise Stop
        assert (Operation.objects.count(), Event.objects.count(), rung) == (0, 0, [])

    def test_the_bell_rings_when_the_row_is_visible(self, make_operation: Any, rung: list[uuid.UUID]) -> None:
        with transaction.atomic():
            operation = make_operation()
            assert rung == []
        assert rung == [operation.pk]


class TestCancel:
    def test_is_a_flag_and_an_event(self, make_operation: Any, admin: Any) -> None:
        operation = make_operation()
        cancelled = services.operation_cancel(actor=admin, operation_id=operation.pk)
        assert (cancelled.status, cancelled.cancel_requested) == ("queued", True)
        assert Event.objects.first().message == "thing.do was asked to stop"  # type: ignore[union-attr]

    def test_makes_what_waits_due_at_once(self, make_operation: Any, admin: Any) -> None:
        operation = make_operation()
        Operation.objects.filter(pk=operation.pk).update(run_after=Now() + timedelta(seconds=60))
        services.operation_cancel(actor=admin, operation_id=operation.pk)
        assert operation_claim(operation.pk) is not None

    def test_not_after_its_end_and_not_a_delete(self, make_operation: Any, admin: Any) -> None:
        for operation in (fail(make_operation()), make_operation(deletes=True)):
            with pytest.raises(Conflict) as error:
                services.operation_cancel(actor=admin, operation_id=operation.pk)
            assert error.value.code == "operation.not_cancellable"

    def test_not_somebody_elses(self, make_operation: Any, admin: Any, other: Any) -> None:
        operation = make_operation(actor=admin)
        with pytest.raises(NotFound):
            services.operation_cancel(actor=other, operation_id=operation.pk)


class TestRetry:
    def test_queues_it_again_with_a_new_deadline_and_a_higher_fence(self, make_operation: Any, admin: Any) -> None:
        operation = fail(make_operation())
        before = operation.deadline
        Operation.objects.filter(pk=operation.pk).update(state={"pressed": True}, crashes=3, cancel_requested=True)
        again = services.operation_retry(actor=admin, operation_id=operation.pk)
        assert (again.status, again.state, again.crashes, again.error_code) == ("queued", {}, 0, "")
        assert (again.cancel_requested, again.finished_at) == (False, None)
        assert again.deadline > before
        claim = operation_claim(operation.pk)
        assert claim is not None
        assert claim.attempts == 2
        assert Event.objects.filter(message="thing.do was asked for again", actor_id=admin.pk).count() == 1

    @pytest.mark.parametrize("retryable", [False])
    def test_not_what_says_no(self, make_operation: Any, admin: Any, retryable: bool) -> None:
        operation = fail(make_operation(), retryable=retryable)
        with pytest.raises(Conflict) as error:
            services.operation_retry(actor=admin, operation_id=operation.pk)
        assert error.value.code == "operation.not_retryable"

    def test_not_beside_another(self, make_operation: Any, thing: Any, admin: Any) -> None:
        failed = fail(make_operation(thing))
        active = make_operation(thing, kind="thing.other")
        with pytest.raises(Conflict) as error:
            services.operation_retry(actor=admin, operation_id=failed.pk)
        assert error.value.extra == {"operation": str(active.pk)}

    @pytest.mark.django_db(transaction=True)
    def test_two_failed_ones_retried_at_once(self, make_operation: Any, thing: Any, admin: Any) -> None:
        failed = [fail(make_operation(thing)), fail(make_operation(thing, kind="thing.other"))]
        answers = in_parallel(
            lambda operation: services.operation_retry(actor=admin, operation_id=operation.pk), failed * 4
        )
        assert not [answer for answer in answers if isinstance(answer, IntegrityError)]
        assert sum(isinstance(answer, Operation) for answer in answers) == 1
        assert all(isinstance(answer, Operation | Conflict) for answer in answers)
        assert Operation.objects.filter(status="queued").count() == 1
