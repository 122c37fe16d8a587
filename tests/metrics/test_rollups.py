"""Roll-ups say the same whatever way the samples came."""

import itertools
import math
import uuid
from collections import defaultdict
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.metrics.models import TouchedWindow
from apps.metrics.rollups import windows_roll_up
from apps.metrics.services import samples_store
from tests.metrics.reports import NOON, batch, sample

LATER = NOON + timedelta(hours=4)
STEPS = {"minute": 60, "five": 300, "hour": 3600}


def test_average_and_maximum_of_what_is_known(host: Any, machines: list[uuid.UUID], kept: Any) -> None:
    given_values = [(0, 1.0), (5, 2.0), (55, None), (60, 4.0), (3600, 8.0)]
    samples = [sample(at, cpu=value, guests={machines[0]: {"cpu": value}}) for at, value in given_values]
    samples_store(host_id=host.pk, batch=batch(*samples), now=LATER)
    assert windows_roll_up(now=LATER) == 3 + 2 + 2
    for kind, key in (("host", host.pk), ("vm", machines[0])):
        minutes = kept(kind, "minute", key)
        assert [(row["samples"], row["cpu_avg"], row["cpu_max"]) for row in minutes] == [
            (3, 1.5, 2),
            (1, 4, 4),
            (1, 8, 8),
        ]
        assert minutes[0]["at"] == NOON
        hours = kept(kind, "hour", key)
        assert [row["at"] for row in hours] == [NOON, NOON + timedelta(hours=1)]
        assert hours[0]["cpu_avg"] == pytest.approx(7 / 3)
        assert hours[0]["memory_total_avg"] is None
    assert windows_roll_up(now=LATER) == 0


def test_an_hour_waits_until_it_is_over_and_again_for_what_comes_late(host: Any, kept: Any) -> None:
    samples_store(host_id=host.pk, batch=batch(sample(0, cpu=1.0)), now=NOON)
    windows_roll_up(now=NOON + timedelta(minutes=59))
    assert kept("host", "hour", host.pk) == []
    assert kept("host", "five", host.pk)[0]["cpu_max"] == 1
    windows_roll_up(now=LATER)
    assert kept("host", "hour", host.pk)[0]["cpu_max"] == 1
    samples_store(host_id=host.pk, batch=batch(sample(30, cpu=3.0)), now=LATER)
    windows_roll_up(now=LATER)
    assert [(row["samples"], row["cpu_avg"], row["cpu_max"]) for row in kept("host", "hour", host.pk)] == [(2, 2, 3)]


def test_what_comes_twice_is_not_rolled_up_again(host: Any) -> None:
    for _time in range(2):
        samples_store(host_id=host.pk, batch=batch(sample(0, cpu=1.0)), now=LATER)
        windows_roll_up(now=LATER)
    samples_store(host_id=host.pk, batch=batch(sample(0, cpu=1.0)), now=LATER)
    assert not TouchedWindow.objects.exists()


SEEN = st.dictionaries(st.integers(0, 1400).map(lambda n: n * 5), st.integers(0, 64), min_size=1, max_size=40)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seen=SEEN, data=st.data())
def test_any_order_and_repetition_gives_the_same(
    seen: dict[int, int], data: st.DataObject, host: Any, machines: list[uuid.UUID], kept: Any
) -> None:
    """Cut into batches of any order with anything twice, and rolled up at any moments between them."""
    extra = data.draw(st.lists(st.sampled_from(sorted(seen)), max_size=10))
    order = data.draw(st.permutations([*seen, *extra]))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order)), max_size=4)) | {0, len(order)})
    with transaction.atomic():
        for begin, end in itertools.pairwise(cuts):
            samples = [sample(at, cpu=seen[at], guests={machines[0]: {"memory": seen[at]}}) for at in order[begin:end]]
            samples_store(host_id=host.pk, batch=batch(*samples), now=LATER)
            if data.draw(st.booleans()):
                windows_roll_up(now=LATER)
        windows_roll_up(now=LATER)
        check(seen, kept, host.pk, machines[0])
        transaction.set_rollback(True)


def check(seen: dict[int, int], kept: Any, host_id: uuid.UUID, vm_id: uuid.UUID) -> None:
    """Against the same computed in the plainest way."""
    assert [row["cpu"] for row in kept("host", "raw", host_id)] == [seen[at] for at in sorted(seen)]
    for level, step in STEPS.items():
        windows = defaultdict(list)
        for at, value in seen.items():
            windows[at // step * step].append(value)
        for kind, key, name in (("host", host_id, "cpu"), ("vm", vm_id, "memory")):
            rows = kept(kind, level, key)
            assert [row["at"] for row in rows] == [NOON + timedelta(seconds=at) for at in sorted(windows)]
            for row, at in zip(rows, sorted(windows), strict=True):
                assert (row["samples"], row[f"{name}_max"]) == (len(windows[at]), max(windows[at]))
                assert math.isclose(row[f"{name}_avg"], sum(windows[at]) / len(windows[at]), rel_tol=1e-5)
