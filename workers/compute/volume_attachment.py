"""Attaching and detaching data volumes. What the host says decides: a volume is free again only once the host was
seen without it, in the guest and in its definition."""

import uuid

from apps.compute.models import VM, AttachmentState, VolumeAttachment
from apps.compute.services.volume_attachment import attachment_create
from apps.errors import Conflict, NotFound, Unavailable
from apps.events.services import event_record
from apps.operations.models import Operation
from apps.storage.models import Volume, VolumePhase
from hypervisor.errors import HostUnreachable, HypervisorError
from hypervisor.interface import Hypervisor
from hypervisor.specs import DiskState
from workers.compute.domain import data_disk, domain_metadata
from workers.compute.target import host_of, take_over, vm_of
from workers.connections import hypervisor_for
from workers.engine import Postpone, Run
from workers.observations import now

LET_GO_SECONDS = 60.0
ASK_AGAIN_SECONDS = 2.0


def volume_attach(run: Run) -> None:
    """Into the definition and the running guest. A refusal of the host leaves the volume free again."""
    if (vm := vm_of(run)) is None:
        return
    host = host_of(vm)
    hypervisor = hypervisor_for(host)
    attachment = _taken(run, vm)
    take_over(run, vm)
    with run.step("attach", f"Attaching it as {attachment.target}", progress=30):
        with run.write():
            VolumeAttachment.objects.filter(pk=attachment.pk).update(sent=True)
        try:
            hypervisor.attach_disk(vm.pk, data_disk(attachment), domain_metadata(vm))
        except HostUnreachable:
            raise
        except HypervisorError:
            _undo(run, vm, attachment, hypervisor)
            raise
    with run.step("verify", "Looking whether it is there", progress=90):
        seen = _seen(hypervisor, vm.pk, attachment.volume)
    if seen is None or seen.target != attachment.target or not seen.defined:
        raise Unavailable("volume.not_there", f"{host.name} took {attachment.volume.name}, and does not show it.")
    with run.write():
        VolumeAttachment.objects.filter(pk=attachment.pk).update(state=AttachmentState.ATTACHED)
        _tell(run, attachment.volume, f"Attached to {vm.name} as {attachment.target}")


def _taken(run: Run, vm: VM) -> VolumeAttachment:
    """The row of the wish. One that a failure removed is written again, if the volume is still free."""
    volume = _volume(run)
    if volume is None:
        raise NotFound("volume.not_found", "The volume is gone.")
    known = VolumeAttachment.objects.select_related("volume", "vm").filter(volume=volume).first()
    if known is not None and known.vm_id == vm.pk:
        return known
    if known is not None or volume.phase != VolumePhase.READY or volume.host_id != vm.host_id:
        raise Conflict("volume.attached", f"{volume.name} is no longer free for {vm.name}.")
    with run.write():
        return attachment_create(volume=volume, vm=vm)


def _volume(run: Run) -> Volume | None:
    return Volume.objects.filter(pk=uuid.UUID(run.operation.params["volume"])).first()


def _undo(run: Run, vm: VM, attachment: VolumeAttachment, hypervisor: Hypervisor) -> None:
    """After a no: have it in neither place, and see that it is so; then, and only then, the volume is free."""
    gone = hypervisor.detach_disk(vm.pk, data_disk(attachment), domain_metadata(vm))
    if gone and _seen(hypervisor, vm.pk, attachment.volume) is None:
        with run.write():
            VolumeAttachment.objects.filter(pk=attachment.pk).delete()


def _seen(hypervisor: Hypervisor, vm_id: uuid.UUID, volume: Volume) -> DiskState | None:
    """The disk of a domain that is this volume's file."""
    ends = f"/{volume.volume_name}"
    return next((disk for disk in hypervisor.disks(vm_id) if disk.path.endswith(ends)), None)


def volume_attach_failed(operation: Operation, _message: str) -> None:
    """Where the host was never asked, the volume is free again. Otherwise it stays taken until it is detached:
    that is when the host is read."""
    VolumeAttachment.objects.filter(
        volume_id=operation.params["volume"], vm_id=operation.target_id, sent=False
    ).delete()


def volume_detach(run: Run) -> None:
    """Ask the guest to let go, wait in the queue, look, and only then free the volume."""
    if (vm := vm_of(run)) is None:
        return
    attachment = (
        VolumeAttachment.objects.select_related("volume", "vm")
        .filter(volume_id=run.operation.params["volume"], vm=vm)
        .first()
    )
    if attachment is None:
        return
    hypervisor = hypervisor_for(host_of(vm))
    asked = run.operation.state.get("asked_at")
    if asked is None:
        asked = now().timestamp()
        run.remember(asked_at=asked)
    take_over(run, vm)
    with run.step("detach", "Asking the guest to let go of it", progress=30):
        gone = hypervisor.detach_disk(vm.pk, data_disk(attachment), domain_metadata(vm))
    if not gone:
        _wait(now().timestamp() - float(asked), vm)
    with run.step("verify", "Looking whether it is gone", progress=90):
        seen = _seen(hypervisor, vm.pk, attachment.volume)
    if seen is not None:
        raise Unavailable("volume.still_there", f"It is still disk {seen.target} of {vm.name} on its host.")
    with run.write():
        VolumeAttachment.objects.filter(pk=attachment.pk).delete()
        _tell(run, attachment.volume, f"Detached from {vm.name}")


def _wait(waited: float, vm: VM) -> None:
    if waited < LET_GO_SECONDS:
        text = f"Waiting for the guest to let go of it ({int(waited)} of {int(LET_GO_SECONDS)} s)"
        raise Postpone(text, seconds=ASK_AGAIN_SECONDS)
    detail = f"The guest did not let go of it within {int(LET_GO_SECONDS)} s, so {vm.name} still has it."
    raise Unavailable("volume.held_by_guest", f"{detail} Unmount it inside, or power the machine off, and try again.")


def volume_detach_failed(operation: Operation, _message: str) -> None:
    """It was not seen to be gone, so it counts as attached."""
    VolumeAttachment.objects.filter(
        volume_id=operation.params["volume"], vm_id=operation.target_id, state=AttachmentState.DETACHING
    ).update(state=AttachmentState.ATTACHED)


def _tell(run: Run, volume: Volume, message: str) -> None:
    """The volume's own history; the operation's events are the VM's."""
    event_record(kind=run.kind, target_type="volume", target=volume, operation_id=run.operation.pk, message=message)
