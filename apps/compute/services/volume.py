"""Writing data volumes on the side of people: create, rename, limit, grow, delete.

An operation on a volume is about the volume; attaching and detaching are about the VM (``volume_attachment``).
"""

import uuid
from dataclasses import dataclass

from django.db import IntegrityError, transaction

from apps.accounts.models import User
from apps.compute.models import VM, AttachmentState
from apps.compute.selectors.vm import vm_for
from apps.compute.selectors.volume import attachment_of, vm_of_owner, volume_for
from apps.compute.services.wish import not_rescued, ready
from apps.envelope.mutation import Plan
from apps.errors import Conflict, refused
from apps.events.services import event_record
from apps.hosts.models import Host
from apps.hosts.selectors import host_wanted
from apps.names import valid_name
from apps.operations.models import Operation
from apps.operations.services import operation_create
from apps.placement.services import disk_wish, placement_preview
from apps.storage.models import Volume, VolumeKind, VolumePhase

MOST_GIB = 64 * 1024
MOST_IOPS = 10_000_000
MOST_MIB_S = 100_000


@dataclass(frozen=True, kw_only=True)
class VolumeChange:
    """A volume after the wish was written, the operation that carries it out if one is needed, and the plan."""

    volume: Volume
    operation: Operation | None
    plan: Plan


@transaction.atomic
def volume_create(
    *,
    actor: User,
    name: str,
    size_gib: int,
    host: str | None = None,
    vm: str | None = None,
    iops: int = 0,
    bandwidth_mib_s: int = 0,
) -> VolumeChange:
    """Wish for an empty disk: on a host, on the host of a VM, or where the most disk is free.

    Raises ``Refused`` naming the field.
    """
    valid_name("name", name)
    _check_range("size_gib", size_gib, 1, MOST_GIB)
    limits = _limits(iops, bandwidth_mib_s)
    place = _place(actor, host, vm)
    decision = placement_preview(wish=disk_wish(size_gib=size_gib, host_id=place.pk if place else None))
    volume = Volume(
        kind=VolumeKind.DATA, owner=actor, name=name, size_gib=size_gib, phase=VolumePhase.CREATING, **limits
    )
    try:
        with transaction.atomic():
            volume.save(force_insert=True)
    except IntegrityError as error:
        raise _name_taken(name) from error
    params = {"host": str(place.pk)} if place else {}
    operation = operation_create(kind="volume.create", target_type="volume", target=volume, actor=actor, params=params)
    likely = place or Host.objects.get(pk=decision.best.id)
    where = likely.name if actor.is_admin else "a host"
    changes = (f"claim {size_gib} GiB of disk on {where}", f"make an empty disk of {size_gib} GiB for {name}")
    return VolumeChange(volume=volume, operation=operation, plan=_plan(actor, likely, changes))


def _place(actor: User, host: str | None, vm: str | None) -> Host | None:
    if host is not None and vm is not None:
        raise refused("host", "volume.host_and_vm", "Give a host, or a VM whose host is meant; not both.")
    if host is not None:
        return host_wanted(actor=actor, reference=host)
    if vm is None:
        return None
    found = vm_of_owner(actor=actor, owner=actor, reference=vm)
    if found.host is None:
        raise refused("vm", "vm.no_host", f"{found.name} is on no host yet.")
    return found.host


def _plan(actor: User, host: Host | None, changes: tuple[str, ...], *, reversible: bool = True) -> Plan:
    return Plan(host=host.name if host and actor.is_admin else None, changes=changes, reversible=reversible)


def _check_range(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise refused(field, "volume.out_of_range", f"{field} lies between {least} and {most}.")


def _limits(iops: int | None, bandwidth_mib_s: int | None) -> dict[str, int]:
    """The limits that were given, checked; 0 is no limit."""
    given = {"iops": (iops, MOST_IOPS), "bandwidth_mib_s": (bandwidth_mib_s, MOST_MIB_S)}
    for field, (value, most) in given.items():
        if value is not None:
            _check_range(field, value, 0, most)
    return {field: value for field, (value, _most) in given.items() if value is not None}


def _name_taken(name: str) -> Exception:
    return refused("name", "volume.name_taken", f"There is already a volume named {name!r}.")


def volume_ready(volume: Volume) -> Volume:
    """The volume itself. Raises ``Conflict`` while it is being made or deleted, or after that failed."""
    if volume.phase != VolumePhase.READY:
        why = {"creating": "it is still being created", "deleting": "it is being deleted"}.get(volume.phase)
        why = why or f"it is broken ({volume.reason}); retry its operation or delete it"
        raise Conflict("volume.not_ready", f"{volume.name}: {why}.")
    return volume


def check_no_snapshots(vm: VM) -> None:
    """A revert brings back the disks and sizes that a machine had, so they stay as long as it could happen."""
    if vm.snapshots.exists():
        detail = f"{vm.name} has snapshots, and a revert needs its disks as they were. Delete the snapshots first."
        raise Conflict("volume.snapshots", detail)


@transaction.atomic
def volume_update(
    *,
    actor: User,
    volume_id: uuid.UUID,
    name: str | None = None,
    iops: int | None = None,
    bandwidth_mib_s: int | None = None,
) -> VolumeChange:
    """Rename it, and limit it: a VM that has it is told by an operation, live where it runs."""
    volume = volume_for(actor=actor, volume_id=volume_id, lock=True)
    limits = {
        field: value for field, value in _limits(iops, bandwidth_mib_s).items() if value != getattr(volume, field)
    }
    changes = [_rename(volume, name)] if name is not None and name != volume.name else []
    changes += [f"limit {field} to {value or 'nothing'}" for field, value in limits.items()]
    for field, value in limits.items():
        setattr(volume, field, value)
    if not changes:
        return VolumeChange(volume=volume, operation=None, plan=Plan(changes=("change nothing",)))
    volume.save(update_fields=["name", "iops", "bandwidth_mib_s"])
    plan = _plan(actor, volume.host, tuple(changes))
    attachment = attachment_of(volume)
    if limits and attachment is not None:
        operation = operation_create(
            kind="volume.limit", target_type="volume", target=volume, actor=actor, host_id=volume.host_id
        )
        return VolumeChange(volume=volume, operation=operation, plan=plan)
    message = f"Changed: {', '.join(changes)}"
    event_record(kind="volume.update", target_type="volume", target=volume, actor=actor, message=message)
    return VolumeChange(volume=volume, operation=None, plan=plan)


def _rename(volume: Volume, name: str) -> str:
    valid_name("name", name)
    if Volume.objects.filter(kind=VolumeKind.DATA, owner=volume.owner, name=name).exclude(pk=volume.pk).exists():
        raise _name_taken(name)
    volume.name = name
    return f"rename to {name}"


@transaction.atomic
def volume_resize(*, actor: User, volume_id: uuid.UUID, size_gib: int) -> VolumeChange:
    """Grow it, attached or not; the guest sees it at once. A disk never shrinks: that would cut off its end."""
    volume = volume_ready(volume_for(actor=actor, volume_id=volume_id, lock=True))
    _check_range("size_gib", size_gib, 1, MOST_GIB)
    if size_gib <= volume.size_gib:
        detail = f"{volume.name} has {volume.size_gib} GiB; a volume only grows."
        raise refused("size_gib", "volume.only_grows", detail)
    attachment = attachment_of(volume)
    if attachment is not None and attachment.state != AttachmentState.ATTACHED:
        raise Conflict("volume.busy", f"{volume.name} is being attached or detached. Try again after that.")
    if attachment is not None:
        check_no_snapshots(not_rescued(attachment.vm))
    more = size_gib - volume.size_gib
    host = volume.host
    if host is not None and host.disk_claimed_gib + more > host.disk_limit_gib:
        raise refused("size_gib", "placement.no_host_fits", f"Its host has no room for {more} GiB more.")
    operation = operation_create(
        kind="volume.resize",
        target_type="volume",
        target=volume,
        actor=actor,
        params={"size_gib": size_gib},
        host_id=volume.host_id,
    )
    changes = [f"claim {more} GiB more of disk", f"grow {volume.name} from {volume.size_gib} to {size_gib} GiB"]
    if attachment is not None:
        changes.append(f"show {attachment.vm.name} the new size; its file system is grown from inside")
    plan = _plan(actor, host, tuple(changes), reversible=False)
    return VolumeChange(volume=volume, operation=operation, plan=plan)


@transaction.atomic
def volume_delete(*, actor: User, volume_id: uuid.UUID) -> VolumeChange:
    """Delete it with everything on it. Raises ``Conflict`` while a VM has it, or may still have it."""
    volume = volume_for(actor=actor, volume_id=volume_id, lock=True)
    attachment = attachment_of(volume)
    if attachment is not None:
        detail = f"{volume.name} is attached to {attachment.vm.name}. Detach it first."
        raise Conflict("volume.attached", detail, vm=str(attachment.vm_id))
    Volume.objects.filter(pk=volume.pk).update(phase=VolumePhase.DELETING)
    volume.phase = VolumePhase.DELETING
    operation = operation_create(
        kind="volume.delete", target_type="volume", target=volume, actor=actor, host_id=volume.host_id, deletes=True
    )
    changes = (f"delete {volume.name} of {volume.size_gib} GiB and everything on it", "give back its claim")
    return VolumeChange(volume=volume, operation=operation, plan=_plan(actor, volume.host, changes, reversible=False))


@dataclass(frozen=True, kw_only=True)
class LimitsChange:
    """The root disk of a VM after the wish for its limits was written."""

    vm: VM
    operation: Operation
    plan: Plan


@transaction.atomic
def vm_io_limits(
    *, actor: User, vm_id: uuid.UUID, iops: int | None = None, bandwidth_mib_s: int | None = None
) -> LimitsChange:
    """Limit the root disk of a VM, at once where it runs; what is not given stays, 0 is no limit."""
    vm = not_rescued(vm_for(actor=actor, vm_id=vm_id, lock=True))
    limits = _limits(iops, bandwidth_mib_s)
    if not limits:
        raise refused("iops", "volume.no_limits", "Give iops, bandwidth_mib_s or both; 0 takes a limit away.")
    ready(vm, may_be_missing=True)
    if vm.root_volume_id is None:
        raise Conflict("vm.not_ready", f"{vm.name} has no disk yet.")
    Volume.objects.filter(pk=vm.root_volume_id).update(**limits)
    operation = operation_create(
        kind="vm.io-limits", target_type="vm", target=vm, actor=actor, params=limits, host_id=vm.host_id
    )
    changes = tuple(
        f"limit {field} of the disk of {vm.name} to {value or 'nothing'}" for field, value in limits.items()
    )
    return LimitsChange(vm=vm, operation=operation, plan=_plan(actor, vm.host, changes))
