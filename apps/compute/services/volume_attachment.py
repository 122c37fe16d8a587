"""Attaching data volumes to VMs, and taking them off again.

The operation is about the VM, because it changes its definition: whatever else happens to the VM waits. The row of
the attachment is written with the wish, and its volume can be in one row only: that is what makes one of two
parallel attaches win.
"""

import uuid
from dataclasses import dataclass

from django.db import IntegrityError, transaction

from apps.accounts.models import User
from apps.compute.models import VM, AttachmentState, Phase, Power, VolumeAttachment
from apps.compute.models.volume_attachment import LETTERS
from apps.compute.selectors.vm import vm_for
from apps.compute.selectors.volume import attachment_of, vm_of_owner, volume_for
from apps.compute.services.volume import check_no_snapshots, volume_ready
from apps.compute.services.wish import not_rescued, ready
from apps.envelope.mutation import Plan
from apps.errors import Conflict, refused
from apps.events.services import event_record
from apps.operations.models import Operation
from apps.operations.selectors import operation_active
from apps.operations.services import operation_create
from apps.storage.models import Devices, Volume


@dataclass(frozen=True, kw_only=True)
class AttachmentChange:
    """A volume and a VM after the wish was written, the operation that carries it out, and the plan."""

    volume: Volume
    vm: VM
    operation: Operation
    plan: Plan


@transaction.atomic
def volume_attach(*, actor: User, volume_id: uuid.UUID, vm: str) -> AttachmentChange:
    """Give a volume to a VM on the same host; a running guest sees it at once. Raises ``Refused``, ``Conflict``."""
    volume = volume_for(actor=actor, volume_id=volume_id, lock=True)
    assert volume.owner is not None  # noqa: S101  # volume_of_data_is_owned
    wanted = vm_of_owner(actor=actor, owner=volume.owner, reference=vm)
    machine = vm_for(actor=actor, vm_id=wanted.pk, lock=True)
    _check_free(volume_ready(volume))
    ready(machine)
    _check_plugs(machine)
    if machine.host_id != volume.host_id:
        here, there = (thing.host.name if thing.host else "no host" for thing in (volume, machine))
        detail = f"{volume.name} is on {here}, {machine.name} on {there}: a volume goes to a VM on its own host."
        raise refused("vm", "volume.other_host", detail)
    target = attachment_create(volume=volume, vm=machine).target
    operation = _operation("volume.attach", actor, volume, machine)
    running = " and show it to the running guest" if machine.power in ("running", "paused") else ""
    change = f"put {volume.name} into {machine.name} as disk {target}{running}"
    return AttachmentChange(volume=volume, vm=machine, operation=operation, plan=_plan(actor, machine, change))


def _check_free(volume: Volume) -> None:
    held = attachment_of(volume)
    if held is not None:
        detail = f"{volume.name} is attached to {held.vm.name}, or on its way. Detach it there first."
        raise Conflict("volume.attached", detail, vm=str(held.vm_id))
    busy = operation_active(target_id=volume.pk)
    if busy is not None:
        detail = f"{volume.name} is busy: {busy.kind} is {busy.status}. Wait for it or cancel it."
        raise Conflict("operation.in_the_way", detail, operation=str(busy.pk))


def _check_plugs(vm: VM) -> None:
    """SATA disks are plugged in and out with the machine off: QEMU has no hot-plug for them."""
    not_rescued(vm)
    check_no_snapshots(vm)
    if vm.devices == Devices.COMPATIBLE and vm.power in (Power.RUNNING, Power.PAUSED):
        detail = (
            f"{vm.name} has devices without virtio, whose disks cannot be changed while it runs. Shut it down first."
        )
        raise Conflict("volume.needs_stop", detail)


def attachment_create(*, volume: Volume, vm: VM) -> VolumeAttachment:
    """Take the volume for the VM, under the first disk name that is free. Raises ``Conflict``."""
    taken = set(vm.attachments.values_list("target", flat=True))
    prefix = "sd" if vm.devices == Devices.COMPATIBLE else "vd"
    target = next((name for letter in LETTERS if (name := prefix + letter) not in taken), None)
    if target is None:
        raise Conflict("volume.too_many", f"{vm.name} has {len(LETTERS)} volumes; no more fit.")
    try:
        with transaction.atomic():
            return VolumeAttachment.objects.create(volume=volume, vm=vm, target=target)
    except IntegrityError as error:
        raise Conflict("volume.attached", f"{volume.name} was just attached by somebody else.") from error


@transaction.atomic
def volume_detach(*, actor: User, volume_id: uuid.UUID) -> AttachmentChange:
    """Take a volume off its VM; the guest has to let go of it. Raises ``Conflict`` when no VM has it.

    Also off one in the trash: what is on it is kept, and another VM may need it now.
    """
    volume = volume_for(actor=actor, volume_id=volume_id, lock=True)
    attachment = attachment_of(volume)
    if attachment is None:
        raise Conflict("volume.not_attached", f"{volume.name} is attached to no virtual machine.")
    vm = vm_for(actor=actor, vm_id=attachment.vm_id, lock=True)
    if vm.phase in (Phase.CREATING, Phase.DELETING):
        raise Conflict("vm.not_ready", f"{vm.name} is {vm.phase}.")
    _check_plugs(vm)
    VolumeAttachment.objects.filter(pk=attachment.pk).update(state=AttachmentState.DETACHING)
    operation = _operation("volume.detach", actor, volume, vm)
    change = f"take {volume.name} (disk {attachment.target}) off {vm.name}; unmount it inside first"
    return AttachmentChange(volume=volume, vm=vm, operation=operation, plan=_plan(actor, vm, change))


def _operation(kind: str, actor: User, volume: Volume, vm: VM) -> Operation:
    """The VM's operation, and the volume's history of it."""
    operation = operation_create(
        kind=kind,
        target_type="vm",
        target=vm,
        actor=actor,
        params={"volume": str(volume.pk), "volume_name": volume.name},
        host_id=vm.host_id,
    )
    event_record(
        kind=kind,
        target_type="volume",
        target=volume,
        actor=actor,
        operation_id=operation.pk,
        message=f"{kind} was requested, with {vm.name}",
    )
    return operation


def _plan(actor: User, vm: VM, change: str) -> Plan:
    return Plan(host=vm.host.name if vm.host and actor.is_admin else None, changes=(change,))
