"""Many creates at once on nearly full hosts, carried out by real workers."""

from typing import Any

import pytest
from django.db.models import F

from apps.hosts.models import Allocation, Host
from apps.operations.models import Operation, Status
from tests.waiting import wait_for

WANTED = 50
MEMORY = 512
CLAIMED = MEMORY + 64


@pytest.fixture
def room(empty_cloud: Any, add_host: Any) -> int:
    """Three hosts on which 12, 9 and 7 of the machines fit."""
    fits = {"h1": 12, "h2": 9, "h3": 7}
    for name, count in fits.items():
        host = add_host(name, cpus=64, memory_mib=16384, disk_gib=1000)
        host.refresh_from_db()
        host.memory_claimed_mib = host.memory_limit_mib - count * CLAIMED - CLAIMED // 2
        Allocation.objects.create(
            host=host,
            consumer_id=host.pk,
            label="tenant",
            kind="foreign",
            vcpus=0,
            memory_mib=host.memory_claimed_mib,
            disk_gib=0,
        )
        host.save()
    return sum(fits.values())


def create_all(cloud: Any, *, without: str = "") -> None:
    """50 machines wished for while there is room for each, then carried out as fast as workers can."""
    for number in range(WANTED):
        cloud.create(f"vm-{number}", memory_mib=MEMORY)
    cloud.worker(concurrency=6, without=without)


def ended() -> bool:
    return not Operation.objects.filter(kind="vm.create", status__in=[Status.QUEUED, Status.RUNNING]).exists()


def overcommitted() -> bool:
    return Host.objects.filter(memory_claimed_mib__gt=F("memory_limit_mib")).exists()


def test_no_host_is_overcommitted_and_nobody_is_refused_while_there_is_room(empty_cloud: Any, room: int) -> None:
    create_all(empty_cloud)
    wait_for(ended, seconds=120, what="50 creates to end")
    done = Operation.objects.filter(kind="vm.create")
    outcomes = [(item.status, item.error_code) for item in done]
    assert outcomes.count(("succeeded", "")) == room
    assert outcomes.count(("failed", "placement.no_host_fits")) == WANTED - room
    empty_cloud.assert_counters_are_sums()
    assert sum(len(empty_cloud.hypervisor(host).domains()) for host in empty_cloud.hosts) == room


def test_control_reading_before_writing_overcommits(empty_cloud: Any, room: int) -> None:
    create_all(empty_cloud, without="capacity")
    wait_for(overcommitted, seconds=120, what="a host with more on it than fits")
