"""Rescue, its end, another size and a clone: a real worker dies at every moment of every step.

``tests/workers/test_crash_points.py`` shows the same of the handlers, in one process and in seconds; here workers are
killed, and another one takes over when the lease of the dead one has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from apps.compute.models import VM
from apps.compute.services.clone import vm_clone
from apps.compute.services.rescue import vm_rescue, vm_unrescue
from apps.compute.services.resize import vm_resize
from apps.compute.services.vm import vm_power_off
from apps.operations.models import Operation
from tests.faults.conftest import Cloud
from tests.faults.test_crash_points import cells

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]
Wish = Callable[[VM], Any]
MOST_POINTS = 40
NEVER = {"vm.clone.copy.c"}
"""In this step a clone is put off until the copy, an operation of its own, has ended; then it begins anew."""


def machines(cloud: Cloud, count: int) -> list[VM]:
    made = [cloud.create(f"vm-{number}", max_vcpus=2, max_memory_mib=256) for number in range(count)]
    cloud.wait(*(operation for _vm, operation in made), seconds=300)
    return [vm for vm, _operation in made]


def state_of(cloud: Cloud, vm: VM) -> dict[str, Any]:
    """Rows, claims and host, which must tell the same story, without ids."""
    columns = ("vcpus", "memory_mib", "disk_gib", "rescue_image")
    return cloud.state_of(vm) | {"size": VM.objects.filter(pk=vm.pk).values_list(*columns).get()}


def carry_out(cloud: Cloud, kind: str, vms: list[VM], wish: Wish, *, target: Wish) -> list[tuple[VM, str]]:
    """The wish for each machine at once, each with a worker that dies at another point; whom it was about, and where.

    ``wish`` writes it and returns the operation, ``target`` says whose id its fault points carry.
    """
    points = [point for point in cells(kind, cloud.steps(kind)) if point not in NEVER]
    assert 4 <= len(points) <= len(vms), points
    operations = []
    for vm, point in zip(vms, points, strict=False):
        with transaction.atomic():  # nobody comes by before the fault is there
            operations.append(wish(vm))
            cloud.fault(point, target(vm).pk)
    cloud.wait(*operations, seconds=300)
    assert cloud.faults_left() == []
    print(f"{kind}: {len(points)} points")
    return list(zip(vms, points, strict=False))


def itself(vm: VM) -> VM:
    return vm


def crashed_once(kind: str) -> int:
    return Operation.objects.filter(kind=kind, crashes=1).count()


def rescue(cloud: Cloud) -> Wish:
    return lambda vm: vm_rescue(actor=cloud.admin, vm_id=vm.pk).operation


def unrescue(cloud: Cloud) -> Wish:
    return lambda vm: vm_unrescue(actor=cloud.admin, vm_id=vm.pk).operation


def test_rescue_and_its_end(cloud: Cloud) -> None:
    cloud.worker(concurrency=3)
    reference, *vms = machines(cloud, MOST_POINTS)
    for kind, wish in (("vm.rescue", rescue(cloud)), ("vm.unrescue", unrescue(cloud))):
        cloud.wait(wish(reference))
        expected = state_of(cloud, reference)
        met = carry_out(cloud, kind, vms, wish, target=itself)
        assert {point: state_of(cloud, vm) for vm, point in met} == {point: expected for _vm, point in met}
        assert crashed_once(kind) == len(met)
        cloud.wait(*(wish(vm) for vm in vms[len(met) :]), seconds=300)
    cloud.assert_counters_are_sums()


def test_another_size(cloud: Cloud) -> None:
    def wish(vm: VM) -> Any:
        return vm_resize(actor=cloud.admin, vm_id=vm.pk, vcpus=2, memory_mib=256, disk_gib=3).operation

    cloud.worker(concurrency=3)
    reference, *vms = machines(cloud, MOST_POINTS)
    cloud.wait(wish(reference))
    expected = state_of(cloud, reference)
    met = carry_out(cloud, "vm.resize", vms, wish, target=itself)
    assert {point: state_of(cloud, vm) for vm, point in met} == {point: expected for _vm, point in met}
    assert crashed_once("vm.resize") == len(met)
    cloud.assert_counters_are_sums()


@pytest.mark.parametrize("kind", ["vm.clone", "vm.copy"])
def test_a_clone(cloud: Cloud, kind: str) -> None:
    def clone_of(vm: VM) -> VM:
        return VM.objects.get(name=f"copy-of-{vm.name}")

    def wish(vm: VM) -> Any:
        return vm_clone(actor=cloud.admin, vm_id=vm.pk, name=f"copy-of-{vm.name}").operation

    cloud.worker(concurrency=3)
    reference, *vms = machines(cloud, MOST_POINTS)
    cloud.wait(*(vm_power_off(actor=cloud.admin, vm_id=vm.pk).operation for vm in (reference, *vms)), seconds=300)
    cloud.wait(wish(reference))
    expected = state_of(cloud, clone_of(reference)), state_of(cloud, reference)
    met = carry_out(cloud, kind, vms, wish, target=clone_of if kind == "vm.clone" else itself)
    for vm, point in met:
        assert (state_of(cloud, clone_of(vm)), state_of(cloud, vm)) == expected, point
    assert crashed_once(kind) == len(met)
    cloud.assert_counters_are_sums()
