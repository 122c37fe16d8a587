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


def test_the_trash_survives_a_worker_that_dies_anywhere(cloud: Any, settings: Any) -> None:
    from apps.compute.models import VM
    from apps.compute.services.trash import vm_restore

    settings.TRASH_HOURS = 1
    cloud.worker(concurrency=3)
    sample, operation = cloud.create("reference")
    cloud.wait(operation)
    cloud.wait(cloud.delete(sample))
    expected = cloud.state_of(sample)
    assert (expected["row"]["phase"], expected["row"]["power"], expected["domains"][0][0]) == (
        "trashed",
        "shutoff",
        "shutoff",
    )
    assert (len(expected["volumes"]), expected["addresses"], len(expected["allocations"])) == (2, 1, 1)

    points = cells("vm.trash", cloud.steps("vm.trash"))
    assert len(points) > 6
    created = [cloud.create(f"vm-{number}") for number in range(len(points))]
    cloud.wait(*(operation for _vm, operation in created))
    operations = []
    for (vm, _operation), point in zip(created, points, strict=True):
        cloud.fault(point, vm.pk)
        operations.append(cloud.delete(vm))
    cloud.wait(*operations)
    assert cloud.faults_left() == []
    for (vm, _operation), point in zip(created, points, strict=True):
        assert cloud.state_of(vm) == expected, point
        vm_restore(actor=cloud.admin, vm_id=vm.pk)
    assert VM.objects.filter(phase="ready", power="shutoff").count() == len(points)
    cloud.assert_counters_are_sums()


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
