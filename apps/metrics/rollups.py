"""Roll-ups: average and maximum of every series by minute, by five minutes and by hour.

Each is computed from the samples as they came, whole window by whole window, so that doing it again, or for a sample
that came a day late, gives the same row. What is to be done stands in ``TouchedWindow``; any number may work on it.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q
from psycopg import sql

from apps.metrics.models import TouchedWindow
from apps.metrics.series import HOST, VM, Kind
from apps.metrics.tables import HOUR, RAW, ROLLUPS, Level, partitions_ensure, span_start, table

AT_ONCE = 400
SETTLED = timedelta(seconds=30)
"""An hour is read once, when it is over and what was on its way has come; and again for what comes late."""

Window = tuple[uuid.UUID, datetime]


def windows_roll_up(*, now: datetime) -> int:
    """Roll up what is due, some at a time. Returns how many windows that was."""
    done = 0
    while found := _roll_up_some(now):
        done += found
        if found < AT_ONCE:
            break
    return done


@transaction.atomic
def _roll_up_some(now: datetime) -> int:
    over = now - timedelta(seconds=HOUR.step) - SETTLED
    due = TouchedWindow.objects.filter(~Q(step=HOUR.step) | Q(at__lt=over)).order_by("at", "step")
    claimed = list(due.select_for_update(skip_locked=True)[:AT_ONCE])
    TouchedWindow.objects.filter(pk__in=[window.pk for window in claimed]).delete()
    for level in ROLLUPS:
        mine = [window for window in claimed if window.step == level.step]
        _roll_up(HOST, level, [(window.host_id, window.at) for window in mine])
        _roll_up(VM, level, sorted({(vm_id, window.at) for window in mine for vm_id in window.vms}))
    return len(claimed)


def _roll_up(kind: Kind, level: Level, windows: Sequence[Window]) -> None:
    """By days of samples, so that each statement reads the partitions that it needs."""
    partitions_ensure(level, [at for _key, at in windows])
    for day in sorted({span_start(RAW, at) for _key, at in windows}):
        _compute(kind, level, [window for window in windows if span_start(RAW, window[1]) == day], day)


def _compute(kind: Kind, level: Level, windows: Sequence[Window], day: datetime) -> None:
    average = sql.SQL(", ").join(
        sql.SQL("avg({0}), max({0})").format(sql.Identifier("sample", name)) for name in kind.series
    )
    columns = [f"{name}_{what}" for name in kind.series for what in ("avg", "max")]
    update = sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in ("samples", *columns)
    )
    query = sql.SQL(
        """
        INSERT INTO {target} ({key}, at, samples, {columns})
        SELECT wanted.key, wanted.at, count(*), {average}
        FROM unnest(%s::uuid[], %s::timestamptz[]) AS wanted(key, at)
        JOIN {raw} AS sample ON sample.{key} = wanted.key
            AND sample.at >= wanted.at AND sample.at < wanted.at + make_interval(secs => %s)
            AND sample.at >= %s AND sample.at < %s
        GROUP BY wanted.key, wanted.at ORDER BY wanted.key, wanted.at
        ON CONFLICT ({key}, at) DO UPDATE SET {update}
        """
    ).format(
        target=sql.Identifier(table(kind, level)),
        raw=sql.Identifier(table(kind, RAW)),
        key=sql.Identifier(kind.key),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        average=average,
        update=update,
    )
    keys, times = [key for key, _at in windows], [at for _key, at in windows]
    with connection.cursor() as cursor:
        cursor.execute(query, [keys, times, level.step, day, day + RAW.span])
