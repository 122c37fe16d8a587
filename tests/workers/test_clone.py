"""Cloning, claim by claim, on a fake host."""

from typing import Any

import pytest

from apps.compute.models import VM
from apps.compute.services.clone import vm_clone
from apps.hosts.models import Allocation
from apps.network.models import Address
from apps.operations.models import Operation
from apps.operations.services import operation_cancel, operation_retry
from hypervisor.fake import Fault
from workers.compute.domain import root_volume_id, seed_name


def off(workshop: Any, name: str = "web-1") -> Any:
    vm = workshop.running(name)
    assert workshop.carry_out(workshop.ask("power_off", vm)).status == "succeeded"
    vm.refresh_from_db()
    return vm


def cloned(workshop: Any, origin: Any, name: str = "web-2") -> tuple[Any, Operation]:
    change = vm_clone(actor=workshop.admin, vm_id=origin.pk, name=name)
    return change.vm, change.operation


def disk_of(vm: Any) -> str:
    return f"vol-{root_volume_id(vm)}.qcow2"


def test_a_clone_runs_with_a_disk_a_seed_and_an_address_of_its_own(workshop: Any) -> None:
    origin = off(workshop)
    clone, operation = cloned(workshop, origin)
    assert workshop.carry_out(operation).status == "succeeded", operation.error_message
    clone.refresh_from_db()
    assert (clone.phase, clone.power, clone.host) == ("ready", "running", origin.host)
    assert workshop.power(origin) == "shutoff"
    assert {disk_of(origin), disk_of(clone), seed_name(origin), seed_name(clone)} <= workshop.volumes()
    seen = workshop.hypervisor.domain(clone.pk)
    assert seen.macs != workshop.hypervisor.domain(origin.pk).macs
    assert any(disk_of(clone) in path for path in seen.disk_paths)
    assert not any(disk_of(origin) in path for path in seen.disk_paths)
    assert Allocation.objects.count() == Address.objects.count() == 2
    assert Operation.objects.get(kind="vm.copy").status == "succeeded"


def test_the_origin_may_go_and_the_clone_stays(workshop: Any) -> None:
    origin = off(workshop)
    clone, operation = cloned(workshop, origin)
    workshop.carry_out(operation)
    assert workshop.carry_out(workshop.ask("delete", origin)).status == "succeeded"
    assert workshop.power(clone) == "running"
    assert disk_of(clone) in workshop.volumes()
    assert disk_of(origin) not in workshop.volumes()


def test_run_again_from_the_top_it_copies_nothing_twice(workshop: Any) -> None:
    origin = off(workshop)
    _clone, operation = cloned(workshop, origin)
    workshop.carry_out(operation)
    Operation.objects.filter(pk=operation.pk).update(status="queued", state={})
    assert workshop.carry_out(operation).status == "succeeded"
    assert Operation.objects.filter(kind="vm.copy").count() == 1


def test_an_origin_that_runs_is_not_copied(workshop: Any) -> None:
    origin = off(workshop)
    clone, operation = cloned(workshop, origin)
    workshop.fake.start_domain(origin.pk)
    assert workshop.carry_out(operation).error_code == "clone.not_copied"
    clone.refresh_from_db()
    assert (clone.phase, disk_of(clone) in workshop.volumes()) == ("error", False)


def test_a_refused_copy_fails_it_with_the_reason_and_a_retry_copies_again(workshop: Any) -> None:
    origin = off(workshop)
    clone, operation = cloned(workshop, origin)
    workshop.fake.inject(Fault(action="out-of-space", method="copy_volume"))
    failed = workshop.carry_out(operation)
    assert (failed.status, failed.error_code, failed.retryable) == ("failed", "clone.not_copied", True)
    assert "injected" in VM.objects.get(pk=clone.pk).reason
    operation_retry(actor=workshop.admin, operation_id=operation.pk)
    assert workshop.carry_out(operation).status == "succeeded"
    assert VM.objects.get(pk=clone.pk).phase == "ready"


@pytest.mark.parametrize("which", ["clone", "copy"])
def test_a_cancelled_clone_leaves_no_disk(workshop: Any, which: str) -> None:
    origin = off(workshop)
    clone, operation = cloned(workshop, origin)
    copy = Operation.objects.get(kind="vm.copy")
    workshop.claim_once(operation)
    workshop.claim_once(copy)
    assert disk_of(clone) in workshop.volumes()
    operation_cancel(actor=workshop.admin, operation_id=(operation if which == "clone" else copy).pk)
    assert workshop.carry_out(copy).status == "cancelled"
    assert workshop.carry_out(operation).status in ("cancelled", "failed")
    assert disk_of(clone) not in workshop.volumes()
    assert workshop.carry_out(workshop.ask("start", origin)).status == "succeeded"
    assert workshop.carry_out(workshop.ask("delete", clone)).status == "succeeded"
    assert Allocation.objects.count() == 1


@pytest.mark.parametrize("gone", ["origin", "clone"])
def test_deleting_either_in_the_middle_leaves_nothing_of_it(workshop: Any, gone: str) -> None:
    origin = off(workshop)
    clone, operation = cloned(workshop, origin)
    copy = Operation.objects.get(kind="vm.copy")
    workshop.claim_once(operation)
    workshop.claim_once(copy)
    victim = origin if gone == "origin" else clone
    assert workshop.carry_out(workshop.ask("delete", victim)).status == "succeeded"
    for left in Operation.objects.filter(status__in=["queued", "running"]):
        workshop.carry_out(left)
    assert disk_of(clone) not in workshop.volumes()
    assert (disk_of(origin) in workshop.volumes()) is (gone == "clone")
