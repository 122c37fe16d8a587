"""Batches become rows: once each, whatever comes twice, late or about somebody else's machine."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from apps.errors import Forbidden
from apps.metrics.models import Reporter
from apps.metrics.services import samples_store
from tests.metrics.reports import NOON, batch, body, sample


def test_a_batch_is_kept(host: Any, machines: list[uuid.UUID], kept: Any) -> None:
    first = sample(-5, cpu=0.25, cores=[0.5, 0.0], watts=12.5, memory_total=25e9, energy_source="rapl")
    guests = {machines[0]: {"cpu": 0.5, "memory": 2**28, "disk_read": 1024}, machines[1]: {}}
    stored = samples_store(host_id=host.pk, batch=batch(first, sample(0, cpu=0.75, guests=guests)), now=NOON)
    assert (stored.accepted, stored.duplicates, stored.refused) == (2, 0, [])
    assert stored.schedule == {"version": 0, "interval": 5, "guests": True, "cores": True}
    rows = kept("host", "raw", host.pk)
    assert [(row["at"], row["cpu"]) for row in rows] == [(NOON - timedelta(seconds=5), 0.25), (NOON, 0.75)]
    assert rows[0]["cores"] == [0.5, 0.0]
    assert rows[0]["memory_total"] == pytest.approx(25e9, rel=1e-6)
    assert rows[1]["watts"] is None
    (row,) = kept("vm", "raw", machines[0])
    assert (row["cpu"], row["disk_read"], row["net_receive"]) == (0.5, 1024, None)
    assert row["memory"] == pytest.approx(2**28, rel=1e-6)
    assert len(kept("vm", "raw", machines[1])) == 1
    reporter = Reporter.objects.get(host=host)
    assert (reporter.agent, reporter.last_at, reporter.energy_source) == ("0.1.0", NOON, "")


def test_what_comes_twice_is_there_once(host: Any, machines: list[uuid.UUID], kept: Any) -> None:
    samples = [sample(at, cpu=0.1, guests={machines[0]: {"cpu": 1.0}}) for at in (0, 5, 5)]
    assert samples_store(host_id=host.pk, batch=batch(*samples), now=NOON).accepted == 2
    again = samples_store(host_id=host.pk, batch=batch(*samples, sample(10, cpu=0.9)), now=NOON)
    assert (again.accepted, again.duplicates) == (1, 3)
    assert len(kept("host", "raw", host.pk)) == 3
    assert len(kept("vm", "raw", machines[0])) == 2


def test_a_host_writes_about_its_own_machines_only(
    host: Any, make_host: Any, machines: list[uuid.UUID], kept: Any
) -> None:
    elsewhere = make_host("h2")
    guests = {machines[0]: {"cpu": 1.0}, uuid.uuid4(): {"cpu": 1.0}}
    assert samples_store(host_id=elsewhere.pk, batch=batch(sample(0, guests=guests)), now=NOON).accepted == 1
    assert kept("vm", "raw", machines[0]) == []
    assert Reporter.objects.get(host=elsewhere).foreign_guests == 2


def test_times_that_cannot_be_meant_are_refused_one_by_one(host: Any, kept: Any) -> None:
    old, ahead = -48 * 3600 - 1, 601
    stored = samples_store(host_id=host.pk, batch=batch(sample(old), sample(0), sample(ahead)), now=NOON)
    assert stored.accepted == 1
    assert [item["reason"] for item in stored.refused] == ["late", "clock"]
    edge = samples_store(host_id=host.pk, batch=batch(sample(old + 2), sample(ahead - 2)), now=NOON)
    assert edge.accepted == 2
    reporter = Reporter.objects.get(host=host)
    assert (reporter.refused_samples, reporter.last_at) == (2, NOON + timedelta(seconds=599))


def test_nothing_is_taken_that_is_dropped_soon(host: Any, settings: Any) -> None:
    settings.METRICS_RAW_HOURS = 2
    stored = samples_store(host_id=host.pk, batch=batch(sample(-7201), sample(-7199)), now=NOON)
    assert (stored.accepted, stored.refused[0]["reason"]) == (1, "late")


def test_an_unknown_host_is_refused(db: None) -> None:
    with pytest.raises(Forbidden):
        samples_store(host_id=uuid.uuid4(), batch=batch(sample(0)), now=NOON)


@pytest.mark.parametrize(
    "wrong",
    [
        body(sample(0), version=2),
        body(*[sample(0)] * 121),
        body(sample(0, cpu=-0.1)),
        body(sample(0, cpu=1e19)),
        body(sample(0, cpu="much")),
        body(sample(0, cpu=True)),
        body(sample(float("nan"))),
        body(sample(0, cpu=float("inf"))),
        body(sample(0, guests={"../../etc": {}})),
        body(sample(0), agent="a\nb"),
        body(sample(0), agent="x" * 65),
        body(sample(1e12)),
        {"samples": []},
        [],
    ],
)
def test_nonsense_is_refused_whole(wrong: Any) -> None:
    import json

    from apps.metrics.batch import Batch

    with pytest.raises(ValidationError):
        Batch.model_validate_json(json.dumps(wrong))


def test_an_agent_may_say_more_than_is_known(host: Any) -> None:
    assert (
        samples_store(host_id=host.pk, batch=batch({**sample(0, cpu=None, more=1), "new": {}}), now=NOON).accepted == 1
    )
