"""Booting a VM from something else: a rescue system with its own disk beside it, or a CD; and back."""

import uuid

from django.db import transaction

from apps.accounts.models import User
from apps.compute.models import VM, DesiredPower, Power
from apps.compute.services.wish import VMChange, act, locked, not_rescued, ready
from apps.errors import Conflict, refused
from apps.storage.models import Firmware, Image
from apps.storage.selectors import image_wanted

ON = (Power.RUNNING, Power.PAUSED, Power.UNKNOWN)


@transaction.atomic
def vm_rescue(*, actor: User, vm_id: uuid.UUID, image: str | None = None) -> VMChange:
    """Boot it from a fresh disk of an image (its own one unless another is named), its own disk beside it.

    What runs is stopped without being asked. Raises ``Refused`` on ``image`` for one that does not fit.
    """
    vm = not_rescued(ready(locked(actor=actor, vm_id=vm_id), may_be_missing=True))
    system = _system(actor, vm, image)
    change = f"pull the plug of {vm.name} if it runs, and boot it from a fresh disk of {system.name}"
    params: dict[str, object] = {"image": str(system.pk)}
    return act(vm=vm, actor=actor, kind="vm.rescue", change=change, wish=DesiredPower.ON, params=params)


def _system(actor: User, vm: VM, reference: str | None) -> Image:
    image = image_wanted(actor=actor, reference=reference) if reference else vm.image
    if image is None or (image.is_iso and not reference):
        raise refused("image", "rescue.image_needed", f"{vm.name} has no image of its own to boot from. Name one.")
    if image.is_iso:
        raise refused("image", "rescue.image", f"{image.name} is a CD, not a disk. Insert it instead.")
    _check_architecture(vm, image)
    if image.firmware == Firmware.UEFI and vm.firmware != Firmware.UEFI:
        raise refused("image", "rescue.firmware", f"{image.name} needs UEFI firmware; {vm.name} has a BIOS.")
    if image.min_memory_mib > vm.memory_mib:
        need = f"{image.name} needs {image.min_memory_mib} MiB of memory; {vm.name} has {vm.memory_mib}."
        raise refused("image", "vm.memory_too_small", need)
    return image


def _check_architecture(vm: VM, image: Image) -> None:
    if image.architecture != vm.architecture:
        differs = f"{image.name} is for {image.architecture}, {vm.name} for {vm.architecture}."
        raise refused("image", "vm.other_architecture", differs)


@transaction.atomic
def vm_unrescue(*, actor: User, vm_id: uuid.UUID) -> VMChange:
    """Back to its own disk; the rescue system's one is destroyed. It is started if the rescue system ran."""
    vm = ready(locked(actor=actor, vm_id=vm_id), may_be_missing=True)
    if not vm.rescued:
        raise Conflict("vm.not_rescued", f"{vm.name} is not booted from a rescue system.")
    start = vm.power in ON
    change = f"stop the rescue system of {vm.name}, destroy its disk" + (", boot from its own" if start else "")
    wish = DesiredPower.ON if start else DesiredPower.OFF
    return act(vm=vm, actor=actor, kind="vm.unrescue", change=change, wish=wish, params={"start": start})


@transaction.atomic
def vm_insert(*, actor: User, vm_id: uuid.UUID, image: str, boot: bool = False) -> VMChange:
    """Put a CD into its drive, from which it boots when it is next switched on; at once with ``boot``.

    Raises ``Refused`` on ``image`` for one that is no CD, ``Conflict`` while there is another one in the drive.
    """
    vm = not_rescued(ready(locked(actor=actor, vm_id=vm_id)))
    if vm.cdrom is not None:
        raise Conflict("vm.has_cdrom", f"The CD {vm.cdrom.name} is in {vm.name}. Eject it first.")
    disc = image_wanted(actor=actor, reference=image)
    if not disc.is_iso:
        raise refused("image", "cdrom.image", f"{disc.name} is a disk, not a CD.")
    _check_architecture(vm, disc)
    off = vm.power not in ON
    first = f"put the CD {disc.name} into {vm.name}"
    then = "it boots from it when it is next switched on"
    if boot:
        then = f"boot {vm.name} from it" if off else f"pull the plug of {vm.name}, and boot it from the CD"
    return act(
        vm=vm,
        actor=actor,
        kind="vm.insert",
        change=first,
        then=(then,),
        wish=DesiredPower.ON if boot else None,
        params={"image": str(disc.pk), "boot": boot},
        restart_needed=not off and not boot,
    )


@transaction.atomic
def vm_eject(*, actor: User, vm_id: uuid.UUID) -> VMChange:
    """Take the CD out of its drive; from then on it boots from its disk."""
    vm = not_rescued(ready(locked(actor=actor, vm_id=vm_id)))
    if vm.cdrom is None:
        raise Conflict("vm.no_cdrom", f"There is no CD in {vm.name}.")
    return act(vm=vm, actor=actor, kind="vm.eject", change=f"take the CD {vm.cdrom.name} out of {vm.name}")
