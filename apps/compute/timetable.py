"""When something weekly is due next: local times of a named zone, over changes to and from daylight saving time.

Once for each day on which it is due: a time that a day does not have (the clocks went forward over it) is the moment
that the old clocks would have shown it; of a time that a day has twice the first counts.
"""

from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@cache
def zone_names() -> frozenset[str]:
    """Every zone that has a name, without the machine's own."""
    return frozenset(name for name in available_timezones() if name != "localtime")


def moment(day: date, at: time, zone: ZoneInfo) -> datetime:
    """The one moment of this day's local time, in UTC."""
    return datetime.combine(day, at, tzinfo=zone).replace(fold=0).astimezone(UTC)


def next_weekly(*, weekdays: Collection[int], at: time, zone: ZoneInfo, after: datetime) -> datetime:
    """The first moment later than ``after`` at this local time on one of these weekdays (Monday is 0)."""
    first = after.astimezone(zone).date() - timedelta(days=1)
    for offset in range(10):
        day = first + timedelta(days=offset)
        if day.weekday() in weekdays and (found := moment(day, at, zone)) > after:
            return found
    raise ValueError("no weekday was given")
