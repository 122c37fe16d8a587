"""Snapshots on a host. The host may need longer for one than a claim may last, and nothing can shorten it: it is
started in one claim and looked at in later ones, and found by its name whoever started it.
"""

import contextlib
import uuid

from django.db.models import QuerySet

from apps.compute.models import VM, DesiredPower, Power, Size, Snapshot, SnapshotPhase
from apps.compute.selectors.snapshot import snapshots_surplus
from apps.errors import Conflict, Unavailable
from apps.events.services import event_record
from apps.hosts.capacity import Demand, capacity_resize
from apps.operations.models import Operation
from apps.storage.models import Volume
from hypervisor.errors import HypervisorError, NotFound, Rejected
from hypervisor.interface import Hypervisor
from hypervisor.specs import DomainState, PoolSpec, SnapshotSpec, SnapshotState
from workers.compute.domain import GIB, domain_spec, ensure_address, root_volume_id
from workers.compute.snapshot_seen import snapshots_observed
from workers.compute.target import host_of, record_power, take_over, vm_of
from workers.connections import hypervisor_for
from workers.engine import Postpone, Run
from workers.hosts import POOL_ROOT, names
from workers.observations import now

POLL_SECONDS = 2.0
WAIT_SECONDS = 5.0
MOST_TRIES = 3
SPARE_BYTES = 256 * 2**20
MEMORY_SHARE = 1.05  # QEMU writes the devices and its own records beside the guest's memory
_UP = (Power.RUNNING, Power.PAUSED)


def snapshot_create(run: Run) -> None:
    """Write it, or go on waiting for it. A daemon that died over it leaves the guest standing and a piece in the
    disk that only QEMU knows: both are put right before the next try.
    """
    found = _target(run)
    if found is None:
        return
    vm, snapshot = found
    hypervisor = hypervisor_for(host_of(vm))
    seen = _seen(hypervisor, vm, snapshot)
    if seen is not None and not seen.complete:
        raise _still_writing()
    if seen is None:
        if run.operation.state.get("tries"):
            with run.step("clear", "Looking what is left of the last try", progress=15):
                _clear(run, vm, snapshot, hypervisor)
        _check_guest(vm, snapshot, hypervisor)
        _try_again(run, vm)
        take_over(run, vm)
        with run.step("write", "Writing the snapshot", progress=30):
            _write(run, vm, snapshot, hypervisor)
    with run.step("record", "Looking at the snapshots", progress=95):
        _let_run_on(run, vm, hypervisor)
        _record(run, vm, hypervisor)
        record_power(run, vm, hypervisor)
    _thin(run, vm, snapshot, hypervisor)


def _thin(run: Run, vm: VM, snapshot: Snapshot, hypervisor: Hypervisor) -> None:
    """Delete what its schedule does not keep, only now that the new one is there. One in each claim: it may last."""
    schedule = snapshot.schedule
    if schedule is None or schedule.keep is None:
        return
    surplus = snapshots_surplus(schedule_id=schedule.pk, keep=schedule.keep)
    if not surplus:
        return
    oldest = surplus[0]
    take_over(run, vm)
    with run.step("thin", f"Deleting {oldest.name}, which its schedule does not keep", progress=96):
        with run.write():
            _mark_surplus(run, vm, oldest, keep=schedule.keep)
        done = hypervisor.remove_snapshot(vm.pk, oldest.host_name)
    if not done:
        raise Postpone("The host is deleting an older snapshot", seconds=POLL_SECONDS)
    with run.step("forget", "Looking at the snapshots", progress=98):
        _record(run, vm, hypervisor, gone=oldest)
    if len(surplus) > 1:
        raise Postpone("There are more snapshots to delete", seconds=0, renew=True)


def _mark_surplus(run: Run, vm: VM, snapshot: Snapshot, *, keep: int) -> None:
    other = Snapshot.objects.filter(pk=snapshot.pk).exclude(phase=SnapshotPhase.DELETING)
    if other.update(phase=SnapshotPhase.DELETING):
        message = f"The snapshot {snapshot.name} goes: its schedule keeps {keep} and has newer ones"
        event_record(
            kind="snapshot.surplus", target_type="vm", target=vm, operation_id=run.operation.pk, message=message
        )


def _write(run: Run, vm: VM, snapshot: Snapshot, hypervisor: Hypervisor) -> None:
    spec = SnapshotSpec(name=snapshot.host_name, memory=snapshot.memory)
    try:
        done = hypervisor.create_snapshot(vm.pk, spec, seconds=WAIT_SECONDS)
    except Rejected:
        with contextlib.suppress(HypervisorError):
            _clear(run, vm, snapshot, hypervisor)
        raise
    if not done:
        raise _still_writing()


def _still_writing() -> Postpone:
    return Postpone("The host is writing the snapshot", seconds=POLL_SECONDS, renew=True)


def _clear(run: Run, vm: VM, snapshot: Snapshot, hypervisor: Hypervisor) -> None:
    if not hypervisor.remove_snapshot(vm.pk, snapshot.host_name):
        raise _still_writing()
    _let_run_on(run, vm, hypervisor)


def _let_run_on(run: Run, vm: VM, hypervisor: Hypervisor) -> None:
    """A guest that ran before we began runs again: libvirtd, killed at it, wakes up and leaves it paused."""
    seen = hypervisor.domain(vm.pk)
    if run.operation.state.get("ran") and seen is not None and seen.power.value == Power.PAUSED:
        hypervisor.set_paused(vm.pk, paused=False)


def _check_guest(vm: VM, snapshot: Snapshot, hypervisor: Hypervisor) -> None:
    """As it was when the wish was written, and with room for its memory in the pool."""
    seen = hypervisor.domain(vm.pk)
    if seen is None:
        raise NotFound(f"{vm.name} is not defined on its host")
    if (seen.power.value in _UP) != snapshot.memory:
        raise Conflict("snapshot.power_changed", f"{vm.name} was switched on or off before its snapshot was begun.")
    if snapshot.memory:
        hypervisor.volumes(names())  # libvirt knows how much is free only since it last looked
        free = hypervisor.ensure_pool(PoolSpec(name=names(), path=f"{POOL_ROOT}/{names()}")).available_bytes
        needed = int(snapshot.memory_mib * 2**20 * MEMORY_SHARE) + SPARE_BYTES
        if free < needed:
            detail = f"The pool has {free // 2**20} MiB free; the memory of {vm.name} may need {needed // 2**20}."
            raise Unavailable("snapshot.no_space", detail)


def _try_again(run: Run, vm: VM) -> None:
    """Remember the intent. What the host refuses late, after nobody waited any more, is only in its log."""
    tries = int(run.operation.state.get("tries", 0))
    if tries >= MOST_TRIES:
        raise Unavailable("snapshot.not_done", f"The host began {tries} times and did not finish; its log may say why.")
    ran = run.operation.state.get("ran", vm.power == Power.RUNNING)
    run.remember(tries=tries + 1, ran=ran)


def snapshot_create_failed(operation: Operation, message: str) -> None:
    """It stays visible with the reason; retry tries again, delete takes away whatever there is."""
    _of(operation).filter(phase=SnapshotPhase.CREATING).update(phase=SnapshotPhase.ERROR, reason=message[:500])
    _of(operation).filter(phase=SnapshotPhase.ERROR).update(reason=message[:500])
    beside = Snapshot.objects.filter(schedule__snapshots=operation.params["snapshot"])
    Snapshot.objects.filter(pk__in=beside, phase=SnapshotPhase.DELETING).update(phase=SnapshotPhase.READY)


def snapshot_delete(run: Run) -> None:
    """Remove it on the host, then the row."""
    found = _target(run)
    if found is None:
        return
    vm, snapshot = found
    hypervisor = hypervisor_for(host_of(vm))
    take_over(run, vm)
    with run.step("remove", "Deleting the snapshot", progress=20):
        done = hypervisor.remove_snapshot(vm.pk, snapshot.host_name)
    if not done:
        raise Postpone("The host is deleting the snapshot", seconds=POLL_SECONDS)
    with run.step("forget", "Looking at the snapshots", progress=90):
        _record(run, vm, hypervisor, gone=snapshot)


def snapshot_delete_failed(operation: Operation, _message: str) -> None:
    """It is still there, or the next look at the host finds that it is not."""
    _of(operation).filter(phase=SnapshotPhase.DELETING).update(phase=SnapshotPhase.READY)


def snapshot_revert(run: Run) -> None:
    """Revert, then let the row follow. Reverting twice ends as reverting once; when in doubt it is done again."""
    found = _target(run)
    if found is None:
        return
    vm, snapshot = found
    hypervisor = hypervisor_for(host_of(vm))
    if not run.operation.state.get("done"):
        _revert(run, vm, snapshot, hypervisor)
        run.remember(done=True)
    with run.step("follow", "Looking what it is now", progress=80):
        _follow(run, vm, hypervisor)
        _record(run, vm, hypervisor)
    with run.step("define", "Marking it as ours", progress=90):
        _mark(run, vm, hypervisor)


def _revert(run: Run, vm: VM, snapshot: Snapshot, hypervisor: Hypervisor) -> None:
    domain, seen = hypervisor.domain(vm.pk), _seen(hypervisor, vm, snapshot)
    if domain is None:
        raise NotFound(f"{vm.name} is not defined on its host")
    if seen is None or not seen.complete:
        raise Conflict("snapshot.gone", f"The host of {vm.name} does not have the snapshot {snapshot.name} any more.")
    state = run.operation.state
    if state.get("sent"):
        if domain.reason == "starting-up":
            run.remember(watched=True)
            raise _still_reverting()
        if _is_reverted(domain, seen) and (state.get("watched") or not state.get("doubtful")):
            return
    _check_devices(vm, domain, seen)
    take_over(run, vm)
    _try_again(run, vm)
    run.remember(doubtful=_is_reverted(domain, seen))
    with run.step("revert", "Going back to the snapshot", progress=30):
        try:
            done = hypervisor.revert_snapshot(vm.pk, snapshot.host_name, seconds=WAIT_SECONDS)
        except Rejected:
            with contextlib.suppress(HypervisorError):
                _follow(run, vm, hypervisor)
            raise
    if not done:
        run.remember(sent=True)
        raise _still_reverting()


def _still_reverting() -> Postpone:
    return Postpone("The host is going back to the snapshot", seconds=POLL_SECONDS, renew=True)


def _is_reverted(domain: DomainState, seen: SnapshotState) -> bool:
    """It looks as it does after a revert, this one or an earlier one."""
    return seen.current and domain.reason == "from-snapshot" and domain.power == seen.power


def _check_devices(vm: VM, domain: DomainState, seen: SnapshotState) -> None:
    """A revert brings back every device, and rolls back every disk: one that is somebody else's now must not be."""
    for what, have, had in (("disks", domain.disk_paths, seen.disk_paths), ("network cards", domain.macs, seen.macs)):
        if set(have) != set(had):
            taken = ", ".join(sorted(_short(set(had) - set(have)))) or "none"
            added = ", ".join(sorted(_short(set(have) - set(had)))) or "none"
            detail = f"The {what} of {vm.name} changed since: removed {taken}, added {added}. Put that back first."
            raise Conflict("snapshot.devices_differ", detail)


def _short(names_of: set[str]) -> set[str]:
    return {name.rsplit("/", 1)[-1] for name in names_of}


def _follow(run: Run, vm: VM, hypervisor: Hypervisor) -> None:
    """Row, disk and claim become what the host has now."""
    read_at = now()
    domain, volume = hypervisor.domain(vm.pk), hypervisor.volume(names(), f"vol-{root_volume_id(vm)}.qcow2")
    if domain is None or volume is None:
        raise NotFound(f"{vm.name} is not defined on its host")
    disk_gib = -(-volume.capacity_bytes // GIB)
    most = max(domain.memory_mib, domain.max_memory_mib)
    demand = Demand(vcpus=domain.vcpus, memory_mib=most, disk_gib=disk_gib)
    size = Size.objects.filter(vcpus=demand.vcpus, memory_mib=domain.memory_mib, disk_gib=disk_gib).first()
    up = domain.power.value in _UP
    with run.write():
        VM.objects.filter(pk=vm.pk).update(
            vcpus=demand.vcpus,
            memory_mib=domain.memory_mib,
            max_vcpus=domain.max_vcpus if domain.max_vcpus > domain.vcpus else None,
            max_memory_mib=most if most > domain.memory_mib else None,
            disk_gib=disk_gib,
            size=size,
            power=domain.power.value,
            desired_power=DesiredPower.ON if up else DesiredPower.OFF,
            missing=False,
            observed_at=read_at,
        )
        Volume.objects.filter(pk=root_volume_id(vm)).update(size_gib=disk_gib)
        capacity_resize(consumer_id=vm.pk, demand=demand)


def _mark(run: Run, vm: VM, hypervisor: Hypervisor) -> None:
    """The definition came back with the title and the fence of then."""
    vm.refresh_from_db()
    take_over(run, vm)
    hypervisor.ensure_defined(domain_spec(vm, host_of(vm), ensure_address(run, vm, host_of(vm))))


def snapshot_revert_failed(operation: Operation, _message: str) -> None:
    """Wish and claim are again what the VM is, as it was last seen. One that may still be reverted keeps its room."""
    vm = VM.objects.filter(pk=operation.target_id).first()
    if vm is None:
        return
    if vm.power != Power.UNKNOWN:
        VM.objects.filter(pk=vm.pk).update(desired_power=DesiredPower.ON if vm.power in _UP else DesiredPower.OFF)
    if not operation.state.get("sent"):
        capacity_resize(consumer_id=vm.pk, demand=vm.demand)


def _target(run: Run) -> tuple[VM, Snapshot] | None:
    """The VM and the snapshot; None when both are gone."""
    vm, snapshot = vm_of(run), _of(run.operation).first()
    return (vm, snapshot) if vm is not None and snapshot is not None else None


def _of(operation: Operation) -> QuerySet[Snapshot]:
    return Snapshot.objects.filter(pk=uuid.UUID(operation.params["snapshot"]))


def _seen(hypervisor: Hypervisor, vm: VM, snapshot: Snapshot) -> SnapshotState | None:
    states = hypervisor.snapshots([vm.pk]).get(vm.pk, [])
    return next((state for state in states if state.name == snapshot.host_name), None)


def _record(run: Run, vm: VM, hypervisor: Hypervisor, *, gone: Snapshot | None = None) -> None:
    read_at = now()
    states = hypervisor.snapshots([vm.pk]).get(vm.pk, [])
    with run.write():
        if gone is not None:
            Snapshot.objects.filter(pk=gone.pk).delete()
        snapshots_observed(vm_id=vm.pk, seen=states, read_at=read_at)
