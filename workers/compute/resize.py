"""Giving a machine another size: claim first, then the host, then our record, then the claim exactly.

The memory is asked for before vCPUs are plugged in: the first can be taken back, the second cannot while it runs.
"""

from dataclasses import replace

from apps.compute.growth import Numbers, needs_stop
from apps.compute.models import VM
from apps.compute.selectors.vm import numbers_of
from apps.errors import AppError, Conflict, Refused, Unavailable
from apps.hosts.capacity import capacity_resize
from apps.hosts.models import Host
from apps.operations.models import Operation
from apps.storage.models import Volume
from hypervisor.errors import NotFound, Rejected, StaleFence
from hypervisor.interface import Hypervisor
from hypervisor.specs import DomainSpec, DomainState, Power, VolumeSpec
from workers.compute.domain import GIB, domain_spec, ensure_address
from workers.compute.target import host_of, record_power, take_over, vm_of
from workers.connections import hypervisor_for
from workers.engine import Cancelled, Postpone, Run
from workers.observations import now

BALLOON_SECONDS = 30.0
POLL_SECONDS = 1.0
_UP = (Power.RUNNING, Power.PAUSED)


def vm_resize(run: Run) -> None:
    """What the host says no to, and what is cancelled, is taken back as far as it can be."""
    if (vm := vm_of(run)) is None:
        return
    host = host_of(vm)
    hypervisor = hypervisor_for(host)
    new = Numbers(**run.operation.params["numbers"])
    take_over(run, vm)
    try:
        with run.step("look", "Looking at the machine", progress=5):
            seen = _seen(vm, hypervisor)
        _check(vm, seen, new)
        with run.step("claim", "Claiming the room", progress=15):
            _claim(run, vm, seen, new)
        _grow_disk(run, vm, host, hypervisor, new)
        _set_numbers(run, vm, host, hypervisor, new)
    except StaleFence:
        raise
    except (Rejected, AppError, Cancelled):
        _take_back(run, vm, host, hypervisor)
        raise
    _record(run, vm, new)
    record_power(run, vm, hypervisor)


def _seen(vm: VM, hypervisor: Hypervisor) -> DomainState:
    seen = hypervisor.domain(vm.pk)
    if seen is None:
        raise NotFound(f"{vm.name} is not defined on its host")
    return seen


def _check(vm: VM, seen: DomainState, new: Numbers) -> None:
    """It may have been started or stopped beside us since the wish was accepted."""
    if seen.power in _UP:
        reasons = needs_stop(numbers_of(vm), new, paused=seen.power is Power.PAUSED)
        if reasons:
            told = "; ".join(f"{field}: {reason}" for field, reason in reasons.items())
            raise Conflict("vm.resize_needs_stop", f"{vm.name} runs, and has to be off for this ({told}).")


def _claim(run: Run, vm: VM, seen: DomainState, new: Numbers) -> None:
    """The larger of what it has and what it shall have, in one transaction with the note that we did so.

    Where the host already differs from our record, an earlier attempt got there: then giving back has to wait
    until the host has been put right.
    """
    claim = replace(
        vm.demand,
        vcpus=max(vm.vcpus, new.vcpus),
        memory_mib=max(vm.most_memory_mib, new.most_memory_mib),
        disk_gib=max(vm.disk_gib, new.disk_gib),
    )
    defined = (seen.vcpus, seen.memory_mib, seen.max_memory_mib)
    as_recorded = defined == (vm.vcpus, vm.memory_mib, vm.most_memory_mib) and seen.live_vcpus in (None, vm.vcpus)
    with run.write():
        if not capacity_resize(consumer_id=vm.pk, demand=claim):
            raise Refused("vm.no_room", "Its host has no room for that any more.")
        run.remember(claimed=True, **({} if as_recorded else {"touched": True}))


def _grow_disk(run: Run, vm: VM, host: Host, hypervisor: Hypervisor, new: Numbers) -> None:
    if new.disk_gib <= vm.disk_gib:
        return
    root = _spec(run, vm, host).disks[0]
    run.remember(touched=True)
    with run.step("disk", f"Growing the disk to {new.disk_gib} GiB", progress=35):
        if not hypervisor.grow_disk(vm.pk, root, new.disk_gib * GIB):
            size = new.disk_gib * GIB
            spec = VolumeSpec(
                pool=root.pool, name=root.volume, capacity_bytes=size, format="qcow2", backing=root.backing
            )
            hypervisor.ensure_volume(spec)
    with run.write():
        VM.objects.filter(pk=vm.pk).update(disk_gib=new.disk_gib, size=None)
        Volume.objects.filter(vm=vm).update(size_gib=new.disk_gib)
    vm.disk_gib = new.disk_gib


def _set_numbers(run: Run, vm: VM, host: Host, hypervisor: Hypervisor, new: Numbers) -> None:
    """The definition, then the guest if it runs: its memory, and once that is there its vCPUs."""
    run.remember(touched=True)
    old_vcpus = vm.vcpus
    for field, value in new.as_params().items():
        setattr(vm, field, value)
    with run.step("define", "Changing the definition", progress=55):
        hypervisor.ensure_defined(_spec(run, vm, host))
    with run.step("memory", "Asking the guest for its memory", progress=70):
        live = _seen(vm, hypervisor).live_vcpus
        if live is not None:
            hypervisor.set_live_size(vm.pk, vcpus=max(live, old_vcpus), memory_mib=new.memory_mib)
    _wait_for_memory(run, vm, hypervisor)
    with run.step("vcpus", "Plugging in vCPUs", progress=90):
        hypervisor.set_live_size(vm.pk, vcpus=new.vcpus, memory_mib=new.memory_mib)


def _wait_for_memory(run: Run, vm: VM, hypervisor: Hypervisor) -> None:
    seen = _seen(vm, hypervisor)
    if seen.live_memory_mib in (None, vm.memory_mib):
        return
    asked = run.operation.state.get("asked_at")
    if asked is None:
        asked = now().timestamp()
        run.remember(asked_at=asked)
    if now().timestamp() - float(asked) > BALLOON_SECONDS:
        raise Unavailable(
            "vm.memory_not_taken",
            f"The guest has {seen.live_memory_mib} MiB and did not go to {vm.memory_mib} MiB within"
            f" {int(BALLOON_SECONDS)} s. It needs the virtio balloon driver, and enough free memory to give some back.",
        )
    raise Postpone(f"Waiting for the guest's memory ({seen.live_memory_mib} MiB now)", seconds=POLL_SECONDS)


def _spec(run: Run, vm: VM, host: Host) -> DomainSpec:
    return domain_spec(vm, host, ensure_address(run, vm, host))


def _record(run: Run, vm: VM, new: Numbers) -> None:
    """Our record says what the host has, and the claim is exactly that."""
    with run.write():
        VM.objects.filter(pk=vm.pk).update(**new.as_params(), size=run.operation.params["size"])
        vm.refresh_from_db()
        capacity_resize(consumer_id=vm.pk, demand=vm.demand)


def _take_back(run: Run, vm: VM, host: Host, hypervisor: Hypervisor) -> None:
    """The host as our record says, then the claim too. A disk that grew and a vCPU that is plugged in stay."""
    if not run.operation.state.get("claimed"):
        return
    vm.refresh_from_db()
    if run.operation.state.get("touched") and (seen := hypervisor.domain(vm.pk)) is not None:
        vm.vcpus = max(vm.vcpus, seen.live_vcpus or 0)
        hypervisor.ensure_defined(_spec(run, vm, host))
        hypervisor.set_live_size(vm.pk, vcpus=vm.vcpus, memory_mib=vm.memory_mib)
    with run.write():
        VM.objects.filter(pk=vm.pk).update(vcpus=vm.vcpus)
        capacity_resize(consumer_id=vm.pk, demand=vm.demand)
        run.remember(claimed=False, touched=False)


def vm_resize_failed(operation: Operation, _message: str) -> None:
    """Give the claim back, unless what the host did is not known: then the larger one stays until a retry."""
    vm = VM.objects.filter(pk=operation.target_id).first()
    if vm is not None and operation.state.get("claimed") and not operation.state.get("touched"):
        capacity_resize(consumer_id=vm.pk, demand=vm.demand)
