"""Snapshots that schedules take: their names, how many stay, and what is said when one cannot be made."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.accounts.models import Role
from apps.compute.models import VM, Schedule, Snapshot
from apps.compute.selectors.snapshot import snapshots_surplus
from apps.compute.services import schedule as schedules
from apps.compute.services import snapshot as snapshots
from apps.events.models import Event
from apps.operations.models import Operation
from hypervisor.fake import Fault

DAILY = {"weekdays": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "time": "02:00"}


class Nights:
    """A machine with a schedule, and a clock that the test moves."""

    def __init__(self, workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.workshop = workshop
        self.vm: VM = workshop.running()
        self.now = timezone.now()
        monkeypatch.setattr(schedules.timezone, "now", lambda: self.now)

    def plan(self, keep: int, **when: Any) -> Schedule:
        values = {**DAILY, **when, "action": "snapshot", "keep": keep}
        return schedules.schedule_create(actor=self.workshop.admin, vm_id=self.vm.pk, **values)

    def fall_due(self, schedule: Schedule) -> None:
        due = Schedule.objects.get(pk=schedule.pk).next_run
        assert due is not None
        self.now = due
        assert schedules.schedule_run(schedule_id=schedule.pk, now=due)

    def pass_over(self, schedule: Schedule) -> list[Operation]:
        """The next time comes, and what the schedule then wishes for is carried out."""
        known = set(Operation.objects.values_list("pk", flat=True))
        self.fall_due(schedule)
        wished = list(Operation.objects.exclude(pk__in=known))
        return [self.workshop.carry_out(operation) for operation in wished]

    def by_hand(self, name: str) -> None:
        change = snapshots.snapshot_create(actor=self.workshop.admin, vm_id=self.vm.pk, name=name)
        assert self.workshop.carry_out(change.operation).status == "succeeded"

    def names(self) -> list[str]:
        """Oldest first, and the same number on the host."""
        rows = Snapshot.objects.filter(vm=self.vm).order_by("created_at")
        states = self.workshop.hypervisor.snapshots([self.vm.pk]).get(self.vm.pk, [])
        assert {state.name for state in states} == {row.host_name for row in rows if row.phase == "ready"}
        return [row.name for row in rows]

    def told(self) -> str:
        return str(Event.objects.latest("pk").message)


@pytest.fixture
def nights(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> Nights:
    return Nights(workshop, monkeypatch)


def test_it_is_named_from_the_time_where_the_schedule_is(nights: Nights) -> None:
    nights.now = datetime(2030, 7, 1, 10, tzinfo=UTC)
    schedule = nights.plan(2, time_zone="Asia/Tokyo")
    [operation] = nights.pass_over(schedule)
    assert (operation.status, operation.requested_by_label) == ("succeeded", "admin")
    taken = Snapshot.objects.get()
    assert (taken.name, taken.memory, taken.schedule) == ("auto-2030-07-02-0200", True, schedule)


def test_the_oldest_of_it_go_and_those_by_hand_stay(nights: Nights) -> None:
    schedule = nights.plan(2)
    nights.by_hand("auto-mine")
    for _ in range(4):
        nights.pass_over(schedule)
    assert [name == "auto-mine" for name in nights.names()] == [True, False, False]
    assert Event.objects.filter(kind="snapshot.surplus").count() == 2


def test_with_less_to_keep_the_rest_goes_one_after_another(nights: Nights) -> None:
    schedule = nights.plan(5)
    for _ in range(5):
        nights.pass_over(schedule)
    schedules.schedule_update(actor=nights.workshop.admin, schedule_id=schedule.pk, keep=1)
    [operation] = nights.pass_over(schedule)
    assert (operation.status, len(nights.names())) == ("succeeded", 1)


def test_two_at_the_same_moment_and_a_name_that_is_taken(nights: Nights) -> None:
    first, second = nights.plan(3), nights.plan(3)
    nights.pass_over(first)
    base = nights.names()[0]
    nights.by_hand(f"{base}-2")
    nights.pass_over(second)
    assert sorted(nights.names()) == [base, f"{base}-2", f"{base}-3"]


def test_each_schedule_counts_its_own(nights: Nights) -> None:
    first, second = nights.plan(1), nights.plan(2, time="03:00")
    for _ in range(3):
        nights.pass_over(first)
        nights.pass_over(second)
    owners = Snapshot.objects.values_list("schedule", flat=True)
    assert sorted(map(str, owners)) == sorted([str(first.pk), str(second.pk), str(second.pk)])


def test_once_the_schedule_is_gone_they_are_as_made_by_hand(nights: Nights) -> None:
    schedule = nights.plan(1)
    nights.pass_over(schedule)
    schedules.schedule_delete(actor=nights.workshop.admin, schedule_id=schedule.pk)
    nights.pass_over(nights.plan(1))
    assert len(nights.names()) == 2


def test_what_goes_leaves_room_for_the_next(nights: Nights, settings: Any) -> None:
    settings.SNAPSHOTS_PER_VM = 3
    schedule = nights.plan(2)
    nights.by_hand("mine")
    for _ in range(3):
        assert nights.pass_over(schedule)[0].status == "succeeded"
    assert nights.names()[0] == "mine"
    assert len(nights.names()) == 3


def test_no_room_is_told_and_nothing_is_deleted(nights: Nights, settings: Any) -> None:
    settings.SNAPSHOTS_PER_VM = 2
    schedule = nights.plan(2)
    for name in ("mine", "too"):
        nights.by_hand(name)
    assert nights.pass_over(schedule) == []
    assert "2 is the most" in nights.told() and "Scheduled, but not done" in nights.told()
    assert nights.names() == ["mine", "too"]


def test_a_failed_one_deletes_nothing_and_goes_with_the_next(nights: Nights) -> None:
    schedule = nights.plan(1)
    nights.pass_over(schedule)
    before = nights.names()
    nights.workshop.fake.inject(Fault(action="reject", method="create_snapshot", moment="before"))
    [failed] = nights.pass_over(schedule)
    assert (failed.status, failed.retryable) == ("failed", True)
    assert "snapshot.create failed" in nights.told()
    assert (nights.names()[0], len(nights.names())) == (before[0], 2)
    [operation] = nights.pass_over(schedule)
    assert operation.status == "succeeded"
    assert (len(nights.names()), nights.names()[0] in before) == (1, False)


def test_deleting_refused_by_the_host_is_told_and_tried_again(nights: Nights) -> None:
    schedule = nights.plan(1)
    nights.pass_over(schedule)
    nights.workshop.fake.inject(Fault(action="reject", method="remove_snapshot", moment="before"))
    [operation] = nights.pass_over(schedule)
    assert operation.status == "failed"
    assert set(Snapshot.objects.values_list("phase", flat=True)) == {"ready"}
    assert len(nights.names()) == 2
    nights.pass_over(schedule)
    assert len(nights.names()) == 1


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_answer_that_was_lost_while_deleting(nights: Nights, moment: Any) -> None:
    from apps.hosts.models import Host

    schedule = nights.plan(1)
    nights.pass_over(schedule)
    nights.workshop.fake.inject(Fault(action="unreachable", method="remove_snapshot", moment=moment))
    nights.fall_due(schedule)
    operation = Operation.objects.latest("created_at")
    assert nights.workshop.claim_once(operation).status == "queued"
    Host.objects.update(status="up", retry_at=None)
    assert nights.workshop.carry_out(operation).status == "succeeded"
    assert (len(nights.names()), Event.objects.filter(kind="snapshot.surplus").count()) == (1, 1)


def test_a_machine_that_was_switched_off_has_no_memory_in_it(nights: Nights) -> None:
    schedule = nights.plan(2)
    nights.workshop.carry_out(nights.workshop.ask("power_off", nights.vm))
    nights.pass_over(schedule)
    assert Snapshot.objects.get().memory is False


def test_an_owner_who_only_reads_now_takes_none(nights: Nights) -> None:
    schedule = nights.plan(2)
    type(nights.workshop.admin).objects.update(role=Role.VIEWER, is_superuser=False)
    assert nights.pass_over(schedule) == []
    assert "may not do this any more" in nights.told()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["ours", "other", "hand"]), st.sampled_from(["ready", "error", "deleting"])),
        max_size=12,
    ),
    keep=st.integers(0, 6),
)
def test_what_is_surplus(nights: Nights, rows: list[tuple[str, str]], keep: int) -> None:
    """Never one made by hand or by another schedule, never one of the newest that are whole, and all the rest."""
    Snapshot.objects.all().delete()
    Schedule.objects.all().delete()
    owners = {"ours": nights.plan(1), "other": nights.plan(1), "hand": None}
    numbers = {"vcpus": 1, "memory_mib": 1, "max_vcpus": 1, "max_memory_mib": 1}
    made = []
    for number, (whose, phase) in enumerate(rows):
        nights.now += timedelta(seconds=1)
        names = {"name": f"s-{number}", "host_name": f"s-{number}"}
        values = {"schedule": owners[whose], "phase": phase, "memory": True, "power": "running", **names, **numbers}
        made.append(Snapshot.objects.create(vm=nights.vm, **values))
    ours = owners["ours"]
    assert ours is not None
    surplus = {row.name for row in snapshots_surplus(schedule_id=ours.pk, keep=keep)}
    mine = [row for row, (whose, _) in zip(made, rows, strict=True) if whose == "ours"]
    whole = [row.name for row in mine if row.phase == "ready"]
    staying = set(whole[max(0, len(whole) - keep) :])
    assert surplus == {row.name for row in mine} - staying
