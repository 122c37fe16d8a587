"""What operations on snapshots do, claim by claim, on a fake host."""

from typing import Any

import pytest

from apps.compute.models import VM, Snapshot
from apps.compute.selectors.snapshot import vm_has_snapshots
from apps.events.models import Event
from apps.hosts.models import Allocation, Host
from apps.operations.models import Operation
from hypervisor.fake import Fault
from hypervisor.fake import snapshots as fake_snapshots
from hypervisor.specs import Power
from workers.compute import snapshot as handlers
from workers.compute import snapshot_seen
from workers.reconcile import reconcile_host


@pytest.fixture(autouse=True)
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every reconcile reads the snapshots."""
    monkeypatch.setattr(snapshot_seen, "READ_SECONDS", -3600.0)


class Shop:
    """Verbs on snapshots, as a person asks for them."""

    def __init__(self, workshop: Any) -> None:
        self.workshop = workshop
        self.vm = workshop.running()

    def wish(self, verb: str, **arguments: Any) -> Any:
        from apps.compute.services import snapshot as services

        return getattr(services, f"snapshot_{verb}")(actor=self.workshop.admin, **arguments)

    def take(self, name: str) -> Snapshot:
        change = self.wish("create", vm_id=self.vm.pk, name=name)
        assert self.workshop.carry_out(change.operation).status == "succeeded", change.operation.error_message
        self.vm.refresh_from_db()
        return Snapshot.objects.get(pk=change.snapshot.pk)

    def revert(self, snapshot: Snapshot) -> Any:
        operation = self.workshop.carry_out(self.wish("revert", snapshot_id=snapshot.pk).operation)
        self.vm.refresh_from_db()
        return operation

    def remove(self, snapshot: Snapshot) -> Any:
        return self.workshop.carry_out(self.wish("delete", snapshot_id=snapshot.pk).operation)

    def off(self) -> None:
        self.workshop.carry_out(self.workshop.ask("power_off", self.vm))
        self.vm.refresh_from_db()

    def on(self) -> None:
        self.workshop.carry_out(self.workshop.ask("start", self.vm))
        self.vm.refresh_from_db()

    def resize(self, **numbers: int) -> None:
        """Another size, as lifecycle writes it: row, claim and definition."""
        from apps.hosts.capacity import Demand, capacity_resize
        from workers.compute.domain import domain_spec

        VM.objects.filter(pk=self.vm.pk).update(**numbers)
        self.vm.refresh_from_db()
        demand = Demand(vcpus=self.vm.vcpus, memory_mib=self.vm.memory_mib, disk_gib=self.vm.disk_gib)
        assert capacity_resize(consumer_id=self.vm.pk, demand=demand)
        self.workshop.hypervisor.ensure_defined(domain_spec(self.vm, self.workshop.host, self.vm.nics.get()))

    # --- the truth
    def tree(self) -> dict[str, tuple[str | None, bool]]:
        """On the host: name, parent and whether it is current."""
        states = self.workshop.hypervisor.snapshots([self.vm.pk]).get(self.vm.pk, [])
        return {state.name: (state.parent, state.current) for state in states}

    def rows(self) -> dict[str, tuple[str | None, bool]]:
        """The same in our records."""
        rows = Snapshot.objects.filter(vm=self.vm).select_related("parent")
        return {row.host_name: (row.parent.host_name if row.parent else None, row.current) for row in rows}

    def beside(self, name: str, *, external: bool = False) -> None:
        """Somebody makes one with virsh."""
        with self.workshop.fake.store.transaction() as state:
            up = (state.get("domain", str(self.vm.pk)) or {})["power"] == Power.RUNNING
            fake_snapshots.record(state, self.vm.pk, name, memory=up, external=external)

    def beside_removed(self, name: str) -> None:
        from apps.hosts.selectors import installation_id

        with self.workshop.fake.store.transaction() as state:
            fake_snapshots.remove(state, installation_id(), self.vm.pk, name)

    def read(self) -> None:
        assert reconcile_host(self.workshop.host.pk)

    def claimed(self) -> tuple[int, int, int]:
        held = Allocation.objects.get(consumer_id=self.vm.pk)
        host = Host.objects.get(pk=self.workshop.host.pk)
        claim = (held.vcpus, held.memory_mib, held.disk_gib)
        assert claim == (host.vcpus_claimed, host.memory_claimed_mib, host.disk_claimed_gib)
        return claim


@pytest.fixture
def shop(workshop: Any) -> Shop:
    return Shop(workshop)


def kinds() -> list[str]:
    return list(Event.objects.order_by("pk").values_list("kind", flat=True))


class TestCreate:
    def test_of_a_running_guest(self, shop: Shop) -> None:
        made = shop.take("before")
        assert (made.phase, made.memory, made.power, made.current) == ("ready", True, "running", True)
        assert made.taken_at is not None
        assert shop.tree() == {f"cs-{made.pk}": (None, True)} == shop.rows()
        assert (shop.vm.power, shop.vm.desired_power) == ("running", "on")
        assert vm_has_snapshots(vm_id=shop.vm.pk)

    def test_of_one_that_is_off(self, shop: Shop) -> None:
        shop.off()
        made = shop.take("before")
        assert (made.phase, made.memory, made.power) == ("ready", False, "shutoff")

    def test_a_large_one_is_waited_for_in_the_queue(self, shop: Shop) -> None:
        shop.workshop.fake.configure(snapshot_looks=3)
        change = shop.wish("create", vm_id=shop.vm.pk, name="before")
        operation = shop.workshop.claim_once(change.operation)
        assert (operation.status, operation.step) == ("queued", "The host is writing the snapshot")
        assert shop.workshop.carry_out(operation).status == "succeeded"
        assert operation.attempts > 2
        assert Snapshot.objects.get().phase == "ready"

    def test_run_again_from_the_top_it_makes_no_second(self, shop: Shop) -> None:
        made = shop.take("before")
        operation = Operation.objects.get(kind="snapshot.create")
        Operation.objects.filter(pk=operation.pk).update(status="queued", state={})
        assert shop.workshop.carry_out(operation).status == "succeeded"
        assert list(shop.tree()) == [made.host_name]

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_an_answer_that_was_lost(self, shop: Shop, moment: Any) -> None:
        shop.workshop.fake.inject(Fault(action="unreachable", method="create_snapshot", moment=moment))
        change = shop.wish("create", vm_id=shop.vm.pk, name="before")
        assert shop.workshop.claim_once(change.operation).status == "queued"
        Host.objects.update(status="up", retry_at=None)
        assert shop.workshop.carry_out(change.operation).status == "succeeded"
        assert len(shop.tree()) == 1

    def test_a_no_of_the_host_leaves_nothing_there_and_the_reason_here(self, shop: Shop) -> None:
        shop.workshop.fake.inject(Fault(action="out-of-space", method="create_snapshot", moment="after"))
        change = shop.wish("create", vm_id=shop.vm.pk, name="before")
        operation = shop.workshop.carry_out(change.operation)
        assert (operation.status, operation.error_code) == ("failed", "host-out-of-space")
        assert shop.tree() == {}
        row = Snapshot.objects.get()
        assert (row.phase, row.reason) == ("error", "injected after create_snapshot")
        from apps.operations.services import operation_retry

        operation_retry(actor=shop.workshop.admin, operation_id=operation.pk)
        assert shop.workshop.carry_out(operation).status == "succeeded"
        row.refresh_from_db()
        assert (row.phase, row.reason) == ("ready", "")

    def test_a_host_that_never_finishes_is_asked_three_times(self, shop: Shop, monkeypatch: Any) -> None:
        monkeypatch.setattr(fake_snapshots, "create", lambda *_args: False)
        operation = shop.workshop.carry_out(shop.wish("create", vm_id=shop.vm.pk, name="before").operation)
        assert (operation.status, operation.error_code) == ("failed", "snapshot.not_done")
        assert operation.state["tries"] == handlers.MOST_TRIES

    def test_a_guest_that_a_dying_daemon_left_standing_runs_on(self, shop: Shop) -> None:
        shop.workshop.fake.inject(Fault(action="unreachable", method="create_snapshot", moment="before"))
        change = shop.wish("create", vm_id=shop.vm.pk, name="before")
        shop.workshop.claim_once(change.operation)
        Host.objects.update(status="up", retry_at=None)
        shop.workshop.hypervisor.set_paused(shop.vm.pk, paused=True)
        assert shop.workshop.carry_out(change.operation).status == "succeeded"
        assert shop.workshop.power(shop.vm) == "running"
        assert Snapshot.objects.get().power == "running"

    def test_a_guest_that_was_switched_off_meanwhile(self, shop: Shop) -> None:
        change = shop.wish("create", vm_id=shop.vm.pk, name="before")
        shop.workshop.fake.stop_domain(shop.vm.pk)
        operation = shop.workshop.carry_out(change.operation)
        assert (operation.status, operation.error_code) == ("failed", "snapshot.power_changed")
        assert shop.tree() == {}

    def test_a_full_pool_is_said_before_anything_is_written(self, shop: Shop) -> None:
        shop.workshop.fake.configure(capacity_bytes=64 * 2**20)
        operation = shop.workshop.carry_out(shop.wish("create", vm_id=shop.vm.pk, name="before").operation)
        assert (operation.status, operation.error_code) == ("failed", "snapshot.no_space")

    def test_cancelled_while_the_host_writes_it_is_ready_once_it_is_seen(self, shop: Shop) -> None:
        from apps.operations.services import operation_cancel

        shop.workshop.fake.configure(snapshot_looks=3)
        change = shop.wish("create", vm_id=shop.vm.pk, name="before")
        shop.workshop.claim_once(change.operation)
        operation_cancel(actor=shop.workshop.admin, operation_id=change.operation.pk)
        assert shop.workshop.claim_once(change.operation).status == "cancelled"
        assert Snapshot.objects.get().phase == "error"
        for _ in range(4):
            shop.read()
        assert Snapshot.objects.get().phase == "ready"
        assert shop.rows() == shop.tree()

    def test_a_broken_one_can_be_deleted(self, shop: Shop) -> None:
        shop.workshop.fake.inject(Fault(action="reject", method="create_snapshot"))
        shop.workshop.carry_out(shop.wish("create", vm_id=shop.vm.pk, name="before").operation)
        assert shop.remove(Snapshot.objects.get(phase="error")).status == "succeeded"
        assert not Snapshot.objects.exists()


class TestRevert:
    def test_brings_back_size_power_and_claim(self, shop: Shop) -> None:
        made = shop.take("before")
        shop.off()
        shop.resize(vcpus=2, memory_mib=512)
        assert shop.claimed() == (2, 512 + 64, 1)
        assert shop.revert(made).status == "succeeded"
        assert (shop.vm.vcpus, shop.vm.memory_mib, shop.vm.disk_gib) == (1, 128, 1)
        assert (shop.vm.power, shop.vm.desired_power, shop.workshop.power(shop.vm)) == ("running", "on", "running")
        assert shop.claimed() == (1, 128 + 64, 1)
        seen = shop.workshop.hypervisor.domain(shop.vm.pk)
        assert (seen.vcpus, seen.memory_mib, seen.fence) == (1, 128, shop.vm.fence)

    def test_the_wish_follows_a_snapshot_of_one_that_was_off(self, shop: Shop) -> None:
        shop.off()
        made = shop.take("off")
        shop.on()
        assert shop.revert(made).status == "succeeded"
        assert (shop.vm.power, shop.vm.desired_power, shop.workshop.power(shop.vm)) == ("shutoff", "off", "shutoff")

    def test_a_new_title_stays(self, shop: Shop) -> None:
        from apps.compute.services.vm import vm_rename

        made = shop.take("before")
        vm_rename(actor=shop.workshop.admin, vm_id=shop.vm.pk, name="shop")
        assert shop.revert(made).status == "succeeded"
        assert shop.workshop.hypervisor.domain(shop.vm.pk).title == "shop" == shop.vm.name

    def test_the_next_one_hangs_below_it(self, shop: Shop) -> None:
        first = shop.take("first")
        shop.take("second")
        shop.revert(first)
        third = shop.take("third")
        assert third.parent_id == first.pk
        assert shop.rows() == shop.tree()
        assert len(shop.rows()) == 3

    def test_a_long_one_is_waited_for_in_the_queue(self, shop: Shop) -> None:
        made = shop.take("before")
        shop.off()
        shop.workshop.fake.configure(snapshot_looks=3)
        operation = shop.wish("revert", snapshot_id=made.pk).operation
        assert shop.workshop.claim_once(operation).step == "The host is going back to the snapshot"
        assert shop.workshop.carry_out(operation).status == "succeeded"
        shop.vm.refresh_from_db()
        assert shop.vm.power == "running"
        assert operation.state["tries"] == 1

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_an_answer_that_was_lost(self, shop: Shop, moment: Any) -> None:
        made = shop.take("before")
        shop.off()
        shop.workshop.fake.inject(Fault(action="unreachable", method="revert_snapshot", moment=moment))
        operation = shop.wish("revert", snapshot_id=made.pk).operation
        assert shop.workshop.claim_once(operation).status == "queued"
        Host.objects.update(status="up", retry_at=None)
        assert shop.workshop.carry_out(operation).status == "succeeded"
        shop.vm.refresh_from_db()
        assert (shop.vm.power, shop.vm.desired_power) == ("running", "on")

    def test_a_no_of_the_host_gives_back_what_was_claimed(self, shop: Shop) -> None:
        made = shop.take("before")
        shop.off()
        Snapshot.objects.filter(pk=made.pk).update(vcpus=4, max_memory_mib=1024)
        shop.workshop.fake.inject(Fault(action="reject", method="revert_snapshot"))
        operation = shop.wish("revert", snapshot_id=made.pk).operation
        assert shop.claimed() == (4, 1024 + 64, 1)
        assert shop.workshop.carry_out(operation).status == "failed"
        shop.vm.refresh_from_db()
        assert (shop.vm.power, shop.vm.desired_power) == ("shutoff", "off")
        assert shop.claimed() == (1, 128 + 64, 1)

    def test_one_that_the_host_lost(self, shop: Shop) -> None:
        made = shop.take("before")
        shop.beside_removed(made.host_name)
        operation = shop.revert(made)
        assert (operation.status, operation.error_code) == ("failed", "snapshot.gone")
        assert shop.vm.power == "running"

    def test_other_disks_or_cards_are_not_rolled_back(self, shop: Shop) -> None:
        """A disk that was taken off may be another machine's by now."""
        made = shop.take("before")
        with shop.workshop.fake.store.transaction() as state:
            domain = state.get("domain", str(shop.vm.pk))
            state.put("domain", str(shop.vm.pk), domain | {"disk_paths": [*domain["disk_paths"], "/pool/vol-x.qcow2"]})
        operation = shop.revert(made)
        assert (operation.status, operation.error_code) == ("failed", "snapshot.devices_differ")
        assert "added vol-x.qcow2" in operation.error_message
        assert shop.claimed() == (1, 128 + 64, 1)


class TestDelete:
    def test_what_is_below_moves_up(self, shop: Shop) -> None:
        first, second, third = (shop.take(name) for name in ("first", "second", "third"))
        assert shop.remove(second).status == "succeeded"
        assert shop.rows() == shop.tree()
        third.refresh_from_db()
        assert (third.parent_id, third.current) == (first.pk, True)

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_an_answer_that_was_lost(self, shop: Shop, moment: Any) -> None:
        made = shop.take("before")
        shop.workshop.fake.inject(Fault(action="unreachable", method="remove_snapshot", moment=moment))
        operation = shop.wish("delete", snapshot_id=made.pk).operation
        assert shop.workshop.claim_once(operation).status == "queued"
        Host.objects.update(status="up", retry_at=None)
        assert shop.workshop.carry_out(operation).status == "succeeded"
        assert shop.rows() == shop.tree() == {}

    def test_a_no_of_the_host_leaves_it(self, shop: Shop) -> None:
        made = shop.take("before")
        shop.workshop.fake.inject(Fault(action="reject", method="remove_snapshot"))
        assert shop.remove(made).status == "failed"
        made.refresh_from_db()
        assert (made.phase, shop.rows()) == ("ready", shop.tree())

    def test_of_the_vm_takes_all_with_it(self, shop: Shop) -> None:
        shop.take("first")
        shop.take("second")
        shop.beside("theirs")
        shop.read()
        assert shop.workshop.carry_out(shop.workshop.ask("delete", shop.vm)).status == "succeeded"
        assert not Snapshot.objects.exists()
        assert shop.tree() == {}


class TestBesideUs:
    def test_one_that_was_made_is_shown_and_counted(self, shop: Shop) -> None:
        ours = shop.take("ours")
        shop.beside("theirs <b>\u202e")
        shop.read()
        theirs = Snapshot.objects.get(foreign=True)
        assert (theirs.parent_id, theirs.current, theirs.disk_gib) == (ours.pk, True, None)
        assert kinds()[-1] == "snapshot.found"
        assert shop.rows() == shop.tree()
        before = kinds()
        shop.read()
        assert kinds() == before

    def test_one_that_was_deleted_goes_with_an_event(self, shop: Shop) -> None:
        first, second, third = (shop.take(name) for name in ("first", "second", "third"))
        shop.beside_removed(second.host_name)
        shop.read()
        assert kinds()[-1] == "snapshot.gone"
        assert shop.rows() == shop.tree()
        third.refresh_from_db()
        assert third.parent_id == first.pk

    def test_an_old_look_changes_nothing(self, shop: Shop) -> None:
        from workers.observations import now

        read_at = now()
        made = shop.take("before")
        snapshot_seen.snapshots_observed(vm_id=shop.vm.pk, seen=[], read_at=read_at)
        made.refresh_from_db()
        assert (made.phase, made.current) == ("ready", True)

    def test_while_one_is_being_made_the_row_stays(self, shop: Shop) -> None:
        shop.wish("create", vm_id=shop.vm.pk, name="before")
        shop.read()
        assert Snapshot.objects.get().phase == "creating"

    def test_vms_without_any_cost_one_look(self, shop: Shop, django_assert_max_num_queries: Any) -> None:
        for number in range(3):
            shop.workshop.running(f"more-{number}")
        shop.read()
        with django_assert_max_num_queries(40):
            shop.read()


def test_names_on_the_host_come_from_ids(shop: Shop) -> None:
    made = shop.take("before")
    assert made.host_name == f"cs-{made.pk}"
    assert "before" not in made.host_name
