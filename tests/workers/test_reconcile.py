"""Reading a host: drift becomes rows and events, a reboot becomes operations, and nothing is fixed in silence."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from apps.compute.models import VM
from apps.compute.selectors.vm import vm_for
from apps.events.models import Event
from apps.hosts.models import Allocation, Host
from apps.operations.models import Operation
from hypervisor.fake import Fault
from workers import reconcile
from workers.observations import now, vm_observed
from workers.pulls import hosts_due
from workers.reconcile import reconcile_host


def kinds() -> list[str]:
    return list(Event.objects.order_by("pk").values_list("kind", flat=True))


def read(workshop: Any) -> bool:
    return reconcile_host(workshop.host.pk)


class TestDrift:
    def test_nothing_changed_is_no_event_and_few_queries(
        self, workshop: Any, django_assert_max_num_queries: Any
    ) -> None:
        for number in range(5):
            workshop.running(f"vm-{number}")
        assert read(workshop)
        before = kinds()
        with django_assert_max_num_queries(30):
            assert read(workshop)
        assert kinds() == before

    @pytest.mark.parametrize(
        ("reason", "wish"), [("shutdown", "off"), ("destroyed", "off"), ("crashed", "on")], ids=str
    )
    def test_a_guest_that_stopped(self, workshop: Any, reason: str, wish: str) -> None:
        vm = workshop.running()
        workshop.fake.stop_domain(vm.pk, reason=reason)
        read(workshop)
        vm.refresh_from_db()
        assert (vm.power, vm.desired_power) == ("shutoff", wish)
        assert kinds()[-1] == "vm.stopped"
        assert not Operation.objects.filter(status="queued").exists()

    def test_one_that_was_started_by_hand(self, workshop: Any) -> None:
        vm = workshop.running()
        workshop.carry_out(workshop.ask("power_off", vm))
        workshop.fake.start_domain(vm.pk)
        read(workshop)
        vm.refresh_from_db()
        assert (vm.power, vm.desired_power, kinds()[-1]) == ("running", "on", "vm.started")

    def test_one_that_was_undefined_and_found_again(self, workshop: Any) -> None:
        vm = workshop.running()
        workshop.fake.remove_domain(vm.pk)
        read(workshop)
        vm.refresh_from_db()
        assert (vm.missing, vm.phase, kinds()[-1]) == (True, "ready", "vm.missing")
        workshop.carry_out(workshop.ask("start", vm))
        read(workshop)
        vm.refresh_from_db()
        assert not vm.missing

    def test_a_change_that_our_operation_makes_is_no_drift(self, workshop: Any) -> None:
        vm = workshop.running()
        workshop.ask("shutdown", vm)
        workshop.fake.stop_domain(vm.pk, reason="shutdown")
        before = Event.objects.filter(kind="vm.stopped").count()
        read(workshop)
        vm.refresh_from_db()
        assert vm.power == "shutoff"
        assert Event.objects.filter(kind="vm.stopped").count() == before

    def test_many_that_changed_are_as_many_queries_as_one(
        self, workshop: Any, django_assert_max_num_queries: Any
    ) -> None:
        vms = [workshop.running(f"vm-{number}") for number in range(6)]
        Host.objects.update(facts_read_at=now())  # else it is asked for them, too
        for vm in vms[1:]:
            workshop.fake.stop_domain(vm.pk, reason="shutdown")
        with django_assert_max_num_queries(22):
            assert read(workshop)
        assert [vm.power for vm in VM.objects.order_by("name")] == ["running", *["shutoff"] * 5]
        assert kinds()[-5:] == ["vm.stopped"] * 5

    def test_what_did_not_change_is_seen_with_its_host(self, workshop: Any) -> None:
        vm = workshop.running()
        written = VM.objects.get(pk=vm.pk).observed_at
        before = now()
        read(workshop)
        assert VM.objects.get(pk=vm.pk).observed_at == written
        shown = vm_for(actor=workshop.admin, vm_id=vm.pk).seen_at
        assert shown == Host.objects.get().observed_at > before
        workshop.carry_out(workshop.ask("power_off", vm))
        assert vm_for(actor=workshop.admin, vm_id=vm.pk).seen_at > shown

    def test_a_look_older_than_that_of_the_whole_host_is_not_written(self, workshop: Any) -> None:
        vm = workshop.running()
        stale, old = workshop.hypervisor.domain(vm.pk), now()
        workshop.fake.stop_domain(vm.pk, reason="shutdown")
        read(workshop)
        VM.objects.update(observed_at=None)
        assert vm_observed(vm_id=vm.pk, seen=stale, read_at=old) is False
        assert VM.objects.get().power == "shutoff"

    def test_an_older_look_never_overwrites_a_newer_one(self, workshop: Any) -> None:
        vm = workshop.running()
        old = now()
        stale = workshop.hypervisor.domain(vm.pk)
        workshop.carry_out(workshop.ask("power_off", vm))
        VM.objects.filter(pk=vm.pk).update(observed_at=now())
        assert vm_observed(vm_id=vm.pk, seen=stale, read_at=old) is False
        vm.refresh_from_db()
        assert (vm.power, vm.desired_power) == ("shutoff", "off")

    def test_what_is_still_being_created_is_left_to_its_operation(self, workshop: Any) -> None:
        vm, _operation = workshop.create()
        VM.objects.filter(pk=vm.pk).update(host=workshop.host)
        read(workshop)
        vm.refresh_from_db()
        assert (vm.phase, vm.missing, vm.power) == ("creating", False, "unknown")

    def test_addresses_come_from_the_leases(self, workshop: Any) -> None:
        vm = workshop.running()
        read(workshop)
        vm.refresh_from_db()
        assert vm.observed_addresses == [{"ip": vm.nics.get().ip, "source": "lease"}]


class TestForeign:
    def test_is_shown_counted_and_never_touched(self, workshop: Any) -> None:
        guest = workshop.fake.add_foreign_domain("theirs", vcpus=2, memory_mib=2048)
        read(workshop)
        allocation = Allocation.objects.get()
        assert (allocation.consumer_id, allocation.kind, allocation.memory_mib) == (guest, "foreign", 2048)
        workshop.host.refresh_from_db()
        assert (workshop.host.vcpus_claimed, workshop.host.memory_claimed_mib) == (2, 2048)
        workshop.fake.stop_domain(guest)
        read(workshop)
        workshop.host.refresh_from_db()
        assert workshop.host.memory_claimed_mib == 0
        workshop.fake.remove_domain(guest)
        read(workshop)
        assert not Allocation.objects.exists()

    def test_one_of_ours_without_a_row_is_kept(self, workshop: Any) -> None:
        """As after a database was restored from a backup."""
        from workers.compute.vm import vm_forget

        vm = workshop.running()
        vm_forget(vm)
        read(workshop)
        assert [domain.uuid for domain in workshop.hypervisor.domains()] == [vm.pk]
        allocation = Allocation.objects.get()
        assert (allocation.kind, allocation.ours) == ("foreign", True)

    def test_its_address_is_kept_for_it_until_it_is_gone(self, workshop: Any) -> None:
        """Two machines with one address would cut each other off."""
        from apps.network.models import Address
        from workers.compute.vm import vm_forget

        vm = workshop.running()
        mac, ip = vm.nics.values_list("mac", "ip").get()
        vm_forget(vm)
        assert not Address.objects.exists()
        read(workshop)
        read(workshop)
        assert Address.objects.values_list("mac", "ip", "consumer_id").get() == (mac, ip, vm.pk)
        assert workshop.running("another").nics.get().ip != ip
        workshop.fake.remove_domain(vm.pk)
        read(workshop)
        assert not Address.objects.filter(consumer_id=vm.pk).exists()

    def test_one_that_is_really_foreign_is_not_called_ours(self, workshop: Any) -> None:
        workshop.fake.add_foreign_domain("theirs", vcpus=1, memory_mib=64)
        read(workshop)
        assert not Allocation.objects.get().ours


class TestReboot:
    def test_starts_what_should_run_by_operations_in_order(self, workshop: Any) -> None:
        wanted = [workshop.running(f"vm-{number}") for number in range(3)]
        off, manual = workshop.running("off"), workshop.running("manual")
        workshop.carry_out(workshop.ask("power_off", off))
        VM.objects.filter(pk=manual.pk).update(start_on_boot=False)
        workshop.fake.reboot()
        read(workshop)
        starts = Operation.objects.filter(kind="vm.start", status="queued").order_by("created_at")
        assert [operation.target_id for operation in starts] == [vm.pk for vm in wanted]
        assert kinds().count("host.rebooted") == 1
        for operation in starts:
            workshop.carry_out(operation)
        read(workshop)
        assert kinds().count("host.rebooted") == 1
        assert all(workshop.power(vm) == "running" for vm in wanted)
        assert workshop.power(off) == workshop.power(manual) == "shutoff"

    def test_a_lower_boot_order_starts_first(self, workshop: Any) -> None:
        last, first, second = (workshop.running(name) for name in ("last", "first", "second"))
        for vm, order in ((last, 10), (first, 1), (second, 5)):
            VM.objects.filter(pk=vm.pk).update(boot_order=order)
        workshop.fake.reboot()
        read(workshop)
        starts = {operation.target_id: operation for operation in Operation.objects.filter(status="queued")}
        for vm in (last, second):
            assert "start earlier" in workshop.claim_once(starts[vm.pk]).step
            assert workshop.power(vm) == "shutoff"
        assert workshop.claim_once(starts[first.pk]).status == "succeeded"
        assert workshop.claim_once(starts[last.pk]).status == "queued"
        workshop.fake.inject(Fault(action="reject", method="ensure_running"))
        assert workshop.claim_once(starts[second.pk]).status == "failed"  # and holds nobody up
        assert workshop.claim_once(starts[last.pk]).status == "succeeded"

    def test_a_worker_that_dies_meanwhile_leaves_it_to_be_noticed_again(
        self, workshop: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        workshop.running()
        workshop.fake.reboot()

        def die(_host: Host) -> None:
            raise SystemExit

        with monkeypatch.context() as patch:
            patch.setattr(reconcile, "_start_after_boot", die)
            with pytest.raises(SystemExit):
                read(workshop)
        assert "host.rebooted" not in kinds()
        read(workshop)
        assert Operation.objects.filter(kind="vm.start", status="queued").count() == 1

    def test_a_probe_in_between_does_not_hide_it(self, workshop: Any) -> None:
        from workers.engine import Run
        from workers.hosts import _prepare

        workshop.running()
        workshop.fake.reboot()
        from apps.hosts.services import host_probe
        from apps.operations.claims import operation_claim

        _host, operation = host_probe(actor=workshop.admin, host_id=workshop.host.pk)
        claim = operation_claim(operation.pk)
        assert claim is not None
        _prepare(Run(claim), Host.objects.get(pk=workshop.host.pk))
        read(workshop)
        assert Operation.objects.filter(kind="vm.start", status="queued").count() == 1


class TestHost:
    def test_away_and_back(self, workshop: Any) -> None:
        workshop.fake.unplug()
        assert read(workshop) is False
        workshop.host.refresh_from_db()
        assert (workshop.host.status, kinds()[-1]) == ("unreachable", "host.unreachable")
        workshop.fake.plug()
        assert read(workshop)
        workshop.host.refresh_from_db()
        assert (workshop.host.status, kinds()[-1]) == ("up", "host.up")

    def test_what_waited_for_it_is_due_at_once_when_it_is_back(self, workshop: Any) -> None:
        vm = workshop.running()
        workshop.fake.unplug()
        read(workshop)
        operation = workshop.claim_once(workshop.ask("power_off", vm))
        assert operation.run_after > now()
        workshop.fake.plug()
        read(workshop)
        operation.refresh_from_db()
        assert operation.run_after <= now()

    def test_one_that_is_busy_is_not_lost(self, workshop: Any) -> None:
        from hypervisor.errors import HostBusy

        class Busy:
            def domains(self) -> None:
                raise HostBusy("too many calls")

        import workers.reconcile as module

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "connect", lambda _host: Busy())
            assert read(workshop) is False
        workshop.host.refresh_from_db()
        assert workshop.host.status == "up"

    def test_is_read_by_one_worker_at_a_time_and_again_when_that_one_died(self, workshop: Any) -> None:
        Host.objects.update(reconcile_until=Now() + timedelta(seconds=60))
        assert read(workshop) is False
        assert not hosts_due()
        Host.objects.update(reconcile_until=Now() - timedelta(seconds=1))
        assert [host.pk for host in hosts_due()] == [workshop.host.pk]
        assert read(workshop)

    def test_a_read_that_is_over_leaves_the_lease_of_the_next_one_alone(
        self, workshop: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        taken = now() + timedelta(seconds=60)
        whole = reconcile._read

        def read_and_be_followed(host: Host) -> None:
            whole(host)
            Host.objects.update(reconcile_until=taken)

        monkeypatch.setattr(reconcile, "_read", read_and_be_followed)
        assert read(workshop)
        workshop.host.refresh_from_db()
        assert workshop.host.reconcile_until == taken

    def test_a_failed_read_frees_the_lease(self, workshop: Any) -> None:
        workshop.fake.inject(Fault(action="unreachable", method="domains"))
        assert read(workshop) is False
        assert [host.pk for host in hosts_due()] == [workshop.host.pk]

    @pytest.mark.parametrize("status", ["pending_trust", "key_changed"])
    def test_one_that_is_not_trusted_is_not_read(self, workshop: Any, status: str) -> None:
        Host.objects.update(status=status)
        assert not hosts_due()

    def test_one_that_is_gone(self, db: None) -> None:
        assert reconcile_host(uuid.uuid4()) is False
