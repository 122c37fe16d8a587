"""The trash on hosts: off and complete while it waits, back as it was, or gone by an ordinary deletion."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.compute.models import VM
from apps.compute.services.trash import vm_restore
from apps.events.models import Event
from apps.hosts.models import Allocation
from apps.network.models import Address
from apps.operations.models import Operation
from hypervisor.fake import Fault
from workers.reconcile import reconcile_host
from workers.sweep import MOST_EXPIRED, empty_trash


@pytest.fixture
def shop(workshop: Any, settings: Any) -> Any:
    """A workshop whose trash keeps things for a day."""
    settings.TRASH_HOURS = 24
    return workshop


def trashed(shop: Any, name: str = "web-1") -> Any:
    vm = shop.running(name)
    assert shop.carry_out(shop.ask("delete", vm)).status == "succeeded"
    vm.refresh_from_db()
    return vm


def overdue(vm: Any) -> None:
    VM.objects.filter(pk=vm.pk).update(trashed_until=timezone.now() - timedelta(seconds=1))


def test_it_is_off_and_everything_is_kept(shop: Any) -> None:
    vm = shop.running()
    before = shop.volumes()
    operation = shop.carry_out(shop.ask("delete", vm))
    assert (operation.kind, operation.status) == ("vm.trash", "succeeded")
    vm.refresh_from_db()
    assert (vm.phase, vm.power, vm.desired_power, shop.power(vm)) == ("trashed", "shutoff", "off", "shutoff")
    assert shop.volumes() == before
    for model in (Allocation, Address):
        assert model.objects.filter(consumer_id=vm.pk).count() == 1


def test_it_comes_back_and_starts(shop: Any) -> None:
    vm = trashed(shop)
    vm_restore(actor=shop.admin, vm_id=vm.pk)
    assert shop.carry_out(shop.ask("start", vm)).status == "succeeded"
    vm.refresh_from_db()
    assert (vm.phase, vm.power, vm.trashed_until) == ("ready", "running", None)


def test_a_volume_goes_from_the_trash_to_another_machine(shop: Any) -> None:
    """It is off there, so it lets go at once; restored, the machine comes back without it."""
    from apps.compute.services.volume import volume_create
    from apps.compute.services.volume_attachment import volume_attach, volume_detach

    def done(operation: Any) -> None:
        assert shop.carry_out(operation).status == "succeeded", operation.error_message

    made = volume_create(actor=shop.admin, name="data", size_gib=1)
    done(made.operation)
    old, new = shop.running("old-1"), shop.running("new-1")
    done(volume_attach(actor=shop.admin, volume_id=made.volume.pk, vm="old-1").operation)
    done(shop.ask("delete", old))
    file = f"vol-{made.volume.pk}.qcow2"
    assert any(file in path for path in shop.hypervisor.domain(old.pk).disk_paths)
    done(volume_detach(actor=shop.admin, volume_id=made.volume.pk).operation)
    done(volume_attach(actor=shop.admin, volume_id=made.volume.pk, vm="new-1").operation)
    vm_restore(actor=shop.admin, vm_id=old.pk)
    done(shop.ask("start", old))
    holders = [vm.name for vm in (old, new) if any(file in p for p in shop.hypervisor.domain(vm.pk).disk_paths)]
    assert holders == ["new-1"]


def test_snapshots_and_volumes_end_with_it_as_promised(shop: Any) -> None:
    """For good: its snapshots are gone, its volume is free and whole."""
    from apps.compute.models import Snapshot, VolumeAttachment
    from apps.compute.services.snapshot import snapshot_create
    from apps.compute.services.volume import volume_create
    from apps.compute.services.volume_attachment import volume_attach

    made = volume_create(actor=shop.admin, name="data", size_gib=1)
    shop.carry_out(made.operation)
    with_volume, with_snapshot = shop.running("web-1"), shop.running("web-2")
    shop.carry_out(volume_attach(actor=shop.admin, volume_id=made.volume.pk, vm="web-1").operation)
    shop.carry_out(snapshot_create(actor=shop.admin, vm_id=with_snapshot.pk, name="before").operation)
    for vm in (with_volume, with_snapshot):
        assert shop.carry_out(shop.ask("delete", vm)).status == "succeeded"
    assert Snapshot.objects.count() == VolumeAttachment.objects.count() == 1
    for vm in (with_volume, with_snapshot):
        assert shop.carry_out(shop.ask("delete", vm, permanent=True)).status == "succeeded"
    assert not Snapshot.objects.exists() and not VolumeAttachment.objects.exists()
    assert f"vol-{made.volume.pk}.qcow2" in shop.volumes()
    assert not VM.objects.exists()


def test_what_runs_on_the_vm_is_asked_to_stop_first(shop: Any) -> None:
    vm = shop.running()
    shutdown = shop.ask("shutdown", vm, timeout_s=600)
    shop.claim_once(shutdown)
    operation = shop.carry_out(shop.ask("delete", vm))
    assert operation.status == "succeeded"
    shutdown.refresh_from_db()
    assert (shutdown.status, shop.power(vm)) == ("cancelled", "shutoff")


def test_reconcile_and_a_reboot_leave_it_alone(shop: Any) -> None:
    vm = trashed(shop)
    VM.objects.filter(pk=vm.pk).update(desired_power="on")  # even if something had wished so
    Operation.objects.all().delete()
    shop.fake.reboot()
    assert reconcile_host(shop.host.pk)
    shop.fake.start_domain(vm.pk)
    assert reconcile_host(shop.host.pk)
    assert not Operation.objects.exists()
    assert not Allocation.objects.filter(kind="foreign").exists()
    vm.refresh_from_db()
    assert vm.phase == "trashed"
    vm_restore(actor=shop.admin, vm_id=vm.pk)
    assert reconcile_host(shop.host.pk)  # from now on it is looked at again
    vm.refresh_from_db()
    assert (vm.phase, vm.power) == ("ready", "running")


def test_when_its_time_is_over_it_is_deleted(shop: Any) -> None:
    vm, waits = trashed(shop, "gone"), trashed(shop, "waits")
    assert empty_trash() == 0
    overdue(vm)
    assert empty_trash() == 1
    assert empty_trash() == 0  # nobody does it twice
    operation = Operation.objects.get(kind="vm.delete")
    assert (operation.target_id, operation.requested_by, operation.owner_id) == (vm.pk, None, shop.admin.pk)
    assert shop.carry_out(operation).status == "succeeded"
    assert list(VM.objects.values_list("pk", flat=True)) == [waits.pk]
    assert [domain.uuid for domain in shop.hypervisor.domains()] == [waits.pk]
    assert list(Allocation.objects.values_list("consumer_id", flat=True)) == [waits.pk]


def test_what_was_restored_in_time_is_not_deleted(shop: Any) -> None:
    from apps.compute.services.trash import vm_expire

    vm = trashed(shop)
    overdue(vm)
    vm_restore(actor=shop.admin, vm_id=vm.pk)
    assert not vm_expire(vm_id=vm.pk, now=timezone.now())
    assert empty_trash() == 0


def test_nothing_is_deleted_under_an_operation(shop: Any) -> None:
    vm = shop.running()
    shop.ask("delete", vm)
    overdue(vm)
    assert empty_trash() == 0
    assert Operation.objects.filter(kind="vm.delete").count() == 0


def test_a_full_trash_is_emptied_in_rounds(shop: Any) -> None:
    vm = trashed(shop)
    overdue(vm)
    vm.refresh_from_db()
    for number in range(MOST_EXPIRED + 5):
        vm.pk, vm.name, vm.root_volume = None, f"copy-{number}", None
        vm.id = None
        vm = VM.objects.create(
            **{
                field.attname: getattr(vm, field.attname)
                for field in VM._meta.concrete_fields
                if field.name not in ("id", "created_at")
            }
        )
    assert [empty_trash(), empty_trash(), empty_trash()] == [MOST_EXPIRED, 6, 0]


def test_one_that_cannot_be_powered_off_is_back_in_the_list_and_can_be_asked_again(shop: Any) -> None:
    vm = shop.running()
    shop.fake.inject(Fault(action="reject", method="power_off"))
    failed = shop.carry_out(shop.ask("delete", vm))
    assert (failed.status, failed.retryable) == ("failed", True)
    vm.refresh_from_db()
    assert (vm.phase, vm.trashed_until, vm.desired_power, shop.power(vm)) == ("ready", None, "on", "running")
    from apps.operations.services import operation_retry

    again = shop.carry_out(operation_retry(actor=shop.admin, operation_id=failed.pk))
    assert again.status == "succeeded"
    vm.refresh_from_db()
    assert (vm.phase, vm.trashed_until is not None, vm.desired_power, shop.power(vm)) == (
        "trashed",
        True,
        "off",
        "shutoff",
    )


def test_asked_again_it_obeys_a_protection_that_came_meanwhile(shop: Any) -> None:
    from apps.operations.services import operation_retry

    vm = shop.running()
    shop.fake.inject(Fault(action="reject", method="power_off"))
    failed = shop.carry_out(shop.ask("delete", vm))
    VM.objects.filter(pk=vm.pk).update(protected=True)
    again = shop.carry_out(operation_retry(actor=shop.admin, operation_id=failed.pk))
    assert (again.status, again.error_code, shop.power(vm)) == ("failed", "vm.protected", "running")
    vm.refresh_from_db()
    assert vm.phase == "ready"


def test_one_that_is_gone_from_its_host(shop: Any) -> None:
    vm = shop.running()
    shop.fake.remove_domain(vm.pk)
    assert shop.carry_out(shop.ask("delete", vm)).status == "succeeded"
    vm_restore(actor=shop.admin, vm_id=vm.pk)
    assert shop.carry_out(shop.ask("start", vm)).status == "succeeded"
    assert shop.power(vm) == "running"


def test_twice_is_once(shop: Any) -> None:
    vm = shop.running()
    operation = shop.carry_out(shop.ask("delete", vm))
    until = VM.objects.get(pk=vm.pk).trashed_until
    Operation.objects.filter(pk=operation.pk).update(status="queued", finished_at=None)
    assert shop.carry_out(operation).status == "succeeded"
    assert VM.objects.get(pk=vm.pk).trashed_until == until
    assert Event.objects.filter(kind="vm.trash", message__contains="requested").count() == 1
