"""The crash-point matrix (``promises.md`` 5.2): a worker dies at every moment of every step, in real processes.

Every VM of a run has a fault point of its own, and all run at once, so a matrix costs about one lease.
"""

from typing import Any

from apps.operations.models import Operation

MOMENTS = "abc"


def cells(kind: str, steps: list[str]) -> list[str]:
    """Before the intent, after it, after the effect; and after the last one, before the outcome is written."""
    return [f"{kind}.{step}.{moment}" for step in steps for moment in MOMENTS] + [f"{kind}.end.a"]


def reference(cloud: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """How a VM looks after it was created, and after it was deleted, without a fault."""
    vm, operation = cloud.create("reference")
    cloud.wait(operation)
    created = cloud.state_of(vm)
    cloud.wait(cloud.delete(vm))
    return created, cloud.state_of(vm)


def test_create_and_delete_survive_a_worker_that_dies_anywhere(cloud: Any) -> None:
    cloud.worker(concurrency=3)
    created, deleted = reference(cloud)
    assert created["row"]["phase"] == "ready"
    assert (len(created["domains"]), len(created["volumes"]), len(created["allocations"])) == (1, 2, 1)
    assert deleted["row"] is None
    assert not any(deleted[key] for key in ("domains", "volumes", "addresses", "allocations", "volume_rows"))

    vms = []
    points = cells("vm.create", cloud.steps("vm.create"))
    assert len(points) > 15
    operations = []
    for number, point in enumerate(points):
        vm, operation = cloud.create(f"vm-{number}")
        cloud.fault(point, vm.pk)
        vms.append(vm)
        operations.append(operation)
    cloud.wait(*operations)
    assert cloud.faults_left() == []
    assert {str(Operation.objects.get(pk=item.pk).crashes) for item in operations} == {"1"}
    for vm, point in zip(vms, points, strict=True):
        assert cloud.state_of(vm) == created, point
    assert len(cloud.hypervisor().domains()) == len(vms)
    cloud.assert_counters_are_sums()

    points = cells("vm.delete", cloud.steps("vm.delete"))
    assert len(points) > 8
    operations = []
    for number, vm in enumerate(vms):
        if number < len(points):
            cloud.fault(points[number], vm.pk)
        operations.append(cloud.delete(vm))
    cloud.wait(*operations)
    assert cloud.faults_left() == []
    for number, vm in enumerate(vms):
        gone = cloud.state_of(vm)
        assert gone == deleted, points[number] if number < len(points) else "no fault"
    assert cloud.hypervisor().domains() == []
    cloud.assert_counters_are_sums()
