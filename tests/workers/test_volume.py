"""What operations on data volumes do, claim by claim, on a fake host."""

import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.compute.models import VolumeAttachment
from apps.compute.services import volume as services
from apps.compute.services import volume_attachment as attachments
from apps.errors import AppError, Conflict
from apps.hosts.models import Allocation, Host
from apps.operations.models import Operation
from apps.operations.services import operation_cancel, operation_retry
from apps.storage.models import Volume
from hypervisor.errors import StaleFence
from hypervisor.fake import Fault
from workers.compute import volume_attachment
from workers.compute.domain import data_disk, domain_metadata
from workers.hosts import names

GIB = 2**30


class Cellar:
    """Volumes of a workshop: wishes, and what the host has."""

    def __init__(self, workshop: Any) -> None:
        self.shop = workshop
        self.actor = workshop.admin

    def ask(self, name: str = "data", size_gib: int = 2, **more: Any) -> Any:
        return services.volume_create(actor=self.actor, name=name, size_gib=size_gib, **more)

    def made(self, name: str = "data", size_gib: int = 2) -> Volume:
        change = self.ask(name, size_gib)
        self.done(change.operation)
        return Volume.objects.get(pk=change.volume.pk)

    def done(self, operation: Any) -> Any:
        ended = self.shop.carry_out(operation)
        assert ended.status == "succeeded", ended.error_message
        return ended

    def attach(self, volume: Volume, vm: Any) -> Any:
        return attachments.volume_attach(actor=self.actor, volume_id=volume.pk, vm=str(vm.pk)).operation

    def detach(self, volume: Volume) -> Any:
        return attachments.volume_detach(actor=self.actor, volume_id=volume.pk).operation

    def resize(self, volume: Volume, size_gib: int) -> Any:
        return services.volume_resize(actor=self.actor, volume_id=volume.pk, size_gib=size_gib).operation

    def delete(self, volume: Volume) -> Any:
        return services.volume_delete(actor=self.actor, volume_id=volume.pk).operation

    def disk(self, volume: Volume, vm: Any) -> Any:
        """The disk of a domain that is this volume's file."""
        found = self.shop.hypervisor.disks(vm.pk)
        return next((disk for disk in found if disk.path.endswith(volume.volume_name)), None)

    def places(self, volume: Volume, vm: Any) -> tuple[bool, bool]:
        disk = self.disk(volume, vm)
        return (disk.defined, disk.live) if disk else (False, False)

    def state(self, volume: Volume) -> str | None:
        return VolumeAttachment.objects.filter(volume=volume).values_list("state", flat=True).first()

    def capacity(self, volume: Volume) -> int | None:
        seen = self.shop.hypervisor.volume(names(), volume.volume_name)
        return seen.capacity_bytes // GIB if seen else None

    def claimed(self, volume: Volume) -> int | None:
        return Allocation.objects.filter(consumer_id=volume.pk).values_list("disk_gib", flat=True).first()

    def assert_counters_are_sums(self) -> None:
        host = Host.objects.get(pk=self.shop.host.pk)
        assert host.disk_claimed_gib == sum(host.allocations.values_list("disk_gib", flat=True))
        assert host.memory_claimed_mib == sum(host.allocations.values_list("memory_mib", flat=True))


@pytest.fixture
def cellar(workshop: Any) -> Cellar:
    return Cellar(workshop)


class TestCreateAndDelete:
    def test_makes_a_file_and_claims_disk_alone(self, cellar: Cellar) -> None:
        volume = cellar.made()
        assert (volume.phase, volume.host, cellar.capacity(volume)) == ("ready", cellar.shop.host, 2)
        claim = Allocation.objects.get(consumer_id=volume.pk)
        assert (claim.kind, claim.vcpus, claim.memory_mib, claim.disk_gib) == ("volume", 0, 0, 2)
        cellar.assert_counters_are_sums()

    def test_run_twice_it_makes_one(self, cellar: Cellar) -> None:
        change = cellar.ask()
        cellar.done(change.operation)
        Operation.objects.filter(pk=change.operation.pk).update(status="queued")
        cellar.done(change.operation)
        assert Allocation.objects.count() == 1
        assert len(cellar.shop.volumes()) == 1

    def test_a_full_disk_is_told_and_a_retry_goes_on(self, cellar: Cellar) -> None:
        cellar.shop.fake.inject(Fault(action="out-of-space", method="ensure_volume"))
        change = cellar.ask()
        assert cellar.shop.carry_out(change.operation).error_code == "host-out-of-space"
        assert Volume.objects.get().phase == "error"
        operation_retry(actor=cellar.actor, operation_id=change.operation.pk)
        cellar.done(change.operation)
        assert Volume.objects.get().phase == "ready"

    def test_delete_leaves_nothing(self, cellar: Cellar) -> None:
        cellar.done(cellar.delete(cellar.made()))
        assert not Volume.objects.exists() and not Allocation.objects.exists()
        assert cellar.shop.volumes() == set()
        cellar.assert_counters_are_sums()

    def test_a_delete_that_the_host_refuses_stays_visible(self, cellar: Cellar) -> None:
        volume = cellar.made()
        cellar.shop.fake.inject(Fault(action="reject", method="remove_volume"))
        assert cellar.shop.carry_out(cellar.delete(volume)).status == "failed"
        volume.refresh_from_db()
        assert (volume.phase, cellar.claimed(volume)) == ("error", 2)
        cellar.done(cellar.delete(volume))
        assert not Volume.objects.exists()


class TestAttach:
    def test_a_running_guest_has_it_at_once_and_keeps_it(self, cellar: Cellar) -> None:
        vm, volume = cellar.shop.running(), cellar.made()
        cellar.done(cellar.attach(volume, vm))
        disk = cellar.disk(volume, vm)
        assert (disk.target, disk.serial, disk.defined, disk.live) == ("vdc", str(volume.pk), True, True)
        assert cellar.state(volume) == "attached"
        cellar.done(cellar.shop.ask("power_off", vm))
        cellar.shop.fake.remove_domain(vm.pk)
        cellar.done(cellar.shop.ask("start", vm))
        assert cellar.places(volume, vm) == (True, True)

    def test_one_that_is_off_gets_it_in_its_definition(self, cellar: Cellar) -> None:
        vm, volume = cellar.shop.running(), cellar.made()
        cellar.done(cellar.shop.ask("power_off", vm))
        cellar.done(cellar.attach(volume, vm))
        assert cellar.places(volume, vm) == (True, False)
        cellar.done(cellar.shop.ask("start", vm))
        assert cellar.places(volume, vm) == (True, True)
        cellar.done(cellar.detach(volume))
        assert cellar.places(volume, vm) == (False, False)

    def test_names_of_disks_are_free_again(self, cellar: Cellar) -> None:
        vm = cellar.shop.running()
        first, second, third = (cellar.made(f"data-{number}") for number in range(3))
        cellar.done(cellar.attach(first, vm))
        cellar.done(cellar.attach(second, vm))
        cellar.done(cellar.detach(first))
        cellar.done(cellar.attach(third, vm))
        assert [cellar.disk(volume, vm).target for volume in (third, second)] == ["vdc", "vdd"]

    def test_a_refusal_leaves_it_free(self, cellar: Cellar) -> None:
        vm, volume = cellar.shop.running(), cellar.made()
        cellar.shop.fake.inject(Fault(action="reject", method="attach_disk"))
        operation = cellar.attach(volume, vm)
        assert cellar.shop.carry_out(operation).error_code == "host-rejected"
        assert (cellar.state(volume), cellar.places(volume, vm)) == (None, (False, False))
        operation_retry(actor=cellar.actor, operation_id=operation.pk)
        cellar.done(operation)
        assert cellar.places(volume, vm) == (True, True)

    def test_a_retry_does_not_take_what_another_has(self, cellar: Cellar) -> None:
        vm, other, volume = cellar.shop.running(), cellar.shop.running("web-2"), cellar.made()
        cellar.shop.fake.inject(Fault(action="reject", method="attach_disk"))
        operation = cellar.attach(volume, vm)
        cellar.shop.carry_out(operation)
        cellar.done(cellar.attach(volume, other))
        operation_retry(actor=cellar.actor, operation_id=operation.pk)
        assert cellar.shop.carry_out(operation).error_code == "volume.attached"
        assert (cellar.places(volume, vm), cellar.places(volume, other)) == ((False, False), (True, True))

    def test_an_answer_that_was_lost_leaves_it_taken_until_the_host_is_read(self, cellar: Cellar) -> None:
        vm, volume = cellar.shop.running(), cellar.made()
        cellar.shop.fake.inject(Fault(action="unreachable", method="attach_disk", moment="after"))
        operation = cellar.attach(volume, vm)
        assert cellar.shop.claim_once(operation).status == "queued"
        operation_cancel(actor=cellar.actor, operation_id=operation.pk)
        assert cellar.shop.claim_once(operation).status == "cancelled"
        with pytest.raises(Conflict):
            cellar.delete(volume)
        Host.objects.update(status="up")
        cellar.done(cellar.detach(volume))
        assert (cellar.state(volume), cellar.places(volume, vm)) == (None, (False, False))

    def test_cancelled_before_anything_was_sent_it_is_free(self, cellar: Cellar) -> None:
        vm, volume = cellar.shop.running(), cellar.made()
        operation = cellar.attach(volume, vm)
        operation_cancel(actor=cellar.actor, operation_id=operation.pk)
        assert cellar.shop.claim_once(operation).status == "cancelled"
        assert cellar.state(volume) is None

    def test_deleting_the_machine_keeps_the_volume(self, cellar: Cellar) -> None:
        vm, volume = cellar.shop.running(), cellar.made()
        cellar.done(cellar.attach(volume, vm))
        cellar.done(cellar.shop.ask("delete", vm))
        assert (cellar.state(volume), cellar.capacity(volume)) == (None, 2)
        other = cellar.shop.running("web-2")
        cellar.done(cellar.attach(volume, other))


class TestDetach:
    def test_a_guest_that_does_not_let_go_keeps_it(self, cellar: Cellar, monkeypatch: pytest.MonkeyPatch) -> None:
        vm, volume = cellar.shop.running(), cellar.made()
        cellar.done(cellar.attach(volume, vm))
        cellar.shop.fake.configure(lets_go=False)
        operation = cellar.detach(volume)
        assert "Waiting for the guest to let go" in cellar.shop.claim_once(operation).step
        monkeypatch.setattr(volume_attachment, "LET_GO_SECONDS", 0.0)
        assert cellar.shop.claim_once(operation).error_code == "volume.held_by_guest"
        assert (cellar.state(volume), cellar.places(volume, vm)) == ("attached", (True, True))
        cellar.shop.fake.configure(lets_go=True)
        cellar.done(cellar.detach(volume))
        assert (cellar.state(volume), cellar.places(volume, vm)) == (None, (False, False))

    def test_of_a_machine_that_is_gone_from_its_host(self, cellar: Cellar) -> None:
        vm, volume = cellar.shop.running(), cellar.made()
        cellar.done(cellar.attach(volume, vm))
        cellar.shop.fake.remove_domain(vm.pk)
        cellar.done(cellar.detach(volume))
        assert cellar.state(volume) is None

    def test_who_comes_late_takes_nothing_off(self, cellar: Cellar) -> None:
        """A detach that slept through its lease finds a newer attach under the same disk name."""
        vm, old, new = cellar.shop.running(), cellar.made("old"), cellar.made("new")
        cellar.done(cellar.attach(old, vm))
        vm.refresh_from_db()
        late = (data_disk(VolumeAttachment.objects.get(volume=old)), domain_metadata(vm))
        cellar.done(cellar.detach(old))
        cellar.done(cellar.attach(new, vm))
        with pytest.raises(StaleFence):
            cellar.shop.hypervisor.detach_disk(vm.pk, *late)
        assert cellar.places(new, vm) == (True, True)


class TestGrow:
    @pytest.mark.parametrize("attached", ["no", "off", "running"])
    def test_grows_the_file_and_the_claim(self, cellar: Cellar, attached: str) -> None:
        volume = cellar.made()
        if attached != "no":
            vm = cellar.shop.running()
            cellar.done(cellar.attach(volume, vm))
            if attached == "off":
                cellar.done(cellar.shop.ask("power_off", vm))
        cellar.done(cellar.resize(volume, 5))
        volume.refresh_from_db()
        assert (volume.size_gib, cellar.capacity(volume), cellar.claimed(volume)) == (5, 5, 5)
        assert not volume.growing
        cellar.assert_counters_are_sums()

    def test_a_refusal_gives_the_difference_back(self, cellar: Cellar) -> None:
        volume = cellar.made()
        cellar.shop.fake.inject(Fault(action="out-of-space", method="ensure_volume"))
        assert cellar.shop.carry_out(cellar.resize(volume, 5)).error_code == "host-out-of-space"
        volume.refresh_from_db()
        assert (volume.size_gib, cellar.claimed(volume), volume.growing) == (2, 2, False)
        cellar.assert_counters_are_sums()

    def test_an_answer_that_was_lost_keeps_the_claim(self, cellar: Cellar) -> None:
        volume = cellar.made()
        cellar.shop.fake.inject(Fault(action="unreachable", method="ensure_volume", moment="after"))
        operation = cellar.resize(volume, 5)
        cellar.shop.claim_once(operation)
        operation_cancel(actor=cellar.actor, operation_id=operation.pk)
        assert cellar.shop.claim_once(operation).status == "cancelled"
        assert cellar.claimed(volume) == 5

    def test_room_that_was_taken_meanwhile_is_told(self, cellar: Cellar) -> None:
        volume = cellar.made()
        operation = cellar.resize(volume, 5)
        Host.objects.update(disk_limit_gib=4)
        assert cellar.shop.carry_out(operation).error_code == "placement.no_host_fits"
        assert (cellar.claimed(volume), cellar.capacity(volume)) == (2, 2)


class TestLimits:
    def test_of_a_volume_hold_live_and_in_the_definition(self, cellar: Cellar) -> None:
        vm, volume = cellar.shop.running(), cellar.made()
        cellar.done(cellar.attach(volume, vm))
        for iops, rate in ((100, 5), (0, 0)):
            change = services.volume_update(actor=cellar.actor, volume_id=volume.pk, iops=iops, bandwidth_mib_s=rate)
            cellar.done(change.operation)
            disk = cellar.disk(volume, vm)
            assert (disk.iops, disk.bytes_per_second) == (iops, rate * 2**20)

    def test_of_a_free_volume_come_with_it(self, cellar: Cellar) -> None:
        vm, volume = cellar.shop.running(), cellar.made()
        change = services.volume_update(actor=cellar.actor, volume_id=volume.pk, iops=70)
        assert change.operation is None
        cellar.done(cellar.attach(volume, vm))
        assert cellar.disk(volume, vm).iops == 70

    def test_of_the_root_disk_survive_a_new_definition(self, cellar: Cellar) -> None:
        vm = cellar.shop.running()
        cellar.done(services.vm_io_limits(actor=cellar.actor, vm_id=vm.pk, iops=40, bandwidth_mib_s=3).operation)
        root = cellar.shop.hypervisor.disks(vm.pk)[0]
        assert (root.target, root.iops, root.bytes_per_second, root.live) == ("vda", 40, 3 * 2**20, True)
        cellar.shop.fake.remove_domain(vm.pk)
        cellar.done(cellar.shop.ask("start", vm))
        assert cellar.shop.hypervisor.disks(vm.pk)[0].iops == 40


WISHES = ["attach-a", "attach-b", "detach", "grow", "start", "power_off", "delete-b"]


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    wishes=st.lists(
        st.tuples(st.sampled_from(WISHES), st.sampled_from(["", "reject", "unreachable"])), min_size=2, max_size=7
    )
)
def test_whatever_is_asked_records_and_host_agree(cellar: Cellar, wishes: list[tuple[str, str]]) -> None:
    """Any order of wishes, some refused by the host or lost on the way."""
    unique = uuid.uuid4().hex[:6]
    vms = {name: cellar.shop.running(f"{name}-{unique}") for name in "ab"}
    volume = cellar.made(f"data-{unique}", 1)
    for wish, fault in wishes:
        if fault:
            cellar.shop.fake.inject(Fault(action=fault))  # type: ignore[arg-type]  # one of the literals
        operation = _wish(cellar, volume, vms, wish)
        for _ in range(4):
            Host.objects.update(status="up", reason="")
            if operation is None or not cellar.shop.claim_once(operation).is_active:
                break
        cellar.shop.fake.clear_faults()
        Host.objects.update(status="up", reason="")
    volume.refresh_from_db()
    held = VolumeAttachment.objects.filter(volume=volume).first()
    having = {vm.pk for vm in vms.values() if cellar.disk(volume, vm)}
    assert having <= ({held.vm_id} if held else set())
    if held and held.state == "attached":
        assert having == {held.vm_id}
    if not volume.growing:
        assert cellar.capacity(volume) == volume.size_gib == cellar.claimed(volume)
    cellar.assert_counters_are_sums()


def _wish(cellar: Cellar, volume: Volume, vms: dict[str, Any], wish: str) -> Any:
    """The operation, or None where the wish itself is refused."""
    verb, _, which = wish.partition("-")
    try:
        if verb == "attach":
            return cellar.attach(volume, vms[which])
        if verb == "detach":
            return cellar.detach(volume)
        if verb == "grow":
            return cellar.resize(volume, Volume.objects.get(pk=volume.pk).size_gib + 1)
        return cellar.shop.ask(verb, vms[which or "a"])
    except AppError:
        return None
