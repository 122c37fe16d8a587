"""Workers that die, freeze and hear things twice; each with a control in which a protection is taken away."""

import signal
from pathlib import Path
from typing import Any

from apps.events.models import Event
from apps.operations.doorbell import ring
from apps.operations.models import Operation, Status
from hypervisor.fake import Fault
from tests.waiting import wait_for


def children(parent: int) -> list[int]:
    """Processes whose parent this is."""
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(number) for number in found.split()]


def is_stopped(pid: int) -> bool:
    """Whether a process is frozen (state T)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def freeze_one(cloud: Any, point: str, without: str) -> tuple[Any, Any, Any]:
    """A VM whose worker stopped at a point of its creation, as a whole group."""
    frozen = cloud.worker(without=without)
    vm, operation = cloud.create("frozen")
    cloud.fault(point, vm.pk, "stop")
    wait_for(lambda: any(is_stopped(pid) for pid in children(frozen.pid)), seconds=30, what="a frozen child")
    cloud.processes.kill(frozen, signal.SIGSTOP)
    return frozen, vm, operation


class TestDeath:
    def test_a_worker_killed_in_the_middle_of_a_call(self, cloud: Any) -> None:
        cloud.fake().inject(Fault(action="hang", method="ensure_defined", times=None, seconds=60))
        first = cloud.worker()
        vm, operation = cloud.create("survivor")
        wait_for(
            lambda: Operation.objects.get(pk=operation.pk).step == "Defining the machine",
            seconds=30,
            what="the call that hangs",
        )
        cloud.processes.kill(first, signal.SIGKILL)
        cloud.fake().clear_faults()
        cloud.worker()
        cloud.wait(operation)
        state = cloud.state_of(vm)
        assert [len(state[key]) for key in ("domains", "volumes", "allocations")] == [1, 2, 1]
        assert Operation.objects.get(pk=operation.pk).crashes == 1

    def test_control_names_that_do_not_derive_from_ids_leave_a_second_disk(self, cloud: Any) -> None:
        from workers.hosts import names

        cloud.worker(without="derived-names")
        vm, operation = cloud.create("twice")
        cloud.fault("vm.create.disk.c", vm.pk)
        cloud.wait(operation)
        disks = [volume for volume in cloud.hypervisor().volumes(names()) if volume.name.startswith("vol-")]
        assert len(disks) == 2


class TestFreeze:
    """A worker sleeps past its lease, its successor does the work, the VM is deleted; then the sleeper wakes."""

    def after_waking(self, cloud: Any, without: str) -> tuple[Any, Any, Any]:
        frozen, vm, operation = freeze_one(cloud, "vm.create.define.b", without)
        cloud.worker()
        cloud.wait(operation)
        assert len(cloud.state_of(vm)["domains"]) == 1
        cloud.wait(cloud.delete(vm))
        assert cloud.hypervisor().domains() == []
        row = Operation.objects.filter(pk=operation.pk).values().get()
        cloud.processes.kill(frozen, signal.SIGCONT)
        wait_for(lambda: "operation.fenced" in cloud.processes.logs(), seconds=30, what="the late one to notice")
        assert Operation.objects.filter(pk=operation.pk).values().get() == row
        return cloud, vm, operation

    def test_the_late_worker_neither_writes_nor_acts(self, cloud: Any) -> None:
        self.after_waking(cloud, "self-kill")
        assert cloud.hypervisor().domains() == []
        cloud.assert_counters_are_sums()

    def test_control_without_the_look_at_the_clock_it_defines_what_was_deleted(self, cloud: Any) -> None:
        self.after_waking(cloud, "self-kill,late-check")
        assert len(cloud.hypervisor().domains()) == 1

    def test_a_child_that_hangs_is_killed_before_its_lease_ends(self, cloud: Any) -> None:
        cloud.fake().inject(Fault(action="hang", method="ensure_defined", times=1, seconds=60))
        cloud.worker()
        _vm, operation = cloud.create("hanging")
        cloud.wait(operation)
        assert "Hard time limit" in cloud.processes.logs()
        assert Operation.objects.get(pk=operation.pk).crashes == 1


class TestTwice:
    def hear_often(self, cloud: Any, **more: Any) -> Operation:
        _vm, operation = cloud.create("once")
        for _ in range(20):
            ring(operation.pk)
        cloud.worker(concurrency=4, **more)
        cloud.wait(operation)
        return Operation.objects.get(pk=operation.pk)

    def test_a_message_heard_often_is_done_once(self, cloud: Any) -> None:
        _vm, operation = cloud.create("first")  # sends the image
        cloud.worker(concurrency=4)
        cloud.wait(operation)
        done = self.hear_often(cloud)
        assert done.attempts == 1
        assert Event.objects.filter(operation_id=done.pk, message="vm.create succeeded").count() == 1

    def test_control_without_the_claim_it_is_done_often(self, cloud: Any) -> None:
        assert self.hear_often(cloud, without="claim").attempts > 1


class TestRedis:
    def test_a_flush_loses_nothing(self, cloud: Any, flush_redis: Any) -> None:
        operations = [cloud.create(f"vm-{number}")[1] for number in range(5)]
        flush_redis()
        cloud.worker()
        cloud.wait(*operations)

    def test_control_without_the_sweep_they_stay_queued(self, cloud: Any, flush_redis: Any) -> None:
        lost = cloud.create("lost")[1]
        flush_redis()
        cloud.worker(without="sweep")
        heard = cloud.create("heard")[1]

        def is_done() -> bool:
            for operation in Operation.objects.filter(status=Status.QUEUED).exclude(pk=lost.pk):
                ring(operation.pk)
            return Operation.objects.get(pk=heard.pk).status == Status.SUCCEEDED

        wait_for(is_done, seconds=60, every=0.5, what="the one whose bell is heard")
        assert Operation.objects.get(pk=lost.pk).status == Status.QUEUED
