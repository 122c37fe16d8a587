"""What was measured, over the API: points, gaps, steps, and who may read it."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.hosts.capacity import Demand, capacity_claim
from apps.metrics.rollups import windows_roll_up
from apps.metrics.selectors import USUAL_POINTS, range_for
from apps.metrics.series import HOST, VM
from apps.metrics.services import samples_store
from tests.api.answers import problem_of
from tests.metrics.reports import NOON, batch, sample

START = int(NOON.timestamp())


@pytest.fixture(autouse=True)
def at_noon(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """It is noon, or so much later."""

    def later(by: timedelta) -> None:
        monkeypatch.setattr("apps.metrics.api.timezone", SimpleNamespace(now=lambda: NOON + by))

    later(timedelta())
    return later


@pytest.fixture
def vm(make_vm: Any, member: Any, host: Any) -> Any:
    """A machine that holds its room."""
    made = make_vm(member, "web-1", host=host)
    demand = Demand(vcpus=1, memory_mib=256, disk_gib=2)
    assert capacity_claim(host_id=host.pk, consumer_id=made.pk, label=made.name, demand=demand)
    return made


def report(host: Any, vm: Any, values: dict[int, float]) -> None:
    """CPU of host and machine so many seconds after noon."""
    samples = [sample(at, cpu=value, guests={vm.pk: {"cpu": value}}) for at, value in values.items()]
    now = NOON + timedelta(seconds=max(0, *values))
    for begin in range(0, len(samples), 120):
        samples_store(host_id=host.pk, batch=batch(*samples[begin : begin + 120]), now=now)


def url(vm: Any, **query: Any) -> str:
    return f"/api/v1/vms/{vm.pk}/metrics/?" + "&".join(f"{name}={value}" for name, value in query.items())


def test_points_and_gaps(vm: Any, host: Any, member: Any, admin: Any, api_for: Any) -> None:
    report(host, vm, {-30: 1.0, -25: 3.0, -10: 2.0})
    answer = api_for(member).get(url(vm, **{"from": START - 40, "to": START, "series": "cpu,memory"})).json()
    assert (answer["from"], answer["to"], answer["step"]) == ("2026-11-22T11:59:20Z", "2026-11-22T12:00:00Z", 10)
    assert answer["at"] == [START - 40, START - 30, START - 20, START - 10]
    assert answer["series"] == {
        "cpu": {"unit": "cores", "avg": [None, 2.0, None, 2.0], "max": [None, 3.0, None, 2.0]},
        "memory": {"unit": "bytes", "avg": [None] * 4, "max": [None] * 4},
    }
    assert (answer["agent"]["version"], answer["agent"]["last_at"]) == ("0.1.0", "2026-11-22T11:59:50Z")
    fine = api_for(member).get(url(vm, **{"from": START - 40, "to": START, "series": "cpu", "step": 5})).json()
    assert fine["series"]["cpu"]["avg"] == [None, None, 1, 3, None, None, 2, None]
    hosts = api_for(admin).get(f"/api/v1/hosts/{host.pk}/metrics/?from=2026-11-22T11:59:20Z").json()
    assert hosts["series"].keys() == HOST.units.keys()
    assert hosts["series"]["cpu"]["max"] == [None, 3.0, None, 2.0]


def test_nobody_has_reported(vm: Any, member: Any, api_for: Any, make_vm: Any) -> None:
    answer = api_for(member).get(url(vm)).json()
    assert answer["agent"] is None
    assert answer["series"].keys() == VM.units.keys()
    assert set(answer["series"]["cpu"]["avg"]) == {None}
    assert api_for(member).get(url(make_vm(member, "nowhere"))).json()["agent"] is None


RANGES = {0.25: 10, 1: 10, 6: 30, 24: 120, 168: 900, 720: 3600, 8784: 43200}


def test_every_range_says_the_same_about_the_same_time(
    vm: Any, host: Any, member: Any, api_for: Any, at_noon: Any
) -> None:
    """An hour of samples, seen from ever farther away."""
    report(host, vm, {at: float(at // 20 % 4) for at in range(0, 3600, 20)})
    windows_roll_up(now=NOON + timedelta(hours=2))
    for hours, step in RANGES.items():
        later = timedelta(hours=1 if hours <= 1 else 2)
        at_noon(later)
        begin = START + later.total_seconds() - hours * 3600
        answer = api_for(member).get(url(vm, series="cpu", **{"from": begin})).json()
        assert answer["step"] == step
        assert len(answer["at"]) <= USUAL_POINTS + 2
        known = [value for value in answer["series"]["cpu"]["avg"] if value is not None]
        assert sum(known) / len(known) == pytest.approx(1.5, abs=0.06)
        assert max(value or 0 for value in answer["series"]["cpu"]["max"]) == 3


def test_what_is_too_old_is_read_more_coarsely() -> None:
    def asked(days_ago: float, hours: float, step: int | None = None) -> tuple[int, str]:
        start = NOON - timedelta(days=days_ago)
        found = range_for(start=start, end=start + timedelta(hours=hours), step=step, interval=5, now=NOON)
        return found.step, found.level.name

    assert asked(0.04, 1) == (10, "raw")
    assert asked(3, 1) == (60, "minute")
    assert asked(10, 1) == (300, "five")
    assert asked(100, 1) == (3600, "hour")
    assert asked(1000, 1) == (3600, "hour")
    assert asked(1, 24, step=5) == (60, "minute")
    assert asked(0.04, 1, step=7) == (10, "raw")
    assert asked(0.04, 1, step=604800) == (604800, "hour")


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ({"series": "cpu,hopes"}, "metrics.unknown_series", "series"),
        ({"series": ""}, "metrics.unknown_series", "series"),
        ({"from": "yesterday"}, "metrics.time", "from"),
        ({"from": "2026-11-22T11:00:00"}, "metrics.time", "from"),
        ({"to": "9" * 12}, "metrics.time", "to"),
        ({"to": "-1"}, "metrics.time", "to"),
        ({"to": "1" * 400}, "metrics.time", "to"),
        ({"from": START, "to": START}, "metrics.range", "from"),
        ({"from": START, "to": START - 1}, "metrics.range", "from"),
        ({"from": "2001-01-01T00:00:00Z"}, "metrics.range", "from"),
        ({"step": "0"}, "metrics.step", "step"),
        ({"step": "1.5"}, "metrics.step", "step"),
        ({"step": "²"}, "metrics.step", "step"),
        ({"form": "1"}, "request.unknown_filter", "form"),
    ],
)
def test_nonsense_is_refused(query: dict[str, Any], code: str, field: str, vm: Any, member: Any, api_for: Any) -> None:
    found = problem_of(api_for(member).get(url(vm, **query)), 422, code, field)
    if code == "metrics.unknown_series":
        assert "net_transmit" in found["detail"]


def test_it_is_the_owners_and_the_admins(
    vm: Any, host: Any, other: Any, viewer: Any, member: Any, api_for: Any
) -> None:
    for who in (other, viewer):
        problem_of(api_for(who).get(url(vm)), 404, "vm.not_found")
    assert api_for(member).get(f"/api/v1/hosts/{host.pk}/metrics/").status_code == 403
    assert api_for(member).get(f"/api/v1/vms/{uuid.uuid4()}/metrics/").status_code == 404


def test_the_number_of_queries_does_not_grow(vm: Any, host: Any, member: Any, api_for: Any) -> None:
    counts = []
    for many in (1, 200):
        report(host, vm, {-5 * n: 1.0 for n in range(many)})
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert api_for(member).get(url(vm)).status_code == 200
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 5
