"""What operations on data volumes do. Every handler starts at the top and may run any number of times."""

import uuid

from django.db import transaction

from apps.compute.models import VM, VolumeAttachment
from apps.errors import Refused, Unavailable
from apps.hosts.capacity import capacity_release, capacity_resize, disk_demand
from apps.hosts.models import AllocationKind, Host
from apps.operations import timeouts
from apps.operations.claims import host_has_a_slot
from apps.operations.models import Operation
from apps.placement.services import HostsAway, disk_wish, placement_claim
from apps.storage.models import Volume, VolumePhase
from hypervisor.errors import HostUnreachable, HypervisorError
from hypervisor.interface import Hypervisor
from hypervisor.specs import VolumeSpec
from workers.compute.domain import GIB, data_disk, root_disk
from workers.compute.target import host_of, vm_of
from workers.connections import hypervisor_for
from workers.engine import Postpone, Run
from workers.hosts import names


def volume_of(run: Run) -> Volume | None:
    return Volume.objects.select_related("host", "owner").filter(pk=run.operation.target_id).first()


def volume_spec(volume: Volume, size_gib: int) -> VolumeSpec:
    return VolumeSpec(pool=names(), name=volume.volume_name, capacity_bytes=size_gib * GIB, format="qcow2")


def volume_create(run: Run) -> None:
    """Claim disk on a host, then make the file."""
    if (volume := volume_of(run)) is None:
        return
    with run.step("place", "Choosing a host", progress=10):
        try:
            host = _place(run, volume)
        except HostsAway as error:
            raise Postpone(error.detail, seconds=timeouts.back_off(3)) from error
    hypervisor = hypervisor_for(host)
    with run.step("disk", f"Making the disk on {host.name}", progress=50, host_id=host.pk):
        hypervisor.ensure_volume(volume_spec(volume, volume.size_gib))
    with run.write():
        made = Volume.objects.filter(pk=volume.pk, phase__in=[VolumePhase.CREATING, VolumePhase.ERROR])
        made.update(phase=VolumePhase.READY, reason="")


def _place(run: Run, volume: Volume) -> Host:
    """Claim room, and know the host, in one transaction with the proof that the operation is still ours.

    A host that was asked for and does not answer is waited for. From then on one of the host's slots is needed,
    which a claim that knew no host could not ask for.
    """
    wanted, known = run.operation.params.get("host"), run.operation.host_id
    away = Host.objects.filter(pk=wanted).first() if wanted else None
    if away is not None and not away.is_up:
        hypervisor_for(away)
    with run.write():
        host = placement_claim(
            consumer_id=volume.pk,
            consumer_name=volume.name,
            owner_id=volume.owner_id,
            wish=disk_wish(size_gib=volume.size_gib, host_id=uuid.UUID(wanted) if wanted else None),
            kind=AllocationKind.VOLUME,
        )
        Volume.objects.filter(pk=volume.pk).update(host=host)
        Operation.objects.filter(pk=run.operation.pk).update(host_id=host.pk)
        run.operation.host_id = host.pk
        its_turn = known is not None or host_has_a_slot(host_id=host.pk, operation_id=run.operation.pk)
    if not its_turn:
        raise Postpone(f"Waiting for its turn on {host.name}", seconds=0)
    return host


def volume_create_failed(operation: Operation, message: str) -> None:
    """It stays visible with the reason; retry goes on, delete takes everything away."""
    failed = Volume.objects.filter(pk=operation.target_id, phase__in=[VolumePhase.CREATING, VolumePhase.ERROR])
    failed.update(phase=VolumePhase.ERROR, reason=message[:500])


def volume_delete(run: Run) -> None:
    """Take the file away, then its claim and the row. The wish was refused while a VM had it."""
    if (volume := volume_of(run)) is None:
        return
    if volume.host is not None:
        hypervisor = hypervisor_for(volume.host)
        with run.step("disk", "Deleting the disk", progress=30):
            hypervisor.remove_volume(names(), volume.volume_name)
            if hypervisor.volume(names(), volume.volume_name) is not None:
                raise Unavailable("volume.still_there", f"{volume.host.name} still has the file of {volume.name}.")
    with run.step("forget", "Giving back its claim", progress=90), run.write(), transaction.atomic():
        capacity_release(consumer_id=volume.pk)
        Volume.objects.filter(pk=volume.pk).delete()


def volume_delete_failed(operation: Operation, message: str) -> None:
    """What could not be taken away stays visible and can be deleted again."""
    failed = Volume.objects.filter(pk=operation.target_id, phase__in=[VolumePhase.DELETING, VolumePhase.ERROR])
    failed.update(phase=VolumePhase.ERROR, reason=f"Deleting failed: {message}"[:500])


def volume_resize(run: Run) -> None:
    """Claim the difference, then grow: under the running guest if one has it, else the file itself.

    ``growing`` says that the host may have grown it: until it was read again, the larger claim is kept.
    """
    if (volume := volume_of(run)) is None or volume.host is None:
        return
    wanted = int(run.operation.params["size_gib"])
    hypervisor = hypervisor_for(volume.host)
    with run.step("grow", f"Growing it to {wanted} GiB", progress=30):
        with run.write():
            if not capacity_resize(consumer_id=volume.pk, demand=disk_demand(wanted)):
                detail = f"{volume.host.name} has no room for {wanted - volume.size_gib} GiB more."
                raise Refused("placement.no_host_fits", detail)
            Volume.objects.filter(pk=volume.pk).update(growing=True)
        try:
            _grow(volume, wanted, hypervisor)
        except HostUnreachable:
            raise
        except HypervisorError:
            _settle(run, volume, hypervisor)
            raise
    if _settle(run, volume, hypervisor) < wanted:
        raise Unavailable("volume.not_grown", f"{volume.host.name} says it was grown, and it was not.")


def _grow(volume: Volume, size_gib: int, hypervisor: Hypervisor) -> None:
    attachment = VolumeAttachment.objects.filter(volume=volume).select_related("volume", "vm").first()
    if attachment is not None and hypervisor.grow_disk(attachment.vm_id, data_disk(attachment), size_gib * GIB):
        return
    hypervisor.ensure_volume(volume_spec(volume, size_gib))


def _settle(run: Run, volume: Volume, hypervisor: Hypervisor) -> int:
    """Record the size that the host has, and claim so much. The size in GiB."""
    seen = hypervisor.volume(names(), volume.volume_name)
    size_gib = max(volume.size_gib, -(-seen.capacity_bytes // GIB)) if seen else volume.size_gib
    with run.write():
        Volume.objects.filter(pk=volume.pk).update(size_gib=size_gib, growing=False)
        capacity_resize(consumer_id=volume.pk, demand=disk_demand(size_gib))
    return size_gib


def volume_resize_failed(operation: Operation, _message: str) -> None:
    """Where the host was not asked, the difference is given back."""
    volume = Volume.objects.filter(pk=operation.target_id, growing=False).first()
    if volume is not None:
        capacity_resize(consumer_id=volume.pk, demand=disk_demand(volume.size_gib))


def volume_limit(run: Run) -> None:
    """Have the limits of our record hold for the VM that has it. One that is free gets them when it is attached."""
    if (volume := volume_of(run)) is None or volume.host is None:
        return
    attachment = VolumeAttachment.objects.filter(volume=volume).select_related("volume", "vm").first()
    if attachment is None:
        return
    hypervisor = hypervisor_for(volume.host)
    with run.step("limit", "Setting the limits", progress=40):
        hypervisor.limit_disk(attachment.vm_id, data_disk(attachment))


def vm_io_limits(run: Run) -> None:
    """The same for the root disk of a VM."""
    vm: VM | None = vm_of(run)
    if vm is None:
        return
    hypervisor = hypervisor_for(host_of(vm))
    with run.step("limit", "Setting the limits", progress=40):
        hypervisor.limit_disk(vm.pk, root_disk(vm))
