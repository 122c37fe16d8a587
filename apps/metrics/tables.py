"""The eight partitioned tables: samples of hosts and machines as they came, and three roll-ups of each.

A row is wide: all series of one host or machine at one time. Each table is partitioned by time in spans that are
counted from 1970, so that what is too old goes by dropping a table. See ADR 0020.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection
from psycopg import sql

from apps.metrics.series import KINDS, Kind

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=2)
MARGIN = timedelta(hours=2)
"""A sample that was still taken must find the rest of its window, so partitions outlive the limit by this."""
LOCK_KEY = 0x6D657472
LOCK_PATIENCE = "2s"


@dataclass(frozen=True, kw_only=True)
class Level:
    """How fine a table is. ``step`` 0 is what came in."""

    name: str
    step: int
    days: int

    @property
    def span(self) -> timedelta:
        return timedelta(days=self.days)

    @property
    def kept(self) -> timedelta:
        """How long it is kept at least."""
        return {
            "raw": timedelta(hours=settings.METRICS_RAW_HOURS),
            "minute": timedelta(days=settings.METRICS_MINUTE_DAYS),
            "five": timedelta(days=settings.METRICS_FIVE_MINUTE_DAYS),
            "hour": timedelta(days=settings.METRICS_HOUR_DAYS),
        }[self.name]


RAW = Level(name="raw", step=0, days=1)
MINUTE = Level(name="minute", step=60, days=1)
FIVE = Level(name="five", step=300, days=7)
HOUR = Level(name="hour", step=3600, days=28)
ROLLUPS = (MINUTE, FIVE, HOUR)
LEVELS = (RAW, *ROLLUPS)


def table(kind: Kind, level: Level) -> str:
    return f"metrics_{kind.name}_{level.name}"


def span_start(level: Level, at: datetime) -> datetime:
    """Where the partition begins that holds this time."""
    return EPOCH + ((at - EPOCH) // level.span) * level.span


def window_start(level: Level, at: datetime) -> datetime:
    """Where the window of a roll-up begins that holds this time."""
    return EPOCH + ((at - EPOCH) // timedelta(seconds=level.step)) * timedelta(seconds=level.step)


def partition(kind: Kind, level: Level, start: datetime) -> str:
    return f"{table(kind, level)}_{start:%Y%m%d}"


def partitions_ensure(level: Level, times: Iterable[datetime]) -> int:
    """Have a place for rows of these times. Returns how many partitions were made; usually one query and none."""
    starts = sorted({span_start(level, at) for at in times})
    wanted = {partition(kind, level, start): (kind, start) for start in starts for kind in KINDS}
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM unnest(%s::text[]) name WHERE to_regclass(name) IS NULL", [list(wanted)])
        missing = [name for (name,) in cursor.fetchall()]
        if missing:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])
        for name in missing:
            kind, start = wanted[name]
            _attach(table(kind, level), name, start, start + level.span)
    return len(missing)


def _attach(parent: str, name: str, start: datetime, end: datetime) -> None:
    """Made apart and attached, because `PARTITION OF` would lock out whoever reads the whole table."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name])
        if cursor.fetchone() == (True,):
            return  # another process made it while we waited for the lock
        names = {"parent": sql.Identifier(parent), "name": sql.Identifier(name)}
        bounds = {"start": sql.Literal(start.isoformat()), "end": sql.Literal(end.isoformat())}
        cursor.execute(sql.SQL("CREATE TABLE {name} (LIKE {parent} INCLUDING ALL)").format(**names))
        attach = "ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})"
        cursor.execute(sql.SQL(attach).format(**names, **bounds))


def partitions_ahead(*, now: datetime) -> int:
    """Make those of the next days. Nothing depends on it: whoever writes makes what is missing."""
    return sum(partitions_ensure(level, [now, now + AHEAD]) for level in LEVELS)


def partitions_expired(*, now: datetime) -> list[str]:
    """Those that hold only what is older than is kept."""
    return [
        name
        for kind in KINDS
        for level in LEVELS
        for name, start in partitions_of(kind, level)
        if start + level.span < now - level.kept - MARGIN
    ]


def partitions_of(kind: Kind, level: Level) -> list[tuple[str, datetime]]:
    """The partitions of a table, oldest first, with the time at which each begins."""
    query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1"
    with connection.cursor() as cursor:
        cursor.execute(query, [table(kind, level)])
        names = [name for (name,) in cursor.fetchall()]
    return [(name, datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC)) for name in names]


def partition_drop(name: str) -> None:
    """Drop one; gives up soon where somebody reads the table, for a later try."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_PATIENCE])
        cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))
