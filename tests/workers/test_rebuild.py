"""A new root disk, claim by claim, on a fake host."""

import hashlib
from typing import Any

import pytest

from apps.compute.models import VM
from apps.hosts.models import Host
from apps.network.models import Address
from apps.operations.models import Operation
from apps.operations.services import operation_retry
from apps.storage.models import Image
from apps.storage.selectors import image_path
from hypervisor.fake import Fault
from workers.compute.domain import root_volume_id, seed_name


@pytest.fixture
def other(workshop: Any) -> Any:
    """A second image, without cloud-init."""
    content = b"QFI\xfb" + bytes(range(256)) * 16
    made = Image.objects.create(
        name="other",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        virtual_size_bytes=2**29,
        cloud_init=False,
    )
    image_path(made).write_bytes(content)
    return made


def ask(shop: Any, vm: Any, image: str = "other") -> Any:
    from apps.compute.services.rebuild import vm_rebuild

    return vm_rebuild(actor=shop.admin, vm_id=vm.pk, image=image).operation


def identity(shop: Any, vm: Any) -> tuple[Any, ...]:
    vm.refresh_from_db()
    seen = shop.hypervisor.domain(vm.pk)
    address = Address.objects.get(consumer_id=vm.pk)
    return (vm.name, vm.ssh_keys, vm.user_data, vm.disk_gib, seen.name, seen.macs, address.ip, address.mac)


def test_it_keeps_who_it_is_and_gets_another_disk(workshop: Any, other: Any) -> None:
    vm = workshop.running()
    before = identity(workshop, vm)
    assert workshop.carry_out(ask(workshop, vm)).status == "succeeded"
    assert identity(workshop, vm) == before
    assert (vm.image, vm.phase, vm.power, workshop.power(vm)) == (other, "ready", "running", "running")
    assert vm.root_volume.image == other
    assert workshop.volumes() == {
        f"img-{workshop.image.pk}.qcow2",
        f"img-{other.pk}.qcow2",
        f"vol-{root_volume_id(vm)}.qcow2",
    }  # no seed: this image does not read one
    assert workshop.carry_out(ask(workshop, vm, "tiny")).status == "succeeded"
    assert seed_name(vm) in workshop.volumes()
    assert identity(workshop, vm) == before


def test_one_that_was_off_stays_off(workshop: Any, other: Any) -> None:
    vm = workshop.running()
    workshop.carry_out(workshop.ask("power_off", vm))
    assert workshop.carry_out(ask(workshop, vm)).status == "succeeded"
    vm.refresh_from_db()
    assert (workshop.power(vm), vm.power, vm.desired_power) == ("shutoff", "shutoff", "off")


def test_nothing_is_destroyed_before_the_host_has_the_image(workshop: Any, other: Any) -> None:
    vm = workshop.running()
    workshop.fake.inject(Fault(action="out-of-space", method="upload"))
    failed = workshop.carry_out(ask(workshop, vm))
    assert (failed.status, failed.error_code) == ("failed", "image.not_sent")
    vm.refresh_from_db()
    assert (vm.phase, vm.image, workshop.power(vm)) == ("ready", workshop.image, "running")


@pytest.mark.parametrize("method", ["power_off", "undefine", "remove_volume", "ensure_volume", "ensure_defined"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_no_in_the_middle_is_told_and_a_retry_goes_on(workshop: Any, other: Any, method: str, moment: str) -> None:
    vm = workshop.running()
    operation = ask(workshop, vm)
    while "Waiting for the image" in workshop.claim_once(operation).step:
        for sending in Operation.objects.filter(kind="image.send", status="queued"):
            workshop.fake.clear_faults()
            workshop.claim_once(sending)
            workshop.fake.inject(Fault(action="reject", method=method, moment=moment))
    assert operation.status == "failed"
    vm.refresh_from_db()
    assert (vm.phase, vm.reason.startswith("Rebuilding failed")) == ("error", True)
    workshop.fake.clear_faults()
    operation_retry(actor=workshop.admin, operation_id=operation.pk)
    assert workshop.carry_out(operation).status == "succeeded"
    vm.refresh_from_db()
    assert (vm.phase, vm.reason, workshop.power(vm), vm.image) == ("ready", "", "running", other)


def test_a_host_that_does_not_answer_in_the_middle(workshop: Any, other: Any) -> None:
    vm = workshop.running()
    operation = ask(workshop, vm)
    workshop.claim_once(operation)
    for sending in Operation.objects.filter(kind="image.send", status="queued"):
        workshop.claim_once(sending)
    workshop.fake.inject(Fault(action="unreachable", method="remove_volume", moment="after"))
    assert workshop.claim_once(operation).status == "queued"
    Host.objects.update(status="up", retry_at=None)
    assert workshop.carry_out(operation).status == "succeeded"
    assert VM.objects.get(pk=vm.pk).image == other


def test_run_again_from_the_top_the_new_disk_stays(workshop: Any, other: Any) -> None:
    """A worker that dies after the start must not wipe what the guest has written since."""
    vm = workshop.running()
    operation = ask(workshop, vm)
    workshop.carry_out(operation)
    Operation.objects.filter(pk=operation.pk).update(status="queued")
    workshop.fake.inject(Fault(action="reject", method="remove_volume", times=None))
    assert workshop.carry_out(operation).status == "succeeded"
