"""Reading what was measured, as many points as a picture can show.

Who may read is decided where the host or machine was looked up; nothing here takes an id from a request.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from psycopg import sql

from apps.metrics.models import Reporter
from apps.metrics.series import Kind
from apps.metrics.tables import EPOCH, FIVE, HOUR, LEVELS, RAW, ROLLUPS, Level, table, window_start

STEPS = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
USUAL_POINTS = 750
MOST_POINTS = 1500
UNSETTLED = timedelta(minutes=62)
"""Hours that ended less than this ago may not be rolled up yet."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """What is asked for: whole steps from ``start`` up to ``end``, read at this level."""

    start: datetime
    end: datetime
    step: int
    level: Level

    @property
    def points(self) -> int:
        return int((self.end - self.start).total_seconds()) // self.step


def range_for(*, start: datetime, end: datetime, step: int | None, interval: int, now: datetime) -> Range:
    """The step that gives a picture's worth of points, or the wanted one, and the table that still has the time.

    Samples come every ``interval`` seconds and not on the second, so a step holds at least two of them.
    """
    seconds = (end - start).total_seconds()
    least = max(seconds / (MOST_POINTS if step else USUAL_POINTS), step or 2 * interval)
    wanted = [one for one in STEPS if one >= least] or [STEPS[-1]]
    for chosen in wanted:
        level = _level(chosen, start, now)
        if level is not None:
            return _whole(start, end, chosen, level)
    return _whole(start, end, max(wanted[0], HOUR.step), HOUR)


def _level(step: int, start: datetime, now: datetime) -> Level | None:
    """The coarsest table whose windows fit into the step, if it goes back so far; else a finer one."""
    fitting = [level for level in reversed(LEVELS) if level is RAW or step % level.step == 0]
    return next((level for level in fitting if now - start <= level.kept), None)


def _whole(start: datetime, end: datetime, step: int, level: Level) -> Range:
    width = timedelta(seconds=step)
    begin, over = EPOCH + (start - EPOCH) // width * width, EPOCH - (EPOCH - end) // width * width
    return Range(start=begin, end=max(over, begin + width), step=step, level=level)


def reporter_of(host_id: uuid.UUID | None) -> Reporter | None:
    """The agent of a host, if one ever reported."""
    return Reporter.objects.filter(pk=host_id).first() if host_id else None


def points_of(*, kind: Kind, key: uuid.UUID, asked: Range, names: tuple[str, ...], now: datetime) -> dict[str, Any]:
    """Times and, for each series, averages and maxima; what nobody measured is null, so that a gap is a gap."""
    with connection.cursor() as cursor:
        cursor.execute(*_query(kind, key, asked, names, now))
        rows = cursor.fetchall()
    first, count = int(asked.start.timestamp()), asked.points
    columns: list[list[float | None]] = [[None] * count for _column in range(2 * len(names))]
    for at, *values in rows:
        place = (int(at.timestamp()) - first) // asked.step
        for column, value in zip(columns, values, strict=True):
            column[place] = value
    return {
        "at": [first + place * asked.step for place in range(count)],
        "series": {
            name: {"unit": kind.units[name], "avg": columns[2 * number], "max": columns[2 * number + 1]}
            for number, name in enumerate(names)
        },
    }


def _query(
    kind: Kind, key: uuid.UUID, asked: Range, names: tuple[str, ...], now: datetime
) -> tuple[sql.Composed, list[Any]]:
    """One statement. The newest hours are read by five minutes, as their own roll-up comes when they are over."""
    end = asked.end
    sources = [(asked.level, asked.start, end)]
    if asked.level is HOUR:
        settled = min(max(window_start(HOUR, now - UNSETTLED), asked.start), end)
        sources = [(HOUR, asked.start, settled), (FIVE, settled, end)]
    parts = [_source(kind, level, names) for level, _start, _end in sources]
    arguments = [value for _level, begin, over in sources for value in (key, begin, over)]
    average = "(sum({avg} * n) / sum(n) FILTER (WHERE {avg} IS NOT NULL))::real, max({max})"
    values = sql.SQL(", ").join(
        sql.SQL(average).format(avg=sql.Identifier(f"{name}_avg"), max=sql.Identifier(f"{name}_max")) for name in names
    )
    query = sql.SQL("SELECT date_bin(make_interval(secs => %s), at, %s), {values} FROM ({parts}) part GROUP BY 1")
    return query.format(values=values, parts=sql.SQL(" UNION ALL ").join(parts)), [asked.step, EPOCH, *arguments]


def _source(kind: Kind, level: Level, names: tuple[str, ...]) -> sql.Composed:
    raw = level not in ROLLUPS
    columns = [
        sql.SQL("{0} AS {1}").format(
            sql.Identifier(name if raw else f"{name}_{what}"), sql.Identifier(f"{name}_{what}")
        )
        for name in names
        for what in ("avg", "max")
    ]
    return sql.SQL("SELECT at, {n} AS n, {columns} FROM {table} WHERE {key} = %s AND at >= %s AND at < %s").format(
        n=sql.SQL("1") if raw else sql.Identifier("samples"),
        columns=sql.SQL(", ").join(columns),
        table=sql.Identifier(table(kind, level)),
        key=sql.Identifier(kind.key),
    )
