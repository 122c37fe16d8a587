"""Rescue systems and CDs, claim by claim, on a fake host."""

from typing import Any

import pytest

from apps.compute.models import VM
from apps.compute.services.rescue import vm_eject, vm_insert, vm_rescue, vm_unrescue
from apps.operations.models import Operation
from hypervisor.fake import Fault
from workers.compute.domain import domain_spec, rescue_name, root_volume_id


def rescued(workshop: Any, vm: Any) -> Operation:
    return vm_rescue(actor=workshop.admin, vm_id=vm.pk).operation


def disks(workshop: Any, vm: Any) -> list[str]:
    return [path.rsplit("/", 1)[1] for path in workshop.hypervisor.domain(vm.pk).disk_paths]


def test_there_and_back(workshop: Any) -> None:
    vm = workshop.running()
    own = disks(workshop, vm)
    assert workshop.carry_out(rescued(workshop, vm)).status == "succeeded"
    vm.refresh_from_db()
    assert (vm.rescued, workshop.power(vm)) == (True, "running")
    assert disks(workshop, vm) == [rescue_name(vm, "qcow2"), own[0], rescue_name(vm, "iso")]
    operation = vm_unrescue(actor=workshop.admin, vm_id=vm.pk).operation
    assert workshop.carry_out(operation).status == "succeeded"
    vm.refresh_from_db()
    assert (vm.rescued, workshop.power(vm), disks(workshop, vm)) == (False, "running", own)
    assert not any(name.startswith("rescue-") for name in workshop.volumes())


def test_power_verbs_keep_the_rescue_system(workshop: Any) -> None:
    vm = workshop.running()
    workshop.carry_out(rescued(workshop, vm))
    workshop.carry_out(workshop.ask("power_off", vm))
    workshop.fake.remove_domain(vm.pk)
    assert workshop.carry_out(workshop.ask("start", vm)).status == "succeeded"
    assert disks(workshop, vm)[0] == rescue_name(vm, "qcow2")


def test_one_that_was_off_stays_off_afterwards(workshop: Any) -> None:
    vm = workshop.running()
    workshop.carry_out(rescued(workshop, vm))
    workshop.carry_out(workshop.ask("power_off", vm))
    workshop.carry_out(vm_unrescue(actor=workshop.admin, vm_id=vm.pk).operation)
    vm.refresh_from_db()
    assert (workshop.power(vm), vm.desired_power) == ("shutoff", "off")


def test_delete_in_rescue_leaves_nothing(workshop: Any) -> None:
    vm = workshop.running()
    workshop.carry_out(rescued(workshop, vm))
    assert workshop.carry_out(workshop.ask("delete", vm)).status == "succeeded"
    assert workshop.volumes() == {f"img-{workshop.image.pk}.qcow2"}


@pytest.mark.parametrize("method", ["ensure_volume", "upload"])
def test_given_up_before_the_plug_is_pulled_it_runs_on_and_leaves_no_disk(workshop: Any, method: str) -> None:
    vm = workshop.running()
    operation = rescued(workshop, vm)
    workshop.fake.inject(Fault(action="reject", method=method))
    assert workshop.carry_out(operation).status == "failed"
    vm.refresh_from_db()
    assert (vm.rescued, workshop.power(vm)) == (False, "running")
    assert not any(name.startswith("rescue-") for name in workshop.volumes())


@pytest.mark.parametrize("method", ["ensure_defined", "ensure_running"])
def test_given_up_later_it_can_be_tried_again(workshop: Any, method: str) -> None:
    from apps.operations.services import operation_retry

    vm = workshop.running()
    operation = rescued(workshop, vm)
    workshop.fake.inject(Fault(action="reject", method=method))
    assert workshop.carry_out(operation).status == "failed"
    assert VM.objects.get(pk=vm.pk).rescued
    operation_retry(actor=workshop.admin, operation_id=operation.pk)
    assert workshop.carry_out(operation).status == "succeeded"
    assert disks(workshop, vm)[0] == rescue_name(vm, "qcow2")


@pytest.mark.parametrize("verb", [vm_rescue, vm_unrescue])
def test_run_again_from_the_top_it_ends_the_same(workshop: Any, verb: Any) -> None:
    vm = workshop.running()
    operation = rescued(workshop, vm)
    workshop.carry_out(operation)
    if verb is vm_unrescue:
        operation = vm_unrescue(actor=workshop.admin, vm_id=vm.pk).operation
        workshop.carry_out(operation)
    before = (disks(workshop, vm), workshop.volumes(), workshop.power(vm))
    Operation.objects.filter(pk=operation.pk).update(status="queued")
    assert workshop.carry_out(operation).status == "succeeded"
    assert (disks(workshop, vm), workshop.volumes(), workshop.power(vm)) == before


def test_a_cd_is_in_the_drive_until_it_is_taken_out(workshop: Any) -> None:
    from apps.storage.selectors import image_path

    image = workshop.image
    content = image_path(image).read_bytes()
    image.format, image.cloud_init, image.virtual_size_bytes = "iso", False, len(content)
    image.save()
    image_path(image).write_bytes(content)
    vm = workshop.running()
    spec = domain_spec(vm, workshop.host, vm.nics.get())
    assert spec.boot_order == ("cdrom", "hd")
    assert [disk.volume for disk in spec.disks] == [f"vol-{root_volume_id(vm)}.qcow2", f"img-{image.pk}.iso"]
    assert (spec.disks[0].backing, spec.disks[1].device) == (None, "cdrom")
    assert workshop.carry_out(vm_eject(actor=workshop.admin, vm_id=vm.pk).operation).status == "succeeded"
    vm = VM.objects.get(pk=vm.pk)
    assert (vm.cdrom, disks(workshop, vm)) == (None, [f"vol-{root_volume_id(vm)}.qcow2"])
    assert domain_spec(vm, workshop.host, vm.nics.get()).boot_order == ("hd",)


@pytest.fixture
def disc(image: Any, tmp_path: Any, own_state_dir: Any) -> Any:
    from apps.storage.services import image_register

    file = tmp_path / "setup.iso"
    file.write_bytes(bytes(0x8000) + b"\1CD001" + bytes(65536 - 0x8006))
    return image_register(name="setup", file=file, virtual_size_bytes=65536, image_format="iso", cloud_init=False)


def inserted(workshop: Any, vm: Any, **more: Any) -> Operation:
    return vm_insert(actor=workshop.admin, vm_id=vm.pk, image="setup", **more).operation


@pytest.mark.parametrize("devices", ["virtio", "compatible"])
def test_a_cd_goes_into_a_machine_that_has_a_seed_and_out_again(workshop: Any, disc: Any, devices: str) -> None:
    vm = workshop.running()
    VM.objects.update(devices=devices)
    own = disks(workshop, vm)
    assert workshop.carry_out(inserted(workshop, vm)).status == "succeeded"
    vm = VM.objects.get(pk=vm.pk)
    assert workshop.power(vm) == "running"
    spec = domain_spec(vm, workshop.host, vm.nics.get())
    drives = [disk.volume for disk in sorted(spec.disks, key=lambda disk: disk.target) if disk.device == "cdrom"]
    assert (drives[0], spec.boot_order) == (f"img-{disc.pk}.iso", ("cdrom", "hd"))
    assert disks(workshop, vm) == [*own, f"img-{disc.pk}.iso"]
    assert workshop.carry_out(vm_eject(actor=workshop.admin, vm_id=vm.pk).operation).status == "succeeded"
    assert disks(workshop, vm) == own


@pytest.mark.parametrize("boot", [False, True])
def test_insert_again_from_the_top_ends_the_same(workshop: Any, disc: Any, boot: bool) -> None:
    vm = workshop.running()
    workshop.carry_out(workshop.ask("power_off", vm))
    operation = inserted(workshop, vm, boot=boot)
    for _ in range(2):
        assert workshop.carry_out(operation).status == "succeeded"
        assert workshop.power(vm) == ("running" if boot else "shutoff")
        assert disks(workshop, vm).count(f"img-{disc.pk}.iso") == 1
        Operation.objects.filter(pk=operation.pk).update(status="queued")


def test_a_copy_stays_while_it_is_in_a_drive_or_under_a_rescue_system(workshop: Any, disc: Any, image: Any) -> None:
    from apps.storage.images import images_prune
    from apps.storage.models import ImageCopy, Volume

    vm = workshop.running()
    workshop.carry_out(inserted(workshop, vm))
    assert images_prune(actor=workshop.admin, older_than_days=0).operations == []
    workshop.carry_out(vm_eject(actor=workshop.admin, vm_id=vm.pk).operation)
    workshop.carry_out(rescued(workshop, vm))
    Volume.objects.update(image=None)
    VM.objects.update(image=None)
    [begun] = images_prune(actor=workshop.admin, older_than_days=0).operations
    assert begun.target_name == f"setup on {workshop.host.name}"
    assert workshop.carry_out(begun).status == "succeeded"
    assert [copy.image for copy in ImageCopy.objects.all()] == [image]


def test_data_volumes_stay_beside_a_rescue_system(workshop: Any) -> None:
    from apps.compute.models import VolumeAttachment
    from apps.storage.models import Volume

    vm = workshop.running()
    data = Volume.objects.create(kind="data", owner=workshop.admin, name="data", host=workshop.host, size_gib=1)
    VolumeAttachment.objects.create(volume=data, vm=vm, target="vdc", state="attached")
    vm = VM.objects.get(pk=vm.pk)
    vm.rescue_image = workshop.image
    vm.rescue_image.devices = "compatible"
    spec = domain_spec(vm, workshop.host, vm.nics.get())
    assert [(disk.target, disk.bus) for disk in spec.disks] == [(f"sd{letter}", "sata") for letter in "abkc"]
