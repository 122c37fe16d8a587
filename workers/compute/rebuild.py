"""A new root disk for a machine that stays who it is. The old disk goes only once the host has the new image."""

import uuid

from apps.compute.models import VM, Phase
from apps.errors import Unavailable
from apps.hosts.models import Host
from apps.operations.models import Operation
from apps.storage.models import Image, Volume
from hypervisor.interface import Hypervisor
from workers.compute.domain import (
    domain_spec,
    ensure_address,
    ensure_disks,
    ensure_image,
    remove_leftovers,
)
from workers.compute.target import host_of, record_power, take_over, vm_of
from workers.connections import hypervisor_for
from workers.engine import Run


def vm_rebuild(run: Run) -> None:
    """A worker that dies anywhere is followed by one that goes on; until the new disk is whole, it is made again."""
    if (vm := vm_of(run)) is None:
        return
    host = host_of(vm)
    hypervisor = hypervisor_for(host)
    take_over(run, vm)
    vm.image = _image(run)
    vm.firmware, vm.devices = run.operation.params["firmware"], run.operation.params["devices"]
    with run.step("image", f"Waiting for the image on {host.name}", progress=10):
        ensure_image(run, vm, host, hypervisor)
    if not run.operation.state.get("made"):
        _replace_disk(run, vm, host, hypervisor)
    with run.step("define", "Defining the machine", progress=65):
        hypervisor.ensure_defined(domain_spec(vm, host, ensure_address(run, vm, host)))
    if run.operation.params["start"]:
        with run.step("start", "Starting", progress=80):
            hypervisor.ensure_running(vm.pk)
    with run.step("verify", "Looking at it", progress=95):
        record_power(run, vm, hypervisor)
    with run.write():
        VM.objects.filter(pk=vm.pk, phase__in=[Phase.READY, Phase.ERROR]).update(phase=Phase.READY, reason="")


def _image(run: Run) -> Image:
    image = Image.objects.filter(pk=uuid.UUID(run.operation.params["image"])).first()
    if image is None:
        raise Unavailable("image.gone", "The image was deleted meanwhile.")
    return image


def _replace_disk(run: Run, vm: VM, host: Host, hypervisor: Hypervisor) -> None:
    """Off, forgotten with what libvirt kept of it (NVRAM, saved state), its files gone, then the new ones.

    From the first effect on it is not the machine that it was: what fails then leaves it in error, not ready.
    """
    run.remember(began=True)
    with run.step("stop", "Pulling the plug", progress=25):
        hypervisor.power_off(vm.pk)
        hypervisor.undefine(vm.pk)
    with run.step("destroy", "Destroying the old disk", progress=35):
        remove_leftovers(vm, hypervisor)
    with run.write():
        VM.objects.filter(pk=vm.pk).update(image=vm.image, firmware=vm.firmware, devices=vm.devices)
        Volume.objects.filter(vm=vm).update(image=vm.image)
    with run.step("disk", "Making the new disk", progress=50):
        ensure_disks(run, vm, host, hypervisor)
    run.remember(made=True)


def vm_rebuild_failed(operation: Operation, message: str) -> None:
    """Untouched it stays as it was. Else it has no whole disk: retry goes on, delete takes everything away."""
    if operation.state.get("began"):
        VM.objects.filter(pk=operation.target_id, phase__in=[Phase.READY, Phase.ERROR]).update(
            phase=Phase.ERROR, reason=f"Rebuilding failed: {message}"[:500]
        )
