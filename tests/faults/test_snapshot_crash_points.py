"""A worker dies at every moment of every step of a snapshot: there is the snapshot or nothing, never a third thing."""

from typing import Any

from apps.compute.models import VM, Snapshot
from apps.operations.models import Operation
from tests.faults.test_crash_points import cells


def wish(cloud: Any, verb: str, **arguments: Any) -> Any:
    from apps.compute.services import snapshot as services

    return getattr(services, f"snapshot_{verb}")(actor=cloud.admin, **arguments).operation


def state_of(cloud: Any, vm: Any) -> dict[str, Any]:
    """Rows and host, which must tell the same story, without their own ids."""
    rows = {row.host_name: (row.current, row.phase) for row in Snapshot.objects.filter(vm=vm)}
    states = cloud.hypervisor().snapshots([vm.pk])[vm.pk]
    assert {state.name: (state.current, "ready") for state in states} == rows
    domain = cloud.hypervisor().domain(vm.pk)
    vm = VM.objects.get(pk=vm.pk)
    assert domain.fence <= vm.fence
    return {
        "snapshots": len(rows),
        "power": (domain.power.value, vm.power, vm.desired_power),
        "size": (domain.vcpus, vm.vcpus, vm.memory_mib, vm.disk_gib),
    }


def carry_out(cloud: Any, kind: str, vms: list[Any], wishes: list[Any]) -> None:
    """All operations of one kind at once, each with a worker that dies at another point."""
    points = cells(kind, cloud.steps(kind))
    assert len(points) >= 7
    assert len(points) <= len(vms)
    for vm, point in zip(vms, points, strict=False):
        cloud.fault(point, vm.pk)
    operations = [make() for make in wishes]
    cloud.wait(*operations)
    assert cloud.faults_left() == []
    crashed = Operation.objects.filter(pk__in=[operation.pk for operation in operations], crashes=1)
    assert crashed.count() == len(points)


def test_create_revert_and_delete_survive_a_worker_that_dies_anywhere(cloud: Any) -> None:
    cloud.worker(concurrency=3)
    made = [cloud.create(f"vm-{number}") for number in range(11)]
    cloud.wait(*(operation for _vm, operation in made))
    reference, *vms = [vm for vm, _operation in made]
    expected = []
    cloud.wait(wish(cloud, "create", vm_id=reference.pk, name="before"))
    expected.append(state_of(cloud, reference))
    cloud.wait(wish(cloud, "revert", snapshot_id=reference.snapshots.get().pk))
    expected.append(state_of(cloud, reference))
    cloud.wait(wish(cloud, "delete", snapshot_id=reference.snapshots.get().pk))
    expected.append(state_of(cloud, reference))
    assert [state["snapshots"] for state in expected] == [1, 1, 0]

    creates = [lambda vm=vm: wish(cloud, "create", vm_id=vm.pk, name="before") for vm in vms]
    carry_out(cloud, "snapshot.create", vms, creates)
    assert [state_of(cloud, vm) for vm in vms] == [expected[0]] * len(vms)
    for kind, verb, wanted in (
        ("snapshot.revert", "revert", expected[1]),
        ("snapshot.delete", "delete", expected[2]),
    ):
        wishes = [lambda vm=vm, verb=verb: wish(cloud, verb, snapshot_id=vm.snapshots.get().pk) for vm in vms]
        carry_out(cloud, kind, vms, wishes)
        assert [state_of(cloud, vm) for vm in vms] == [wanted] * len(vms)
    cloud.assert_counters_are_sums()


def test_the_oldest_of_a_schedule_goes_once_wherever_a_worker_dies(cloud: Any) -> None:
    """Only the steps that a scheduled snapshot has beyond one made by hand."""
    from apps.compute.services.schedule import schedule_create
    from apps.events.models import Event

    points = [f"snapshot.create.{step}.{moment}" for step in ("thin", "forget") for moment in ("a", "b", "c")]
    cloud.worker(concurrency=3)
    made = [cloud.create(f"vm-{number}") for number in range(len(points))]
    cloud.wait(*(operation for _vm, operation in made))
    vms = [vm for vm, _operation in made]
    nightly = {"action": "snapshot", "keep": 1, "weekdays": ["mon"], "time": "02:00"}
    schedules = {vm.pk: schedule_create(actor=cloud.admin, vm_id=vm.pk, **nightly) for vm in vms}

    def take(name: str) -> list[Any]:
        return [wish(cloud, "create", vm_id=vm.pk, name=name, schedule=schedules[vm.pk]) for vm in vms]

    cloud.wait(*take("auto-1"))
    for vm, point in zip(vms, points, strict=True):
        cloud.fault(point, vm.pk)
    cloud.wait(*take("auto-2"))
    assert cloud.faults_left() == []
    for vm in vms:
        assert state_of(cloud, vm)["snapshots"] == 1
        assert vm.snapshots.get().name == "auto-2"
        told = Event.objects.filter(target_id=vm.pk, kind__in=["snapshot.surplus", "snapshot.gone"])
        assert told.count() == 1
