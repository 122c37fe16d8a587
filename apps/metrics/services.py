"""Taking samples in. One transaction for a batch; a batch that comes twice, late or out of order does no harm."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from psycopg import sql

from apps.errors import Forbidden
from apps.hosts.models import Allocation, AllocationKind, Host
from apps.metrics.batch import Batch, Sample
from apps.metrics.models import Reporter
from apps.metrics.series import HOST, VM, Kind
from apps.metrics.tables import RAW, ROLLUPS, partitions_ensure, table, window_start

LATEST = timedelta(hours=48)
FUTURE = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What became of a batch."""

    accepted: int
    duplicates: int
    refused: list[dict[str, Any]]
    schedule: dict[str, Any]


@transaction.atomic
def samples_store(*, host_id: uuid.UUID, batch: Batch, now: datetime) -> Stored:
    """Keep what a host's agent says about it and its machines.

    Raises ``Forbidden`` where there is no such host any more.
    """
    reporter = _reporter(host_id)
    timely, refused = _sorted_out(batch, now)
    ours = set(_machines_of(host_id))
    partitions_ensure(RAW, timely)
    hosts = [(host_id, at, sample) for at, sample in timely.items()]
    guests = [(vm_id, at, values) for at, sample in timely.items() for vm_id, values in sample.guests.items()]
    known = [row for row in guests if row[0] in ours]
    accepted = _insert(HOST, [(key, at, *_values(HOST, one.host), one.host.cores) for key, at, one in hosts], "cores")
    added = _insert(VM, [(key, at, *_values(VM, values)) for key, at, values in known])
    if accepted or added:
        _touch(host_id, set(timely), sorted({row[0] for row in known}))
    _remember(reporter, batch, timely, now=now, foreign=len(guests) - len(known), refused=len(refused))
    return Stored(
        accepted=accepted,
        duplicates=len(batch.samples) - len(refused) - accepted,
        refused=refused,
        schedule=schedule_of(reporter),
    )


def schedule_of(reporter: Reporter) -> dict[str, Any]:
    """What the agent is to measure, as it is told with every answer."""
    return {
        "version": reporter.schedule_version,
        "interval": reporter.interval,
        "guests": reporter.guests,
        "cores": reporter.cores,
    }


def _reporter(host_id: uuid.UUID) -> Reporter:
    """Locked, so that two batches of one host never wait for each other's rows in a circle."""
    reporter = Reporter.objects.select_for_update().filter(pk=host_id).first()
    if reporter is None:
        if not Host.objects.filter(pk=host_id).exists():
            raise Forbidden("metrics.unknown_host", "The certificate names a host that is not one of this cloud.")
        Reporter.objects.bulk_create([Reporter(host_id=host_id)], ignore_conflicts=True)
        reporter = Reporter.objects.select_for_update().get(pk=host_id)
    return reporter


def _machines_of(host_id: uuid.UUID) -> list[uuid.UUID]:
    """Machines that hold room on the host: only about them it may say anything."""
    held = Allocation.objects.filter(host_id=host_id, kind=AllocationKind.VM)
    return list(held.values_list("consumer_id", flat=True))


def _sorted_out(batch: Batch, now: datetime) -> tuple[dict[datetime, Sample], list[dict[str, Any]]]:
    """Samples by time, and those that are not taken."""
    oldest = now - min(LATEST, timedelta(hours=settings.METRICS_RAW_HOURS))
    timely: dict[datetime, Sample] = {}
    refused = []
    for sample in batch.samples:
        at = datetime.fromtimestamp(sample.at, UTC)
        if at > now + FUTURE:
            refused.append({"at": sample.at, "reason": "clock"})
        elif at < oldest:
            refused.append({"at": sample.at, "reason": "late"})
        else:
            timely.setdefault(at, sample)
    return dict(sorted(timely.items())), refused


def _values(kind: Kind, values: Any) -> tuple[float | None, ...]:
    return tuple(getattr(values, name) for name in kind.series)


def _insert(kind: Kind, rows: list[tuple[Any, ...]], *more: str) -> int:
    """COPY into a table of this transaction, then take over what is new. Returns how many rows that was."""
    if not rows:
        return 0
    names = sql.SQL(", ").join(map(sql.Identifier, (kind.key, "at", *kind.series, *more)))
    target = sql.Identifier(table(kind, RAW))
    staging = sql.Identifier(f"staged_{kind.name}")
    types = ["uuid", "timestamptz", *["float4"] * len(kind.series), *["float4[]"] * len(more)]
    parts = {"names": names, "target": target, "staging": staging}
    make = "CREATE TEMPORARY TABLE IF NOT EXISTS {staging} (LIKE {target}) ON COMMIT DELETE ROWS"
    take = "INSERT INTO {target} ({names}) SELECT {names} FROM {staging} ON CONFLICT DO NOTHING"
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(make).format(**parts))
        with cursor.copy(sql.SQL("COPY {staging} ({names}) FROM STDIN (FORMAT BINARY)").format(**parts)) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
        cursor.execute(sql.SQL(take).format(**parts))
        return int(cursor.rowcount)


def _touch(host_id: uuid.UUID, times: set[datetime], vms: list[uuid.UUID]) -> None:
    """Have the windows of these times rolled up again.

    An update even where nothing changes: it waits for a roll-up that is just taking the row, which would not see
    the samples of this transaction.
    """
    windows = sorted({(window_start(level, at), level.step) for at in times for level in ROLLUPS})
    query = """
        INSERT INTO metrics_touchedwindow AS known (host_id, step, at, vms)
        SELECT %s, step, at, %s::uuid[] FROM unnest(%s::timestamptz[], %s::int[]) AS window_of(at, step)
        ON CONFLICT (at, step, host_id) DO UPDATE SET vms = CASE WHEN known.vms @> excluded.vms THEN known.vms
            ELSE ARRAY(SELECT DISTINCT one FROM unnest(known.vms || excluded.vms) AS one) END
    """
    with connection.cursor() as cursor:
        cursor.execute(query, [host_id, vms, [at for at, _step in windows], [step for _at, step in windows]])


def _remember(
    reporter: Reporter, batch: Batch, timely: dict[datetime, Sample], *, now: datetime, foreign: int, refused: int
) -> None:
    newest = max(timely, default=None)
    if newest is not None and (reporter.last_at is None or newest > reporter.last_at):
        reporter.last_at = newest
        reporter.energy_source = timely[newest].host.energy_source or ""
    reporter.agent = batch.agent
    reporter.boot_id = batch.boot_id
    reporter.machine_id = batch.machine_id
    reporter.received_at = now
    reporter.skew_seconds = now.timestamp() - batch.sent_at
    reporter.schedule_seen = batch.schedule
    reporter.foreign_guests += foreign
    reporter.refused_samples += refused
    reporter.save()
