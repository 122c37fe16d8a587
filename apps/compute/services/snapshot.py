"""Writing snapshots on the side of people: create, revert, delete.

The operation's target is the VM, so that nothing else happens to it meanwhile.
"""

import uuid
from dataclasses import dataclass

from django.conf import settings
from django.db import IntegrityError, transaction

from apps.accounts.models import User
from apps.compute.models import VM, DesiredPower, Power, Schedule, Snapshot, SnapshotPhase
from apps.compute.selectors.snapshot import snapshot_for, snapshots_surplus
from apps.compute.services.wish import locked, not_rescued, ready
from apps.envelope.mutation import Plan
from apps.errors import Conflict, refused
from apps.hosts.capacity import Demand, capacity_resize
from apps.names import valid_name
from apps.operations.models import Operation
from apps.operations.services import operation_create
from apps.storage.models import Firmware


@dataclass(frozen=True, kw_only=True)
class SnapshotChange:
    """A snapshot after the wish was written, the operation that carries it out, and the plan."""

    snapshot: Snapshot
    operation: Operation
    plan: Plan


@transaction.atomic
def snapshot_create(
    *, actor: User, vm_id: uuid.UUID, name: str, memory: bool | None = None, schedule: Schedule | None = None
) -> SnapshotChange:
    """Wish for a snapshot: with the memory of a VM that is on, without it of one that is off."""
    valid_name("name", name)
    vm = not_rescued(ready(locked(actor=actor, vm_id=vm_id)))
    _check_room(vm, leaving=_leaving(schedule))
    up = _is_up(vm)
    if memory is not None and memory != up:
        raise _other_power(vm, up)
    if up and vm.firmware == Firmware.UEFI:
        detail = f"libvirt keeps the memory of no VM with UEFI. Stop {vm.name} for a snapshot of its disks."
        raise refused("memory", "snapshot.uefi", detail)
    snapshot_id = uuid.uuid4()
    snapshot = Snapshot(
        id=snapshot_id,
        vm=vm,
        name=name,
        schedule=schedule,
        host_name=f"cs-{snapshot_id}",
        memory=up,
        power=vm.power,
        vcpus=vm.vcpus,
        memory_mib=vm.memory_mib,
        max_vcpus=vm.vcpus,
        max_memory_mib=vm.memory_mib,
        disk_gib=vm.disk_gib,
    )
    try:
        with transaction.atomic():
            snapshot.save(force_insert=True)
    except IntegrityError as error:
        raise refused("name", "snapshot.name_taken", f"{vm.name} already has a snapshot named {name!r}.") from error
    changes = [f"write the state of the disks of {vm.name} into its disk file"]
    if up:
        changes.append(f"write its {vm.memory_mib} MiB memory there, too; {vm.name} stands still meanwhile")
    return _act(snapshot=snapshot, vm=vm, actor=actor, kind="snapshot.create", changes=changes)


def _leaving(schedule: Schedule | None) -> int:
    """How many go once its next one is there. At most as many as a VM may have, however many failed in a row."""
    if schedule is None or schedule.keep is None:
        return 0
    return min(len(snapshots_surplus(schedule_id=schedule.pk, keep=schedule.keep - 1)), settings.SNAPSHOTS_PER_VM)


def _check_room(vm: VM, *, leaving: int) -> None:
    """Raises ``Conflict``: too many, or of a kind with which ours do not mix."""
    most: int = settings.SNAPSHOTS_PER_VM
    held = vm.snapshots.count()
    if held - leaving >= most:
        raise Conflict("snapshot.limit", f"{vm.name} has {held} snapshots; {most} is the most. Delete one first.")
    external = vm.snapshots.filter(external=True).first()
    if external is not None:
        detail = f"Somebody made {external.name!r} in files beside the disk of {vm.name}; the two kinds do not mix."
        raise Conflict("snapshot.external_exists", detail)


def _is_up(vm: VM) -> bool:
    if vm.power == Power.UNKNOWN:
        raise Conflict("vm.power_unknown", f"Whether {vm.name} is on or off is not known now.")
    return vm.power in (Power.RUNNING, Power.PAUSED)


def _other_power(vm: VM, up: bool) -> Exception:
    if up:
        detail = f"{vm.name} is on: its snapshot holds the memory, too. Stop it for one of the disks alone."
        return refused("memory", "snapshot.needs_stop", detail)
    return refused("memory", "snapshot.needs_running", f"{vm.name} is off: it has no memory to keep.")


@transaction.atomic
def snapshot_revert(*, actor: User, snapshot_id: uuid.UUID) -> SnapshotChange:
    """Wish the VM back. What it then takes is claimed here; the wish for power follows the snapshot's."""
    snapshot, vm = _ready_snapshot(actor=actor, snapshot_id=snapshot_id, verb="reverted to")
    if snapshot.phase != SnapshotPhase.READY:
        raise Conflict("snapshot.not_ready", f"{snapshot.name} is not complete ({snapshot.phase}).")
    disk_gib = snapshot.disk_gib or vm.disk_gib
    most = Demand(
        vcpus=max(vm.vcpus, snapshot.vcpus),
        memory_mib=max(vm.most_memory_mib, snapshot.max_memory_mib),
        disk_gib=max(vm.disk_gib, disk_gib),
    )
    if not capacity_resize(consumer_id=vm.pk, demand=most):
        detail = (
            f"The host of {vm.name} has no room for it as it was: {snapshot.vcpus} vCPU,"
            f" {snapshot.max_memory_mib} MiB memory, {disk_gib} GiB disk."
        )
        raise Conflict("snapshot.no_room", detail)
    wish = DesiredPower.ON if snapshot.is_up else DesiredPower.OFF
    VM.objects.filter(pk=vm.pk).update(desired_power=wish)
    changes = [
        f"go back to {snapshot.name}: everything that {vm.name} wrote to its disks since is lost",
        _power_change(snapshot),
        _size_change("number of vCPUs", vm.vcpus, snapshot.vcpus),
        _size_change("memory", vm.memory_mib, snapshot.memory_mib, " MiB"),
        _size_change("disk", vm.disk_gib, disk_gib, " GiB"),
    ]
    return _act(snapshot=snapshot, vm=vm, actor=actor, kind="snapshot.revert", changes=changes, reversible=False)


def _power_change(snapshot: Snapshot) -> str:
    if snapshot.power == Power.RUNNING:
        return "it runs on where it was then, without a boot"
    return "it is paused, as it was then" if snapshot.is_up else "it is off, as it was then"


def _size_change(what: str, now: int, then: int, unit: str = "") -> str:
    return f"{what} stays {now}{unit}" if now == then else f"{what} {now}{unit} -> {then}{unit}"


@transaction.atomic
def snapshot_delete(*, actor: User, snapshot_id: uuid.UUID) -> SnapshotChange:
    """Wish it gone. The VM stays as it is; what was taken after it keeps its place."""
    snapshot, vm = _ready_snapshot(actor=actor, snapshot_id=snapshot_id, verb="deleted")
    Snapshot.objects.filter(pk=snapshot.pk).update(phase=SnapshotPhase.DELETING)
    snapshot.phase = SnapshotPhase.DELETING
    below = snapshot.children.count()
    changes = [f"delete the snapshot {snapshot.name}: {vm.name} cannot go back to it any more"]
    if below:
        above = snapshot.parent.name if snapshot.parent else "the root"
        changes.append(f"move what was taken after it ({below}) below {above}")
    changes.append(f"{vm.name} stays as it is: {vm.vcpus} vCPU, {vm.memory_mib} MiB memory, {vm.disk_gib} GiB disk")
    return _act(snapshot=snapshot, vm=vm, actor=actor, kind="snapshot.delete", changes=changes, reversible=False)


def _ready_snapshot(*, actor: User, snapshot_id: uuid.UUID, verb: str) -> tuple[Snapshot, VM]:
    """The snapshot and its VM as they are under the VM's lock."""
    vm = not_rescued(ready(locked(actor=actor, vm_id=snapshot_for(actor=actor, snapshot_id=snapshot_id).vm_id)))
    snapshot = snapshot_for(actor=actor, snapshot_id=snapshot_id)
    if snapshot.foreign:
        detail = f"{snapshot.name!r} was made on the host, not here. It can be {verb} there, with virsh."
        raise Conflict("snapshot.foreign", detail)
    return snapshot, vm


def _act(
    *, snapshot: Snapshot, vm: VM, actor: User, kind: str, changes: list[str], reversible: bool = True
) -> SnapshotChange:
    params = {"snapshot": str(snapshot.pk), "name": snapshot.name}
    operation = operation_create(kind=kind, target_type="vm", target=vm, actor=actor, params=params, host_id=vm.host_id)
    host = vm.host.name if vm.host and actor.is_admin else None
    plan = Plan(host=host, changes=tuple(changes), reversible=reversible)
    return SnapshotChange(snapshot=snapshot, operation=operation, plan=plan)
