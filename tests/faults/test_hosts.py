"""Hosts that hang, stop answering, or whose calls are the last thing a worker did."""

from typing import Any

from django.db import transaction

from apps.operations.models import Operation
from apps.storage.models import Image, ImageCopy
from hypervisor.fake import Fault
from tests.waiting import wait_for
from workers.heartbeat import beat

CREATE_CALLS = ("volume", "ensure_volume", "upload", "ensure_defined", "ensure_running", "domain")
DELETE_CALLS = ("power_off", "undefine", "remove_volume")


def kill_around(cloud: Any, calls: tuple[str, ...]) -> int:
    """The first worker at each of these calls dies just before it, another one just after the host has done it."""
    for method in calls:
        for moment in ("before", "after"):
            cloud.fake().inject(Fault(action="kill", method=method, moment=moment))
    return 2 * len(calls)


def test_workers_that_die_around_every_call_leave_one_of_each_and_then_nothing(cloud: Any) -> None:
    cloud.worker(concurrency=3)
    reference, operation = cloud.create("reference")
    cloud.wait(operation)
    expected = cloud.state_of(reference)

    deaths = kill_around(cloud, CREATE_CALLS)
    created = [cloud.create(f"vm-{number}") for number in range(deaths)]
    cloud.wait(*(operation for _vm, operation in created))
    assert sum(Operation.objects.filter(kind="vm.create").values_list("crashes", flat=True)) == deaths
    for vm, _operation in created:
        assert cloud.state_of(vm) == expected
    cloud.assert_counters_are_sums()

    deaths = kill_around(cloud, DELETE_CALLS)
    cloud.wait(*(cloud.delete(vm) for vm, _operation in [*created, (reference, None)]))
    assert sum(Operation.objects.filter(kind="vm.delete").values_list("crashes", flat=True)) == deaths
    assert cloud.hypervisor().domains() == []
    for vm, _operation in created:
        gone = cloud.state_of(vm)
        assert not any(gone[key] for key in ("row", "domains", "volumes", "addresses", "allocations", "volume_rows"))
    cloud.assert_counters_are_sums()


def create_beside_a_hanging_host(cloud: Any, add_host: Any, slots: int) -> list[str]:
    """Eight machines wished for on a host that hangs, then two on another. The states of those two."""
    beat("beat")  # where it is silent the sweepers ring reconciles, and one of these would hang beside the creates
    hanging = add_host("hanging", cpus=64, memory_mib=131072, disk_gib=1000)
    # thought to have the image, so that every create calls the host instead of waiting for one sending
    ImageCopy.objects.create(image=Image.objects.get(), host=hanging, ready=True)
    cloud.fake(hanging).inject(Fault(action="hang", method="*", times=None, seconds=60))
    for number in range(8):
        cloud.create(f"hangs-{number}", host="hanging")
    fine = [cloud.create(f"fine-{number}", host="h1")[1] for number in range(2)]
    cloud.worker(concurrency=4, without="self-kill", CLOUDSITE_HOST_CALLS=str(slots))

    def taken() -> int:
        return Operation.objects.filter(host_id=hanging.pk, status="running").count()

    wait_for(lambda: taken() >= min(slots, 4), seconds=30, what="workers that hang")
    done = [str(Operation.objects.get(pk=operation.pk).status) for operation in fine]
    if slots < 4:
        cloud.wait(*fine, seconds=30)
        assert taken() == slots
        done = ["succeeded"] * 2
    return done


def test_a_host_that_hangs_costs_its_own_operations_only(cloud: Any, add_host: Any) -> None:
    assert create_beside_a_hanging_host(cloud, add_host, slots=2) == ["succeeded", "succeeded"]


def test_control_without_slots_it_takes_every_worker(cloud: Any, add_host: Any) -> None:
    assert "succeeded" not in create_beside_a_hanging_host(cloud, add_host, slots=32)


def test_what_waits_for_a_host_goes_on_when_it_is_back(cloud: Any) -> None:
    from apps.hosts.models import Host
    from workers.reconcile import reconcile_host

    cloud.worker()
    cloud.wait(cloud.create("before")[1])
    with transaction.atomic():  # accepted while the host still answered
        operations = [cloud.create(f"waits-{number}")[1] for number in range(4)]
        cloud.fake().unplug()
    wait_for(lambda: Host.objects.get().status == "unreachable", seconds=30, what="the host to be missed")
    cloud.fake().plug()
    reconcile_host(cloud.hosts[0].pk)  # unless a worker is at it
    cloud.wait(*operations)
