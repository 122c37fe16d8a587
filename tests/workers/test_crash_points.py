"""Rescue, its end, another size and a clone: the handler dies at every moment of every step, and is run again.

In this process: at a fault point it is left as a killed worker leaves it, with its claim standing and whatever it did
there. That real workers die like this, and that their leases end, is shown in ``tests/faults``.
"""

from collections.abc import Callable
from typing import Any

import pytest
from django.db.models.functions import Now

from apps.compute.models import VM
from apps.compute.services.clone import vm_clone
from apps.compute.services.rescue import vm_rescue, vm_unrescue
from apps.compute.services.resize import vm_resize
from apps.hosts.models import Allocation, Host
from apps.network.models import Address
from apps.operations.models import ACTIVE, Operation
from apps.storage.models import Volume
from workers import engine
from workers.hosts import names


class Killed(BaseException):
    """Nothing in the handler catches this, as nothing catches ``SIGKILL``."""


class Reaper:
    """Stands at every fault point: notes it, and strikes once at each of those that it was told."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.deadly: set[str] = set()

    def __call__(self, point: str, _target_id: object) -> None:
        if point not in self.seen:
            self.seen.append(point)
        if point in self.deadly:
            self.deadly.remove(point)
            raise Killed(point)


@pytest.fixture
def reaper(monkeypatch: pytest.MonkeyPatch) -> Reaper:
    standing = Reaper()
    monkeypatch.setattr(engine, "fault_point", standing)
    return standing


def carry_out(workshop: Any, operation: Operation) -> Operation:
    """Until it has ended, with what it waits for. A dead worker's lease is over at once, and nobody counts the dead."""
    for _ in range(100):
        for each in (operation, *Operation.objects.filter(status__in=ACTIVE).exclude(pk=operation.pk)):
            try:
                workshop.claim_once(each)
            except Killed:
                Operation.objects.filter(status="running").update(lease_until=Now(), crashes=0)
                break
        operation.refresh_from_db()
        if operation.status not in ACTIVE:
            return operation
    raise AssertionError(f"{operation} did not end")


# --- the wishes
def running(workshop: Any) -> Any:
    vm, operation = workshop.create(max_vcpus=2, max_memory_mib=256)
    assert workshop.carry_out(operation).status == "succeeded"
    return vm


def off(workshop: Any) -> Any:
    vm = running(workshop)
    assert workshop.carry_out(workshop.ask("power_off", vm)).status == "succeeded"
    return vm


def rescue(workshop: Any, vm: Any) -> Operation:
    return vm_rescue(actor=workshop.admin, vm_id=vm.pk).operation


def unrescue(workshop: Any, vm: Any) -> Operation:
    return vm_unrescue(actor=workshop.admin, vm_id=vm.pk).operation


def resize(workshop: Any, vm: Any) -> Operation:
    return vm_resize(actor=workshop.admin, vm_id=vm.pk, vcpus=2, memory_mib=256, disk_gib=3).operation


def clone(workshop: Any, vm: Any) -> Operation:
    return vm_clone(actor=workshop.admin, vm_id=vm.pk, name="web-2").operation


# --- the truth
def truth(workshop: Any) -> dict[str, Any]:
    """Rows, claims and what is on the host, with the machines' own ids taken out."""
    ids = {str(pk): name for pk, name in VM.objects.values_list("pk", "name")}
    ids |= {str(pk): f"disk of {name}" for pk, name in Volume.objects.values_list("pk", "vm__name")}

    def plain(text: str) -> str:
        for own, name in ids.items():
            text = text.replace(own, name)
        return text.rsplit("/", 1)[-1]

    domains = {}
    for summary in workshop.hypervisor.domains():
        seen = workshop.hypervisor.domain(summary.uuid)
        size = (seen.vcpus, seen.memory_mib, seen.live_vcpus, seen.live_memory_mib)
        reserved = Address.objects.filter(consumer_id=summary.uuid).values_list("mac", flat=True)
        assert sorted(reserved) == sorted(seen.macs)
        disks = [plain(path) for path in seen.disk_paths]
        domains[ids.get(str(summary.uuid), "?")] = (seen.power.value, size, disks)
    host = Host.objects.get(pk=workshop.host.pk)
    claims = Allocation.objects.values_list("vcpus", "memory_mib", "disk_gib")
    assert (host.vcpus_claimed, host.memory_claimed_mib, host.disk_claimed_gib) == tuple(
        map(sum, zip(*claims, strict=True))
    )
    columns = ("name", "phase", "power", "desired_power", "rescue_image", "vcpus", "memory_mib", "disk_gib", "reason")
    return {
        "rows": list(VM.objects.order_by("name").values_list(*columns)),
        "domains": domains,
        "files": sorted((plain(file.name), file.capacity_bytes) for file in workshop.hypervisor.volumes(names())),
        "claims": sorted(claims),
        "volumes": sorted(Volume.objects.values_list("vm__name", "size_gib")),
        "addresses": Address.objects.count(),
    }


class Deaths:
    """The same wish twice: undisturbed, and with a worker that dies at each of its points, one after the other."""

    def __init__(self, workshop: Any, reaper: Reaper) -> None:
        self.workshop, self.reaper = workshop, reaper
        self.points: dict[str, list[str]] = {}
        self.expected: dict[str, dict[str, Any]] = {}

    def wish(self, verb: Callable[..., Operation], vm: Any, *kinds: str) -> None:
        name = verb.__name__
        self.reaper.seen.clear()
        self.reaper.deadly = set(self.points.get(name, ()))
        operation = verb(self.workshop, vm)
        assert carry_out(self.workshop, operation).status == "succeeded", operation.error_message
        assert self.reaper.deadly == set(), "nobody came by these"
        if name not in self.points:
            self.points[name] = [seen for seen in self.reaper.seen if seen.startswith(kinds)]
            self.expected[name] = truth(self.workshop)
            assert len(self.points[name]) >= 13
        assert truth(self.workshop) == self.expected[name]

    def delete_all(self) -> None:
        for vm in VM.objects.all():
            assert self.workshop.carry_out(self.workshop.ask("delete", vm)).status == "succeeded"
        assert self.workshop.volumes() == {f"img-{self.workshop.image.pk}.qcow2"}
        assert not Allocation.objects.exists()
        assert not Address.objects.exists()


@pytest.fixture
def deaths(workshop: Any, reaper: Reaper) -> Deaths:
    return Deaths(workshop, reaper)


def test_rescue_and_its_end(workshop: Any, deaths: Deaths) -> None:
    vm = running(workshop)
    for _ in range(2):
        deaths.wish(rescue, vm, "vm.rescue")
        deaths.wish(unrescue, vm, "vm.unrescue")
    deaths.delete_all()


def test_another_size(workshop: Any, deaths: Deaths) -> None:
    for _ in range(2):
        deaths.wish(resize, running(workshop), "vm.resize")
        deaths.delete_all()


def test_a_clone(workshop: Any, deaths: Deaths) -> None:
    for _ in range(2):
        deaths.wish(clone, off(workshop), "vm.clone", "vm.copy")
        deaths.delete_all()
