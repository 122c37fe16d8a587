"""Another size, claim by claim, on a fake host."""

from typing import Any

import pytest

from apps.compute.models import VM
from apps.hosts.models import Allocation, Host
from apps.operations.models import Operation
from apps.operations.services import operation_cancel, operation_retry
from hypervisor.fake import Fault
from workers.compute import resize as handler
from workers.compute.domain import GIB, root_volume_id
from workers.hosts import names


def ask(shop: Any, vm: Any, **wanted: Any) -> Any:
    from apps.compute.services.resize import vm_resize

    return vm_resize(actor=shop.admin, vm_id=vm.pk, **wanted).operation


def roomy(shop: Any) -> Any:
    """One vCPU and 128 MiB, with room for three and 256."""
    vm, operation = shop.create(max_vcpus=3, max_memory_mib=256)
    assert shop.carry_out(operation).status == "succeeded"
    vm.refresh_from_db()
    return vm


def off(shop: Any, vm: Any) -> Any:
    shop.carry_out(shop.ask("power_off", vm))
    vm.refresh_from_db()
    return vm


def truth(shop: Any, vm: Any) -> dict[str, Any]:
    """The row, the claim, the definition, the running guest and the disk."""
    vm.refresh_from_db()
    seen = shop.hypervisor.domain(vm.pk)
    volume = shop.hypervisor.volume(names(), f"vol-{root_volume_id(vm)}.qcow2")
    claim = Allocation.objects.get(consumer_id=vm.pk)
    host = Host.objects.get(pk=shop.host.pk)
    assert (host.vcpus_claimed, host.memory_claimed_mib, host.disk_claimed_gib) == (
        claim.vcpus,
        claim.memory_mib,
        claim.disk_gib,
    )
    return {
        "row": (vm.vcpus, vm.memory_mib, vm.disk_gib, vm.most_vcpus, vm.most_memory_mib),
        "claim": (claim.vcpus, claim.memory_mib - 64, claim.disk_gib),
        "defined": (seen.vcpus, seen.memory_mib, seen.max_vcpus, seen.max_memory_mib),
        "live": (seen.live_vcpus, seen.live_memory_mib),
        "disk": volume.capacity_bytes // GIB,
    }


def whole(vcpus: int, memory: int, disk: int, *, most: tuple[int, int], live: bool) -> dict[str, Any]:
    """All agree."""
    return {
        "row": (vcpus, memory, disk, *most),
        "claim": (vcpus, most[1], disk),
        "defined": (vcpus, memory, *most),
        "live": (vcpus, memory) if live else (None, None),
        "disk": disk,
    }


class TestOffline:
    def test_grows_and_shrinks_with_its_claim(self, workshop: Any) -> None:
        vm = off(workshop, workshop.running())
        assert workshop.carry_out(ask(workshop, vm, vcpus=4, memory_mib=512, disk_gib=3)).status == "succeeded"
        assert truth(workshop, vm) == whole(4, 512, 3, most=(4, 512), live=False)
        assert workshop.carry_out(ask(workshop, vm, vcpus=2, memory_mib=256)).status == "succeeded"
        assert truth(workshop, vm) == whole(2, 256, 3, most=(2, 256), live=False)
        workshop.carry_out(workshop.ask("start", vm))
        assert truth(workshop, vm) == whole(2, 256, 3, most=(2, 256), live=True)

    def test_a_size_of_the_catalogue_is_named_until_own_numbers_are_given(self, workshop: Any) -> None:
        vm = off(workshop, workshop.running())
        assert workshop.carry_out(ask(workshop, vm, size="s-1vcpu-512mb")).status == "succeeded"
        vm.refresh_from_db()
        assert vm.size_id == "s-1vcpu-512mb"
        assert workshop.carry_out(ask(workshop, vm, vcpus=2)).status == "succeeded"
        vm.refresh_from_db()
        assert vm.size_id is None

    def test_one_that_somebody_started_meanwhile_is_left_alone(self, workshop: Any) -> None:
        vm = off(workshop, workshop.running())
        operation = ask(workshop, vm, vcpus=4)
        workshop.fake.start_domain(vm.pk)
        failed = workshop.carry_out(operation)
        assert (failed.status, failed.error_code) == ("failed", "vm.resize_needs_stop")
        assert truth(workshop, vm) == whole(1, 128, 1, most=(1, 128), live=True)


class TestLive:
    def test_vcpus_memory_and_disk_within_the_maxima(self, workshop: Any) -> None:
        vm = roomy(workshop)
        assert truth(workshop, vm) == whole(1, 128, 1, most=(3, 256), live=True)
        assert workshop.carry_out(ask(workshop, vm, vcpus=3, memory_mib=256, disk_gib=2)).status == "succeeded"
        assert truth(workshop, vm) == whole(3, 256, 2, most=(3, 256), live=True)
        assert workshop.carry_out(ask(workshop, vm, memory_mib=128)).status == "succeeded"
        assert truth(workshop, vm) == whole(3, 128, 2, most=(3, 256), live=True)

    def test_memory_that_a_plain_one_gives_back_stays_claimed(self, workshop: Any) -> None:
        vm = workshop.running()
        assert workshop.carry_out(ask(workshop, vm, memory_mib=64)).status == "succeeded"
        assert truth(workshop, vm) == whole(1, 64, 1, most=(1, 128), live=True)

    def test_a_guest_without_a_balloon_driver(self, workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        vm = roomy(workshop)
        workshop.fake.configure(balloons=False)
        operation = ask(workshop, vm, vcpus=2, memory_mib=256, disk_gib=2)
        assert "memory" in workshop.claim_once(operation).step
        monkeypatch.setattr(handler, "BALLOON_SECONDS", 0.0)
        failed = workshop.claim_once(operation)
        assert (failed.status, failed.error_code) == ("failed", "vm.memory_not_taken")
        expected = whole(1, 128, 2, most=(3, 256), live=True)  # the disk grew, the rest was taken back
        assert truth(workshop, vm) == expected


FAULTS = [
    ("ensure_defined", "before"),
    ("ensure_defined", "after"),
    ("set_live_size", "before"),
    ("set_live_size", "after"),
    ("domain", "after"),
]


class TestFailing:
    @pytest.mark.parametrize(("method", "moment"), FAULTS)
    def test_a_no_of_the_host_gives_the_claim_back(self, workshop: Any, method: str, moment: str) -> None:
        vm = roomy(workshop)
        workshop.fake.inject(Fault(action="reject", method=method, moment=moment))
        failed = workshop.carry_out(ask(workshop, vm, vcpus=2, memory_mib=256))
        assert (failed.status, failed.retryable) == ("failed", True)
        assert truth(workshop, vm) == whole(1, 128, 1, most=(3, 256), live=True)
        operation_retry(actor=workshop.admin, operation_id=failed.pk)
        assert workshop.carry_out(failed).status == "succeeded"
        assert truth(workshop, vm) == whole(2, 256, 1, most=(3, 256), live=True)

    @pytest.mark.parametrize("method", ["grow_disk", "ensure_defined", "set_live_size", "domain"])
    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_a_host_that_does_not_answer_in_between(self, workshop: Any, method: str, moment: str) -> None:
        vm = roomy(workshop)
        operation = ask(workshop, vm, vcpus=2, memory_mib=256, disk_gib=2)
        workshop.fake.inject(Fault(action="unreachable", method=method, moment=moment))
        assert workshop.claim_once(operation).status == "queued"
        Host.objects.update(status="up", retry_at=None)
        assert workshop.carry_out(operation).status == "succeeded"
        assert truth(workshop, vm) == whole(2, 256, 2, most=(3, 256), live=True)

    def test_what_is_not_known_keeps_the_larger_claim_until_a_retry(self, workshop: Any) -> None:
        vm = roomy(workshop)
        operation = ask(workshop, vm, vcpus=2)
        workshop.fake.inject(Fault(action="unreachable", method="set_live_size", moment="after", times=None))
        workshop.claim_once(operation)
        Operation.objects.filter(pk=operation.pk).update(deadline="2020-01-01T00:00Z")
        workshop.fake.unplug()
        failed = workshop.claim_once(operation)
        assert (failed.status, failed.error_code) == ("failed", "operation.deadline")
        assert Allocation.objects.get(consumer_id=vm.pk).vcpus == 2
        workshop.fake.plug()
        workshop.fake.clear_faults()
        Host.objects.update(status="up", retry_at=None)
        operation_retry(actor=workshop.admin, operation_id=operation.pk)
        assert workshop.carry_out(operation).status == "succeeded"
        assert truth(workshop, vm) == whole(2, 128, 1, most=(3, 256), live=True)

    def test_a_host_that_was_away_from_the_start_holds_nothing(self, workshop: Any) -> None:
        vm = roomy(workshop)
        operation = ask(workshop, vm, vcpus=2)
        workshop.fake.unplug()
        Operation.objects.filter(pk=operation.pk).update(deadline="2020-01-01T00:00Z")
        assert workshop.claim_once(operation).status == "failed"
        workshop.fake.plug()
        assert truth(workshop, vm) == whole(1, 128, 1, most=(3, 256), live=True)

    def test_cancelling_takes_back_what_was_begun(self, workshop: Any) -> None:
        vm = roomy(workshop)
        workshop.fake.configure(balloons=False)
        operation = ask(workshop, vm, memory_mib=256)
        assert workshop.claim_once(operation).status == "queued"
        operation_cancel(actor=workshop.admin, operation_id=operation.pk)
        assert workshop.claim_once(operation).status == "cancelled"
        assert truth(workshop, vm) == whole(1, 128, 1, most=(3, 256), live=True)

    def test_room_that_others_took_meanwhile(self, workshop: Any) -> None:
        vm = roomy(workshop)
        operation = ask(workshop, vm, vcpus=3)
        Host.objects.update(vcpus_limit=2)
        failed = workshop.carry_out(operation)
        assert (failed.status, failed.error_code, failed.retryable) == ("failed", "vm.no_room", True)
        assert truth(workshop, vm) == whole(1, 128, 1, most=(3, 256), live=True)

    def test_a_machine_that_was_undefined(self, workshop: Any) -> None:
        vm = roomy(workshop)
        operation = ask(workshop, vm, vcpus=2)
        workshop.fake.remove_domain(vm.pk)
        assert workshop.carry_out(operation).error_code == "not-found-on-host"
        assert Allocation.objects.get(consumer_id=vm.pk).vcpus == 1
        assert VM.objects.get(pk=vm.pk).vcpus == 1
