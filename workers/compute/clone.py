"""Cloning a VM: its disk is copied by an operation of the origin's, for which the clone's own one waits."""

import uuid

from apps.compute.models import VM
from apps.compute.services.clone import vm_copy as copy_request
from apps.errors import Conflict, Unavailable
from apps.operations.models import ACTIVE, Operation, Status
from apps.storage.services import volume_record
from hypervisor.interface import Hypervisor
from hypervisor.specs import Power, VolumeSpec
from workers.compute.domain import GIB, ensure_seed, root_disk, root_volume_id
from workers.compute.target import host_of, take_over, vm_of
from workers.compute.vm import build, claim_place
from workers.connections import hypervisor_for
from workers.engine import Cancelled, Postpone, Run
from workers.hosts import names

POLL_SECONDS = 1.0


def vm_clone(run: Run) -> None:
    """Claim, wait for the copy, then what every new VM gets: address, seed, definition, start."""
    if (vm := vm_of(run)) is None:
        return
    host = claim_place(run, vm)
    hypervisor = hypervisor_for(host)
    take_over(run, vm)
    if vm.root_volume is None:
        _wait_for_copy(run)
        with run.write():
            volume = volume_record(volume_id=root_volume_id(vm), host=host, image=vm.image, size_gib=vm.disk_gib)
            VM.objects.filter(pk=vm.pk).update(root_volume=volume)
    if vm.image is not None and vm.image.cloud_init:
        with run.step("seed", "Writing the seed", progress=60):
            ensure_seed(vm, hypervisor)
    build(run, vm, host, hypervisor)


def _wait_for_copy(run: Run) -> None:
    """Return once the disk is copied; after a retry the copy is asked for again."""
    copy = Operation.objects.filter(kind="vm.copy", params__for=str(run.operation.pk)).order_by("-created_at").first()
    ended = copy is None or copy.status in (Status.FAILED, Status.CANCELLED)
    if copy is None or (ended and not run.operation.state.get("waits")):
        copy = _ask_again(run)
    if copy.status == Status.SUCCEEDED:
        return
    if copy.status not in ACTIVE:
        raise Unavailable("clone.not_copied", f"The disk was not copied: {copy.error_message or copy.status}")
    moved = copy.progress != run.operation.state.get("copied")
    run.remember(waits=True, copied=copy.progress)
    with run.step("copy", f"Copying the disk of {copy.target_name}", progress=10 + (copy.progress or 0) // 2):
        raise Postpone(copy.step or "Waiting for the copy to begin", seconds=POLL_SECONDS, renew=moved)


def _ask_again(run: Run) -> Operation:
    origin = VM.objects.select_related("host").filter(pk=run.operation.params["origin"]).first()
    if origin is None:
        raise Conflict("clone.origin_gone", "The VM that was to be cloned is gone.")
    with run.write():
        return copy_request(origin=origin, clone=run.operation, actor=None)


def vm_copy(run: Run) -> None:
    """Copy the root disk of a VM that is off into that of its clone; stop when nobody waits for it any more."""
    if (vm := vm_of(run)) is None:
        return
    hypervisor = hypervisor_for(host_of(vm))
    clone = VM(pk=uuid.UUID(run.operation.params["clone"]))
    target = f"vol-{root_volume_id(clone)}.qcow2"
    if not _is_wanted(run):
        hypervisor.stop_copy(names(), target)
        raise Cancelled
    seen = hypervisor.domain(vm.pk)
    if seen is not None and seen.power in (Power.RUNNING, Power.PAUSED):
        raise Conflict("clone.needs_stop", f"{vm.name} has to be off to be cloned. It was started meanwhile.")
    text = f"Copying the disk of {vm.name}"
    with run.step("copy", text, progress=run.operation.progress):
        done, percent = _look(vm, target, hypervisor)
    if not done:
        moved = percent != run.operation.progress
        with run.write():
            Operation.objects.filter(pk=run.operation.pk).update(progress=percent)
        raise Postpone(f"{text}: {percent} %", seconds=POLL_SECONDS, renew=moved)


def _look(vm: VM, target: str, hypervisor: Hypervisor) -> tuple[bool, int]:
    source = root_disk(vm)
    spec = VolumeSpec(
        pool=names(), name=target, capacity_bytes=vm.disk_gib * GIB, format="qcow2", backing=source.backing
    )
    found = hypervisor.copy_volume(source=source, target=spec)
    percent = found.copied_bytes * 100 // found.total_bytes if found.total_bytes else 0
    return found.done, min(99, percent)


def _is_wanted(run: Run) -> bool:
    """Whether it was not asked to stop, and the clone that it is for still waits."""
    if Operation.objects.filter(pk=run.operation.pk, cancel_requested=True).exists():
        return False
    return Operation.objects.filter(pk=run.operation.params["for"], status__in=ACTIVE, cancel_requested=False).exists()
