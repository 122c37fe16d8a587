"""Reserved room on hosts: taken by a create, or free again when its time is over."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.events.models import Event
from apps.hosts.models import Allocation, Host
from apps.placement.models import Placement, Reservation
from apps.placement.reservations import (
    MOST_EXPIRED,
    reservation_create,
    reservation_expire,
    reservation_release,
    reservations_expired,
)
from tests.parallel import in_parallel
from workers.sweep import expire_reservations


def reserved(admin: Any, name: str = "later") -> Placement:
    return reservation_create(actor=admin, name=name, vcpus=1, memory_mib=256, disk_gib=1)


def overdue() -> None:
    Reservation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def test_a_create_takes_it(workshop: Any) -> None:
    placed = reserved(workshop.admin)
    vm, operation = workshop.create(memory_mib=256, placement=placed.pk)
    Host.objects.update(memory_limit_mib=0)  # nothing more would fit
    assert workshop.carry_out(operation).status == "succeeded", operation.error_message
    vm.refresh_from_db()
    assert (vm.pk, vm.host_id, workshop.power(vm)) == (placed.consumer_id, placed.host_id, "running")
    assert (Placement.objects.count(), Allocation.objects.get().label) == (1, "web-1")
    assert workshop.carry_out(workshop.ask("delete", vm)).status == "succeeded"
    assert list(Host.objects.values_list("vcpus_claimed", "memory_claimed_mib", "disk_claimed_gib")) == [(0, 0, 0)]


def test_it_ends_when_its_time_is_over_and_not_before(workshop: Any) -> None:
    placed = reserved(workshop.admin)
    assert expire_reservations() == 0
    overdue()
    assert expire_reservations() == 1
    assert list(Host.objects.values_list("vcpus_claimed", "memory_claimed_mib", "disk_claimed_gib")) == [(0, 0, 0)]
    assert (Allocation.objects.count(), Reservation.objects.count(), Placement.objects.count()) == (0, 0, 1)
    event = Event.objects.get(kind="placement.release")
    assert (event.target_id, event.actor_label) == (placed.pk, "")
    assert expire_reservations() == 0


def test_what_became_a_vm_does_not_end(workshop: Any) -> None:
    workshop.create(memory_mib=256, placement=reserved(workshop.admin).pk)
    assert reservations_expired(now=timezone.now() + timedelta(days=9)) == []
    assert Allocation.objects.count() == 1


def test_a_flood_ends_in_portions(workshop: Any) -> None:
    assert MOST_EXPIRED == 100
    for number in range(3):
        reserved(workshop.admin, f"later-{number}")
    overdue()
    assert len(reservations_expired(now=timezone.now())) == 3


@pytest.mark.django_db(transaction=True)
def test_sweepers_and_people_at_once_give_it_back_once(admin: Any, make_host: Any) -> None:
    make_host("h1")
    placed = reserved(admin)
    overdue()
    now = timezone.now()

    def end(number: int) -> Any:
        if number % 2:
            return reservation_expire(placement_id=placed.pk, now=now)
        return reservation_release(actor=admin, placement_id=placed.pk)

    answers = in_parallel(end, range(8))
    assert sum(answer is True or isinstance(answer, Placement) for answer in answers) == 1, answers
    assert list(Host.objects.values_list("vcpus_claimed", "memory_claimed_mib", "disk_claimed_gib")) == [(0, 0, 0)]
