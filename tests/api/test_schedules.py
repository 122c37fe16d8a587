"""Planning actions: what is accepted, shown, changed, and run when its time has come."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.api.answers import everything, problem_of
from tests.api.conftest import WEEKLY


@pytest.fixture
def client(api_for: Any, member: Any) -> Any:
    return api_for(member)


@pytest.fixture
def vm(member: Any, make_vm: Any, host: Any) -> Any:
    return make_vm(member, "web-1", host=host)


def make(client: Any, vm: Any, body: dict[str, Any]) -> Any:
    return client.post(f"/api/v1/vms/{vm.pk}/schedules/", body, format="json")


def soon(**more: float) -> str:
    return (timezone.now() + timedelta(**more)).isoformat()


def test_a_weekly_one(client: Any, vm: Any) -> None:
    made = make(client, vm, WEEKLY).json()
    assert made["weekdays"] == ["mon", "fri"]
    assert (made["time"], made["time_zone"], made["enabled"], made["last_run"]) == (
        "07:30",
        "Europe/Zurich",
        True,
        None,
    )
    assert datetime.fromisoformat(made["next_run"]) > timezone.now()
    assert client.get(f"/api/v1/vms/{vm.pk}/schedules/").json()["results"] == [made]
    assert client.get(f"/api/v1/schedules/{made['id']}/").json() == made


def test_change_switch_off_and_forget(client: Any, vm: Any) -> None:
    made = make(client, vm, WEEKLY).json()
    path = f"/api/v1/schedules/{made['id']}/"
    stopped = client.patch(path, {"enabled": False}, format="json").json()
    assert (stopped["enabled"], stopped["next_run"], stopped["weekdays"]) == (False, None, ["mon", "fri"])
    moved = client.patch(path, {"enabled": True, "time": "08:00", "action": "shutdown"}, format="json").json()
    assert (moved["action"], moved["time"], moved["weekdays"]) == ("shutdown", "08:00", ["mon", "fri"])
    once = client.patch(path, {"once_at": soon(hours=1)}, format="json").json()
    assert (once["weekdays"], once["time"], once["next_run"]) == ([], None, once["once_at"])
    assert client.patch(path, WEEKLY, format="json").json()["once_at"] is None
    assert client.delete(path).status_code == 204
    problem_of(client.get(path), 404, "schedule.not_found")


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "action"),
        ({"action": "start"}, 422, "weekdays"),
        ({"action": "start", "weekdays": ["mon"]}, 422, "time"),
        ({"action": "start", "weekdays": [], "time": "07:30"}, 422, "weekdays"),
        ({"action": "explode", "weekdays": ["mon"], "time": "07:30"}, 422, "action"),
        ({**WEEKLY, "weekdays": ["Monday"]}, 422, "weekdays.0"),
        ({**WEEKLY, "weekdays": "mon"}, 400, "weekdays"),
        ({**WEEKLY, "time": "24:00"}, 422, "time"),
        ({**WEEKLY, "time": "7"}, 422, "time"),
        ({**WEEKLY, "time": 730}, 400, "time"),
        ({**WEEKLY, "time_zone": "Mars/Olympus"}, 422, "time_zone"),
        ({**WEEKLY, "time_zone": "../../etc/passwd"}, 422, "time_zone"),
        ({**WEEKLY, "once_at": "2030-01-01T00:00:00Z"}, 422, "once_at"),
        ({"action": "start", "once_at": "2020-01-01T00:00:00Z"}, 422, "once_at"),
        ({"action": "start", "once_at": "9999-12-31T23:59:59Z"}, 422, "once_at"),
        ({"action": "start", "once_at": "tomorrow"}, 422, "once_at"),
        ({**WEEKLY, "next_run": "2030-01-01T00:00:00Z"}, 400, "next_run"),
        ({**WEEKLY, "owner": "admin"}, 400, "owner"),
    ],
)
def test_what_is_refused(client: Any, vm: Any, body: dict[str, Any], status: int, field: str) -> None:
    before = everything()
    problem_of(make(client, vm, body), status, field=field)
    assert everything() == before


NIGHTLY = {"action": "snapshot", "weekdays": ["mon"], "time": "02:00"}


def test_one_of_snapshots_says_how_many_stay(client: Any, vm: Any) -> None:
    made = make(client, vm, NIGHTLY).json()
    assert (made["action"], made["keep"]) == ("snapshot", 7)
    path = f"/api/v1/schedules/{made['id']}/"
    assert client.patch(path, {"keep": 2}, format="json").json()["keep"] == 2
    assert client.patch(path, {"time": "03:00"}, format="json").json()["keep"] == 2
    assert client.patch(path, {"action": "start"}, format="json").json()["keep"] is None
    problem_of(client.patch(path, {"keep": 3}, format="json"), 422, "schedule.keep", field="keep")
    assert client.patch(path, {"action": "snapshot", "keep": 3}, format="json").json()["keep"] == 3
    plan = client.post(f"/api/v1/vms/{vm.pk}/schedules/?dry_run=true", {**NIGHTLY, "keep": 1}, format="json").json()
    assert plan["plan"]["changes"] == ["snapshot on Mon at 02:00 (UTC), only the newest is kept"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({**NIGHTLY, "keep": 0}, 422),
        ({**NIGHTLY, "keep": -1}, 422),
        ({**NIGHTLY, "keep": 21}, 422),
        ({**NIGHTLY, "keep": 10**30}, 422),
        ({**NIGHTLY, "keep": "all"}, 400),
        ({**NIGHTLY, "keep": None}, 400),
        ({**NIGHTLY, "keep": 2.5}, 400),
        ({**WEEKLY, "keep": 7}, 422),
    ],
)
def test_a_number_to_keep_that_makes_no_sense(client: Any, vm: Any, body: dict[str, Any], status: int) -> None:
    before = everything()
    problem_of(make(client, vm, body), status, field="keep")
    assert everything() == before


def test_there_is_an_end_to_them(client: Any, vm: Any) -> None:
    for _ in range(20):
        assert make(client, vm, WEEKLY).status_code == 201
    problem_of(make(client, vm, WEEKLY), 409, "schedule.too_many")


def test_they_go_with_their_machine(client: Any, vm: Any) -> None:
    from apps.compute.models import VM, Schedule

    make(client, vm, WEEKLY)
    VM.objects.filter(pk=vm.pk).delete()
    assert not Schedule.objects.exists()


class TestRunning:
    """``workers.sweep.run_schedules`` with a clock of the test's."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        from workers import sweep

        class Clock:
            now = timezone.now()

        monkeypatch.setattr(sweep, "now", lambda: Clock.now)
        return Clock

    def run(self) -> int:
        from workers.sweep import run_schedules

        return run_schedules()

    def kinds(self) -> list[str]:
        from apps.events.models import Event

        return list(Event.objects.order_by("pk").values_list("kind", flat=True))

    def operations(self) -> list[tuple[str, str]]:
        from apps.operations.models import Operation

        return list(Operation.objects.order_by("created_at").values_list("kind", "requested_by_label"))

    def test_once_and_never_again(self, client: Any, vm: Any, clock: Any) -> None:
        made = make(client, vm, {"action": "power-off", "once_at": soon(minutes=5)}).json()
        assert self.run() == 0
        clock.now += timedelta(minutes=6)
        assert [self.run(), self.run()] == [1, 0]
        assert self.operations() == [("vm.power-off", "member")]
        shown = client.get(f"/api/v1/schedules/{made['id']}/").json()
        assert (shown["next_run"], shown["last_run"] is not None) == (None, True)
        vm.refresh_from_db()
        assert vm.desired_power == "off"

    def test_every_week(self, client: Any, vm: Any, clock: Any) -> None:
        from apps.operations.models import Operation

        clock.now = datetime.fromisoformat(make(client, vm, WEEKLY).json()["next_run"])
        for _ in range(3):
            assert self.run() == 1
            Operation.objects.update(status="succeeded")
            following = datetime.fromisoformat(
                client.get(f"/api/v1/vms/{vm.pk}/schedules/").json()["results"][0]["next_run"]
            )
            assert timedelta(days=2, hours=23) <= following - clock.now <= timedelta(days=4, hours=1)
            clock.now = following
        assert len(self.operations()) == 3

    def test_late_by_less_than_an_hour_it_still_runs(self, client: Any, vm: Any, clock: Any) -> None:
        make(client, vm, {"action": "start", "once_at": soon(minutes=5)})
        clock.now += timedelta(minutes=60)
        assert self.run() == 1
        assert self.operations() == [("vm.start", "member")]
        assert "schedule.missed" not in self.kinds()

    def test_later_it_is_told_and_not_done(self, client: Any, vm: Any, clock: Any) -> None:
        make(client, vm, {"action": "start", "once_at": soon(minutes=5)})
        make(client, vm, WEEKLY)
        clock.now += timedelta(days=30)
        clock.now = clock.now.replace(hour=20)
        assert [self.run(), self.run()] == [2, 0]
        assert self.operations() == []
        assert self.kinds().count("schedule.missed") == 2

    def test_missed_for_weeks_and_due_now_it_runs_once(self, client: Any, vm: Any, clock: Any) -> None:
        made = make(client, vm, WEEKLY).json()
        clock.now = datetime.fromisoformat(made["next_run"]) + timedelta(days=14, minutes=30)
        clock.now = clock.now.astimezone(UTC)
        assert [self.run(), self.run()] == [1, 0]
        assert (len(self.operations()), self.kinds().count("schedule.missed")) == (1, 1)

    def test_a_busy_machine_is_told(self, client: Any, vm: Any, clock: Any) -> None:
        client.post(f"/api/v1/vms/{vm.pk}/start/")
        make(client, vm, {"action": "reboot", "once_at": soon(minutes=5)})
        clock.now += timedelta(minutes=6)
        assert self.run() == 1
        assert self.operations() == [("vm.start", "member")]
        assert self.kinds()[-1] == "schedule.skipped"

    @pytest.mark.parametrize("change", [{"is_active": False}, {"role": "viewer"}])
    def test_an_owner_who_may_not_any_more(self, client: Any, vm: Any, clock: Any, member: Any, change: Any) -> None:
        make(client, vm, {"action": "power-off", "once_at": soon(minutes=5)})
        type(member).objects.filter(pk=member.pk).update(**change)
        clock.now += timedelta(minutes=6)
        assert self.run() == 1
        assert (self.operations(), self.kinds()[-1]) == ([], "schedule.skipped")

    def test_an_admin_who_is_none_any_more(self, boss: Any, admin: Any, vm: Any, clock: Any) -> None:
        make(boss, vm, {"action": "power-off", "once_at": soon(minutes=5)})
        type(admin).objects.filter(pk=admin.pk).update(role="member", is_superuser=False)
        clock.now += timedelta(minutes=6)
        assert self.run() == 1
        assert (self.operations(), self.kinds()[-1]) == ([], "schedule.skipped")

    def test_one_that_breaks_keeps_no_other_from_its_time(
        self, client: Any, vm: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from apps.compute.services import schedule as services

        def broken(**_more: Any) -> Any:
            raise RuntimeError("nobody foresaw this")

        make(client, vm, {"action": "power-off", "once_at": soon(minutes=4)})
        make(client, vm, {"action": "start", "once_at": soon(minutes=5)})
        monkeypatch.setitem(services.RUN, "power-off", broken)
        clock.now += timedelta(minutes=6)
        assert self.run() == 1
        assert self.operations() == [("vm.start", "member")]


@pytest.mark.django_db(transaction=True)
def test_many_sweepers_run_it_once(member: Any, make_vm: Any, host: Any, client: Any) -> None:
    from apps.compute.models import Schedule
    from apps.compute.services.schedule import schedule_run
    from apps.operations.models import Operation
    from tests.parallel import in_parallel

    vm = make_vm(member, "web-1", host=host)
    make(client, vm, {"action": "power-off", "once_at": soon(minutes=5)})
    schedule, now = Schedule.objects.get(), timezone.now() + timedelta(minutes=6)
    ran = in_parallel(lambda _number: schedule_run(schedule_id=schedule.pk, now=now), range(16))
    assert (sorted(ran, key=str).count(True), ran.count(False)) == (1, 15)
    assert Operation.objects.count() == 1
