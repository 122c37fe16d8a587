"""Wishing for a new root disk: the machine keeps who it is, and loses what it has written."""

import uuid
from dataclasses import asdict

from django.db import transaction

from apps.accounts.models import User
from apps.compute.models import VM, Power
from apps.compute.selectors.snapshot import vm_has_snapshots
from apps.compute.services.machine import Machine, machine_wanted
from apps.compute.services.wish import VMChange, act, locked, not_rescued, ready
from apps.errors import Conflict, refused
from apps.placement.features import host_lacks
from apps.storage.models import Firmware, Image
from apps.storage.selectors import image_wanted


@transaction.atomic
def vm_rebuild(*, actor: User, vm_id: uuid.UUID, image: str) -> VMChange:
    """Replace its root disk by one made from an image. Id, name, MAC, address, SSH keys and user-data stay.

    Firmware and kind of devices become those of the image.

    Raises ``Refused`` on ``image`` for one that does not fit, ``Conflict`` for a protected one or one with snapshots.
    """
    vm = not_rescued(ready(locked(actor=actor, vm_id=vm_id)))
    if vm.protected:
        raise Conflict("vm.protected", f"{vm.name} is protected. Take the protection off first.")
    if vm_has_snapshots(vm_id=vm.pk):
        raise Conflict("vm.has_snapshots", f"{vm.name} has snapshots, which would be lost. Delete them first.")
    source = image_wanted(actor=actor, reference=image)
    machine = machine_wanted(image=source, firmware=None, devices=None)
    _check_image(vm, source, machine)
    runs = vm.power in (Power.RUNNING, Power.PAUSED)
    first = f"pull the plug of {vm.name} and destroy its disk" if runs else f"destroy the disk of {vm.name}"
    then = [
        f"make a {vm.disk_gib} GiB disk from the image {source}",
        "keep its id, name, address, SSH keys and user-data",
        f"start {vm.name}" if runs else f"leave {vm.name} off",
    ]
    params: dict[str, object] = {"image": str(source.pk), "start": runs, **asdict(machine)}
    kind = "vm.rebuild"
    return act(vm=vm, actor=actor, kind=kind, change=first, then=tuple(then), params=params, reversible=False)


def _check_image(vm: VM, image: Image, machine: Machine) -> None:
    if image.is_iso:
        raise refused("image", "rebuild.image", f"{image.name} is a CD, not a disk. Insert it instead.")
    if image.min_disk_gib > vm.disk_gib:
        need = f"{image.name} needs a disk of {image.min_disk_gib} GiB; {vm.name} has {vm.disk_gib}."
        raise refused("image", "vm.disk_too_small", need)
    if image.min_memory_mib > vm.memory_mib:
        need = f"{image.name} needs {image.min_memory_mib} MiB of memory; {vm.name} has {vm.memory_mib}."
        raise refused("image", "vm.memory_too_small", need)
    if vm.image and image.architecture != vm.image.architecture:
        differs = f"{image.name} is for {image.architecture}, {vm.name} for {vm.image.architecture}."
        raise refused("image", "vm.other_architecture", differs)
    if machine.firmware == Firmware.UEFI and vm.host and image.architecture not in vm.host.uefi:
        raise refused("image", "vm.no_uefi", f"{image.name} needs UEFI firmware, which the host of {vm.name} lacks.")
    if vm.host and (lacks := host_lacks(host=vm.host, cpu_features=image.cpu_features)):
        raise refused("image", "vm.cpu_features", f"{image.name} cannot run where {vm.name} is: {lacks}.")
    if vm.user_data and not image.cloud_init:
        raise refused("image", "user_data.no_cloud_init", f"{image.name} has no cloud-init to read the user-data.")
