"""Partitions are made where they are missing and go when what is in them is too old."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from apps.metrics.models import TouchedWindow
from apps.metrics.retention import samples_forget
from apps.metrics.rollups import windows_roll_up
from apps.metrics.series import HOST
from apps.metrics.services import samples_store
from apps.metrics.tables import FIVE, HOUR, MINUTE, RAW, partitions_ahead, partitions_of, span_start
from tests.metrics.reports import NOON, batch, sample


def days(level: Any) -> list[datetime]:
    return [start for _name, start in partitions_of(HOST, level)]


def test_whoever_writes_makes_what_is_missing(host: Any) -> None:
    assert days(RAW) == []
    samples_store(host_id=host.pk, batch=batch(sample(-13 * 3600), sample(0)), now=NOON)
    assert days(RAW) == [datetime(2026, 11, 21, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC)]
    windows_roll_up(now=NOON)
    assert days(MINUTE) == days(RAW)
    assert days(FIVE) == [span_start(FIVE, NOON)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM metrics_host_raw WHERE at = %s", [NOON])
        assert cursor.fetchall() == [("metrics_host_raw_20261122",)]


def test_some_are_made_ahead(db: None) -> None:
    assert partitions_ahead(now=NOON) > 0
    assert datetime(2026, 11, 24, tzinfo=UTC) in days(RAW)
    assert partitions_ahead(now=NOON) == 0


def test_what_is_too_old_goes_and_nothing_younger(host: Any, kept: Any) -> None:
    """With 48 hours the day before yesterday stays until the last sample that was still taken has had its time."""
    samples_store(host_id=host.pk, batch=batch(sample(0, cpu=1.0)), now=NOON)
    windows_roll_up(now=NOON + timedelta(hours=3))
    midnight = datetime(2026, 11, 23, tzinfo=UTC)
    for now, left in [(timedelta(hours=50), 1), (timedelta(hours=50, seconds=1), 0)]:
        samples_forget(now=midnight + now)
        assert len(kept("host", "raw", host.pk)) == left
    assert [len(kept("host", level, host.pk)) for level in ("minute", "five", "hour")] == [1, 1, 1]
    samples_forget(now=midnight + timedelta(days=7, hours=3))
    assert [len(kept("host", level, host.pk)) for level in ("minute", "five", "hour")] == [0, 1, 1]
    samples_forget(now=midnight + timedelta(days=38))
    assert [len(kept("host", level, host.pk)) for level in ("minute", "five", "hour")] == [0, 0, 1]
    samples_forget(now=midnight + timedelta(days=429))
    assert kept("host", "hour", host.pk) == []


def test_a_roll_up_stays_when_its_samples_are_gone(host: Any, kept: Any) -> None:
    """A window that was never rolled up, and whose samples went, empties no row."""
    samples_store(host_id=host.pk, batch=batch(sample(0, cpu=1.0)), now=NOON)
    left = list(TouchedWindow.objects.values("host_id", "step", "at", "vms"))
    windows_roll_up(now=NOON + timedelta(hours=3))
    samples_forget(now=NOON + timedelta(days=3))
    TouchedWindow.objects.bulk_create(TouchedWindow(**one) for one in left)
    windows_roll_up(now=NOON + timedelta(days=3))
    assert kept("host", "hour", host.pk)[0]["cpu_max"] == 1


def test_windows_that_nobody_rolled_up_are_forgotten(host: Any) -> None:
    samples_store(host_id=host.pk, batch=batch(sample(0, cpu=1.0)), now=NOON)
    samples_forget(now=NOON + timedelta(days=4))
    assert TouchedWindow.objects.count() == 3
    samples_forget(now=NOON + timedelta(days=6))
    assert not TouchedWindow.objects.exists()


@pytest.mark.parametrize("level", [RAW, MINUTE, FIVE, HOUR])
def test_spans_follow_each_other(level: Any) -> None:
    start = span_start(level, NOON)
    assert start <= NOON < start + level.span
    assert span_start(level, start) == start
    assert span_start(level, start + level.span - timedelta(microseconds=1)) == start
    assert start.hour == start.minute == 0
