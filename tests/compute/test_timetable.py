"""When a weekly schedule is due next, over every change of the clocks."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.compute.timetable import moment, next_weekly, zone_names

# Gaps and folds of an hour, of half an hour, at midnight, of a whole day (Samoa skipped one), and none at all.
ZONES = [
    "UTC",
    "Europe/Zurich",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Africa/Casablanca",
]
zones = st.sampled_from(ZONES).map(ZoneInfo)
days = st.sets(st.integers(0, 6), min_size=1)
times = st.times(timezones=st.none()).map(lambda at: at.replace(second=0, microsecond=0))
moments = st.datetimes(datetime(2009, 1, 1), datetime(2035, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001


@given(weekdays=days, at=times, zone=zones, after=moments)
def test_it_is_later_and_on_one_of_its_days(weekdays: set[int], at: time, zone: ZoneInfo, after: datetime) -> None:
    found = next_weekly(weekdays=weekdays, at=at, zone=zone, after=after)
    assert after < found <= after + timedelta(days=9)
    local = found.astimezone(zone)
    exists = any(moment(local.date() + timedelta(days=back), at, zone) == found for back in (0, -1, 1))
    assert exists
    if (local.hour, local.minute) == (at.hour, at.minute):
        assert local.weekday() in weekdays


@given(weekdays=days, at=times, zone=zones, after=moments)
def test_nothing_is_left_out_and_nothing_comes_twice(
    weekdays: set[int], at: time, zone: ZoneInfo, after: datetime
) -> None:
    """Four weeks of it are exactly the moments of those days, in order, once for each day."""
    expected = sorted(
        found
        for offset in range(-2, 32)
        if (day := after.astimezone(zone).date() + timedelta(days=offset)).weekday() in weekdays
        and after < (found := moment(day, at, zone)) <= after + timedelta(days=28)
    )
    found, moment_now = [], after
    while (moment_now := next_weekly(weekdays=weekdays, at=at, zone=zone, after=moment_now)) <= after + timedelta(
        days=28
    ):
        found.append(moment_now)
    assert found == sorted(set(expected))


@pytest.mark.parametrize(
    ("day", "at", "utc"),
    [
        (date(2026, 3, 28), "02:30", "2026-03-28T01:30"),  # winter
        (date(2026, 3, 29), "02:30", "2026-03-29T01:30"),  # the clocks go from 02:00 to 03:00: it is 03:30 there
        (date(2026, 3, 30), "02:30", "2026-03-30T00:30"),  # summer
        (date(2026, 10, 25), "02:30", "2026-10-25T00:30"),  # twice: the first
        (date(2026, 10, 26), "02:30", "2026-10-26T01:30"),
    ],
)
def test_the_nights_on_which_zurich_changes_its_clocks(day: date, at: str, utc: str) -> None:
    found = moment(day, time.fromisoformat(at), ZoneInfo("Europe/Zurich"))
    assert found == datetime.fromisoformat(utc).replace(tzinfo=UTC)


def test_no_weekday_is_no_schedule() -> None:
    with pytest.raises(ValueError, match="weekday"):
        next_weekly(weekdays=[], at=time(7), zone=ZoneInfo("UTC"), after=datetime(2026, 1, 1, tzinfo=UTC))


def test_zones_have_names_that_mean_the_same_everywhere() -> None:
    assert {"UTC", "Europe/Zurich"} <= zone_names()
    assert not {"localtime", "../../etc/passwd", ""} & zone_names()
