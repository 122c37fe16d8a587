"""Old decisions shrink to a row and then go; those about what is still there stay whole."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.hosts.capacity import Demand, capacity_release
from apps.placement import retention
from apps.placement.models import Placement
from apps.placement.retention import placements_roll_up
from apps.placement.selectors import placement_trace
from apps.placement.services import placement_claim, wish_of


@pytest.fixture
def decisions(make_host: Any, settings: Any) -> list[Placement]:
    """Of machines that are gone, 29, 31, 364 and 366 days ago; and of one that is there, long ago."""
    settings.TRACE_DAYS, settings.PLACEMENT_DAYS = 30, 365
    make_host("h1")
    for number, days in enumerate([29, 31, 364, 366, 3000]):
        machine = uuid.uuid4()
        wish = wish_of(chosen=None, demand=Demand(vcpus=1, memory_mib=64, disk_gib=1), architecture="x86_64")
        placement_claim(consumer_id=machine, consumer_name=f"vm-{number}", owner_id=None, wish=wish)
        made = timezone.now() - timedelta(days=days)
        Placement.objects.filter(consumer_id=machine).update(created_at=made)
        if days < 3000:
            capacity_release(consumer_id=machine)
    return list(Placement.objects.order_by("consumer_name"))


def left() -> list[tuple[str, bool]]:
    """Which decisions there are, and which still say why."""
    found = Placement.objects.order_by("consumer_name")
    return [(item.consumer_name, placement_trace(placement=item)[0] is not None) for item in found]


def test_traces_go_first_then_rows_and_what_is_there_stays(decisions: list[Placement]) -> None:
    assert placements_roll_up(now=timezone.now()) == (3, 1)
    assert left() == [("vm-0", True), ("vm-1", False), ("vm-2", False), ("vm-4", True)]
    kept = Placement.objects.get(consumer_name="vm-1")
    assert (kept.host_name, kept.policy, len(kept.snapshot_hash)) == ("h1", "balanced", 64)
    assert placements_roll_up(now=timezone.now()) == (0, 0)


def test_in_portions_it_is_the_same(decisions: list[Placement], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 1)
    assert placements_roll_up(now=timezone.now()) == (3, 1)


def test_nothing_goes_where_both_are_switched_off(decisions: list[Placement], settings: Any) -> None:
    settings.TRACE_DAYS = settings.PLACEMENT_DAYS = 0
    assert placements_roll_up(now=timezone.now()) == (0, 0)
    assert len(left()) == 5


def test_beat_rings_for_it() -> None:
    from cloudsite.celery import app
    from workers import tasks

    (entry,) = [entry for entry in app.conf.beat_schedule.values() if entry["task"] == "placement.roll_up"]
    assert entry["schedule"] == 3600.0
    assert tasks.placement_roll_up.name == "placement.roll_up"
