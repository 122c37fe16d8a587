"""What operations on virtual machines do, claim by claim, on a fake host."""

import uuid
from typing import Any

import pytest

from apps.compute.models import VM
from apps.hosts.models import Allocation, HostStatus
from apps.network.models import Address
from apps.operations.claims import operation_claim
from apps.operations.models import Operation
from hypervisor.errors import Rejected
from hypervisor.fake import FakeHypervisor, Fault
from workers import engine
from workers.compute import domain
from workers.compute.domain import domain_spec, root_volume_id, seed_name
from workers.observations import now


class TestNames:
    """Everything on a host is called after ids, so that a second run finds the first one's leftovers."""

    def test_derive_from_the_machines_id_alone(self) -> None:
        vm = VM(id=uuid.UUID("11111111-2222-4333-8444-555555555555"), name="a", created_name="a")
        same = VM(id=vm.id, name="renamed", created_name="a")
        assert root_volume_id(vm) == root_volume_id(same) == uuid.uuid5(vm.id, "root")
        assert seed_name(vm) == seed_name(same)
        assert vm.libvirt_name == same.libvirt_name == "a-55555555"

    def test_no_text_of_a_person_becomes_a_path(self) -> None:
        vm = VM(id=uuid.uuid4(), name="../../etc", created_name="../../etc")
        assert str(vm.id) in seed_name(vm)
        assert "etc" not in seed_name(vm) + str(root_volume_id(vm))


class TestDomainSpec:
    def test_says_what_the_record_says(self, workshop: Any) -> None:
        vm = workshop.running()
        spec = domain_spec(vm, workshop.host, vm.nics.get())
        assert (spec.uuid, spec.name, spec.title) == (vm.pk, vm.libvirt_name, "web-1")
        assert (spec.vcpus, spec.memory_mib, spec.accelerator) == (1, 128, "tcg")
        assert (spec.metadata.fence, spec.metadata.owner) == (vm.fence, "admin")
        root, seed = spec.disks
        assert root.volume == f"vol-{root_volume_id(vm)}.qcow2"
        assert root.backing is not None
        assert root.backing.volume == f"img-{vm.image_id}.qcow2"
        assert seed.volume == seed_name(vm)
        assert [nic.mac for nic in spec.nics] == [Address.objects.get(consumer_id=vm.pk).mac]

    def test_a_rename_changes_the_title_alone(self, workshop: Any) -> None:
        from apps.compute.services.vm import vm_rename

        vm = workshop.running()
        before = domain_spec(vm, workshop.host, vm.nics.get())
        vm_rename(actor=workshop.admin, vm_id=vm.pk, name="other")
        vm.refresh_from_db()
        after = domain_spec(vm, workshop.host, vm.nics.get())
        assert (after.title, after.name, after.disks) == ("other", before.name, before.disks)

    def test_an_image_without_cloud_init_gets_no_seed(self, workshop: Any) -> None:
        workshop.image.cloud_init = False
        workshop.image.save()
        vm = workshop.running()
        assert len(domain_spec(vm, workshop.host, vm.nics.get()).disks) == 1
        assert seed_name(vm) not in workshop.volumes()


class TestCreate:
    def test_ends_running_with_one_of_each(self, workshop: Any) -> None:
        vm = workshop.running()
        assert (vm.phase, vm.power, workshop.power(vm)) == ("ready", "running", "running")
        assert workshop.volumes() == {
            f"img-{workshop.image.pk}.qcow2",
            f"vol-{root_volume_id(vm)}.qcow2",
            seed_name(vm),
        }
        assert Allocation.objects.get().consumer_id == vm.pk

    def test_run_again_from_the_top_it_makes_nothing_twice(self, workshop: Any) -> None:
        vm, operation = workshop.create()
        workshop.carry_out(operation)
        before = (workshop.volumes(), Address.objects.get().ip, workshop.hypervisor.domain(vm.pk).macs)
        Operation.objects.filter(pk=operation.pk).update(status="queued")
        assert workshop.carry_out(operation).status == "succeeded"
        assert (workshop.volumes(), Address.objects.get().ip, workshop.hypervisor.domain(vm.pk).macs) == before
        assert len(workshop.hypervisor.domains()) == Allocation.objects.count() == 1

    def test_waits_for_the_image_that_one_operation_sends(self, workshop: Any) -> None:
        operations = [workshop.create(f"vm-{number}")[1] for number in range(3)]
        for operation in operations:
            assert "Waiting for the image" in workshop.claim_once(operation).step
        assert Operation.objects.filter(kind="image.send").count() == 1

    def test_a_failed_sending_fails_it_and_a_retry_sends_again(self, workshop: Any) -> None:
        from apps.operations.services import operation_retry

        workshop.fake.inject(Fault(action="out-of-space", method="upload"))
        vm, operation = workshop.create()
        failed = workshop.carry_out(operation)
        assert (failed.status, failed.error_code) == ("failed", "image.not_sent")
        assert VM.objects.get(pk=vm.pk).phase == "error"
        operation_retry(actor=workshop.admin, operation_id=operation.pk)
        assert workshop.carry_out(operation).status == "succeeded"
        assert VM.objects.get(pk=vm.pk).phase == "ready"

    def test_a_second_failure_says_the_newer_reason(self, workshop: Any) -> None:
        from apps.operations.services import operation_retry

        vm, operation = workshop.create()
        for action in ("out-of-space", "out-of-memory"):
            workshop.fake.inject(Fault(action=action, method="ensure_defined"))
            assert workshop.carry_out(operation).status == "failed"
            assert VM.objects.get(pk=vm.pk).reason == "injected before ensure_defined"
            assert operation.error_code == f"host-{action}"
            VM.objects.filter(pk=vm.pk).update(reason="old")
            operation_retry(actor=workshop.admin, operation_id=operation.pk)

    def test_a_no_of_the_host_leaves_a_machine_that_can_be_deleted(self, workshop: Any) -> None:
        workshop.fake.inject(Fault(action="reject", method="ensure_running"))
        vm, operation = workshop.create()
        assert workshop.carry_out(operation).error_code == "host-rejected"
        assert workshop.carry_out(workshop.ask("delete", vm)).status == "succeeded"
        assert workshop.volumes() == {f"img-{workshop.image.pk}.qcow2"}
        assert not Allocation.objects.exists()

    def test_an_unreachable_host_is_waited_for_and_not_called_again(self, workshop: Any) -> None:
        from apps.hosts.services import host_status_set

        _vm, operation = workshop.create()
        workshop.carry_out(operation)
        workshop.fake.unplug()
        other = workshop.create("web-2")[1]
        assert "does not answer" in workshop.claim_once(other).step
        workshop.host.refresh_from_db()
        assert workshop.host.status == HostStatus.UNREACHABLE
        assert "not usable" in workshop.claim_once(other).step
        workshop.fake.plug()
        assert "not usable" in workshop.claim_once(other).step
        host_status_set(host_id=workshop.host.pk, status="up", reason="")
        assert workshop.carry_out(other).status == "succeeded"

    def test_an_accepted_wish_waits_for_the_only_host_with_room(self, workshop: Any) -> None:
        from workers.reconcile import reconcile_host

        _vm, operation = workshop.create()
        workshop.fake.unplug()
        assert not reconcile_host(workshop.host.pk)
        waiting = workshop.claim_once(operation)
        assert (waiting.status, "h1" in waiting.step) == ("queued", True)
        workshop.fake.plug()
        assert reconcile_host(workshop.host.pk)
        waiting.refresh_from_db()
        assert waiting.run_after <= now()
        assert workshop.carry_out(operation).status == "succeeded"

    @pytest.mark.parametrize(
        "change", [{"enabled": False}, {"memory_limit_mib": 100}, {"status": "key_changed"}], ids=str
    )
    def test_but_not_for_one_without_room_that_is_closed_or_not_trusted(
        self, workshop: Any, change: dict[str, Any]
    ) -> None:
        _vm, operation = workshop.create()
        type(workshop.host).objects.update(**{"status": "unreachable"} | change)
        assert workshop.claim_once(operation).error_code == "placement.no_host_fits"

    @pytest.mark.parametrize("status", ["pending_trust", "key_changed"])
    def test_a_host_that_is_not_trusted_stays_so(self, workshop: Any, status: str) -> None:
        vm = workshop.running()
        type(workshop.host).objects.update(status=status, reason="why")
        waiting = workshop.claim_once(workshop.ask("power_off", vm))
        assert (waiting.status, "why" in waiting.step) == ("queued", True)
        workshop.host.refresh_from_db()
        assert workshop.host.status == status

    def test_a_host_that_is_busy_with_others_is_waited_for(self, workshop: Any, settings: Any) -> None:
        settings.HOST_CALLS = 1
        workshop.running()
        vm, busy = workshop.create("busy")
        Operation.objects.filter(pk=busy.pk).update(host_id=workshop.host.pk)
        assert operation_claim(busy.pk) is not None
        other_vm, other = workshop.create("other")
        assert "turn" in workshop.claim_once(other).step
        assert Allocation.objects.filter(consumer_id=other_vm.pk).exists()
        assert workshop.claim_once(other).attempts == 1
        assert vm.pk != other_vm.pk

    def test_a_domain_with_a_higher_fence_is_left_alone(self, workshop: Any) -> None:
        vm, operation = workshop.create()
        workshop.carry_out(operation)
        newer = domain_spec(vm := VM.objects.get(pk=vm.pk), workshop.host, vm.nics.get())
        from dataclasses import replace

        metadata = replace(newer.metadata, fence=99)
        workshop.hypervisor.ensure_defined(replace(newer, metadata=metadata, memory_mib=256))
        Operation.objects.filter(pk=operation.pk).update(status="queued")
        assert workshop.claim_once(operation).status == "running"
        assert workshop.hypervisor.domain(vm.pk).memory_mib == 256


class TestCancel:
    def test_a_delete_stops_a_create_that_waits_and_takes_all_away(self, workshop: Any) -> None:
        vm, create = workshop.create()
        workshop.claim_once(create)
        delete = workshop.ask("delete", vm)
        assert workshop.claim_once(delete).status == "queued"
        assert workshop.claim_once(create).status == "cancelled"
        assert workshop.claim_once(delete).status == "succeeded"
        assert not VM.objects.exists()
        assert not Allocation.objects.exists()

    def test_a_delete_gives_the_lease_back_and_does_not_fail_by_it(
        self, workshop: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given: list[tuple[str, str]] = []

        def release(_host: Any, network: str, mac: str) -> None:
            given.append((network, mac))
            raise Rejected("nobody hears it")

        monkeypatch.setattr(FakeHypervisor, "release_lease", release)
        vm = workshop.running()
        nic = vm.nics.select_related("network").get()
        assert workshop.carry_out(workshop.ask("delete", vm)).status == "succeeded"
        assert given == [(nic.network.libvirt_name, nic.mac)]

    def test_a_cancelled_create_can_be_retried(self, workshop: Any) -> None:
        from apps.operations.services import operation_cancel, operation_retry

        vm, create = workshop.create()
        operation_cancel(actor=workshop.admin, operation_id=create.pk)
        assert workshop.claim_once(create).status == "cancelled"
        assert VM.objects.get(pk=vm.pk).phase == "error"
        operation_retry(actor=workshop.admin, operation_id=create.pk)
        assert workshop.carry_out(create).status == "succeeded"


class TestPower:
    def test_off_and_on(self, workshop: Any) -> None:
        vm = workshop.running()
        workshop.carry_out(workshop.ask("power_off", vm))
        vm.refresh_from_db()
        assert (workshop.power(vm), vm.power, vm.desired_power) == ("shutoff", "shutoff", "off")
        workshop.carry_out(workshop.ask("start", vm))
        vm.refresh_from_db()
        assert (workshop.power(vm), vm.power, vm.desired_power) == ("running", "running", "on")

    def test_start_defines_again_what_somebody_undefined(self, workshop: Any) -> None:
        vm = workshop.running()
        workshop.fake.remove_domain(vm.pk)
        VM.objects.filter(pk=vm.pk).update(missing=True, power="shutoff")
        assert workshop.carry_out(workshop.ask("start", vm)).status == "succeeded"
        vm.refresh_from_db()
        assert (workshop.power(vm), vm.missing) == ("running", False)

    def test_shutdown_of_a_guest_that_obeys(self, workshop: Any) -> None:
        vm = workshop.running()
        assert workshop.carry_out(workshop.ask("shutdown", vm)).status == "succeeded"
        assert workshop.power(vm) == "shutoff"

    @pytest.mark.parametrize(
        ("then", "status", "power"), [("leave", "failed", "running"), ("power-off", "succeeded", "shutoff")]
    )
    def test_shutdown_of_one_that_does_not(
        self, workshop: Any, monkeypatch: pytest.MonkeyPatch, then: str, status: str, power: str
    ) -> None:
        workshop.fake.configure(obeys_acpi=False)
        vm = workshop.running()
        operation = workshop.ask("shutdown", vm, timeout_s=30, on_timeout=then)
        assert "Waiting for the guest" in workshop.claim_once(operation).step
        assert workshop.claim_once(operation).status == "queued"
        state = Operation.objects.get(pk=operation.pk).state
        Operation.objects.filter(pk=operation.pk).update(state={"pressed_at": state["pressed_at"] - 31})
        assert workshop.claim_once(operation).status == status
        assert workshop.power(vm) == power
        assert VM.objects.get(pk=vm.pk).desired_power == ("on" if then == "leave" else "off")

    def test_shutdown_waits_longer_than_crashes_are_tolerated(self, workshop: Any) -> None:
        workshop.fake.configure(obeys_acpi=False)
        vm = workshop.running()
        operation = workshop.ask("shutdown", vm, timeout_s=600)
        for _ in range(engine.MOST_CRASHES + 5):
            assert workshop.claim_once(operation).status == "queued"

    def test_a_cancelled_shutdown_stops_waiting(self, workshop: Any) -> None:
        from apps.operations.services import operation_cancel

        workshop.fake.configure(obeys_acpi=False)
        vm = workshop.running()
        operation = workshop.ask("shutdown", vm, timeout_s=600)
        workshop.claim_once(operation)
        operation_cancel(actor=workshop.admin, operation_id=operation.pk)
        assert workshop.claim_once(operation).status == "cancelled"
        assert VM.objects.get(pk=vm.pk).desired_power == "on"

    @pytest.mark.parametrize("verb", ["reboot", "reset"])
    def test_a_button_is_pressed_at_most_once(self, workshop: Any, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
        vm = workshop.running()
        workshop.fake.inject(Fault(action="unreachable", method="press", moment="after"))
        operation = workshop.ask(verb, vm)
        workshop.claim_once(operation)
        type(workshop.host).objects.update(status="up")
        assert workshop.claim_once(operation).error_code == "vm.press_unknown"


class TestPause:
    def test_pause_resume_and_start_of_what_is_paused(self, workshop: Any) -> None:
        vm = workshop.running()
        for back in ("resume", "start"):
            assert workshop.carry_out(workshop.ask("pause", vm)).status == "succeeded"
            vm.refresh_from_db()
            assert (workshop.power(vm), vm.power, vm.desired_power) == ("paused", "paused", "on")
            assert workshop.carry_out(workshop.ask(back, vm)).status == "succeeded"
            vm.refresh_from_db()
            assert (workshop.power(vm), vm.power) == ("running", "running")

    def test_of_one_that_went_off_meanwhile_says_so(self, workshop: Any) -> None:
        vm = workshop.running()
        operation = workshop.ask("pause", vm)
        workshop.fake.stop_domain(vm.pk)
        failed = workshop.carry_out(operation)
        assert (failed.status, failed.error_code, failed.retryable) == ("failed", "host-rejected", True)


class TestDelete:
    def test_takes_everything_and_the_row(self, workshop: Any) -> None:
        vm, other = workshop.running("gone"), workshop.running("stays")
        assert workshop.carry_out(workshop.ask("delete", vm)).status == "succeeded"
        assert [domain.uuid for domain in workshop.hypervisor.domains()] == [other.pk]
        assert not any(str(root_volume_id(vm)) in name or str(vm.pk) in name for name in workshop.volumes())
        assert list(VM.objects.values_list("pk", flat=True)) == [other.pk]
        for model in (Allocation, Address):
            assert list(model.objects.values_list("consumer_id", flat=True)) == [other.pk]

    def test_tolerates_what_is_missing_already(self, workshop: Any) -> None:
        from workers.hosts import names

        vm = workshop.running()
        workshop.fake.remove_domain(vm.pk)
        workshop.hypervisor.remove_volume(names(), seed_name(vm))
        assert workshop.carry_out(workshop.ask("delete", vm)).status == "succeeded"
        assert not VM.objects.exists()

    def test_what_cannot_be_taken_away_stays_with_the_reason_and_the_rest_is_gone(self, workshop: Any) -> None:
        vm = workshop.running()
        workshop.fake.inject(Fault(action="reject", method="remove_volume"))
        failed = workshop.carry_out(workshop.ask("delete", vm))
        assert (failed.status, failed.retryable) == ("failed", True)
        vm.refresh_from_db()
        assert (vm.phase, vm.reason.startswith("Deleting failed")) == ("error", True)
        assert seed_name(vm) not in workshop.volumes()
        assert Allocation.objects.exists()
        assert workshop.carry_out(workshop.ask("delete", vm)).status == "succeeded"
        assert not Allocation.objects.exists()

    def test_one_that_never_got_a_host(self, workshop: Any) -> None:
        type(workshop.host).objects.update(enabled=True)
        vm, create = workshop.create()
        type(workshop.host).objects.update(memory_limit_mib=0)
        assert workshop.carry_out(create).error_code == "placement.no_host_fits"
        assert workshop.carry_out(workshop.ask("delete", vm)).status == "succeeded"
        assert not VM.objects.exists()


def test_leftovers_are_removed_one_by_one(workshop: Any) -> None:
    """An error with the first does not keep the second."""
    vm = workshop.running()
    workshop.fake.inject(Fault(action="reject", method="remove_volume", moment="before", times=1))
    with pytest.raises(Exception, match="injected"):
        domain.remove_leftovers(vm, workshop.hypervisor)
    assert seed_name(vm) not in workshop.volumes()
