"""Booting from a rescue system and back; putting a CD in and taking it out."""

import uuid
from contextlib import suppress

from apps.accounts.models import SSHKey
from apps.compute.models import VM
from apps.errors import AppError, Unavailable
from apps.hosts.models import Host
from apps.storage.models import Image
from hypervisor.errors import HypervisorError, Rejected
from hypervisor.interface import Hypervisor
from hypervisor.seed import build_seed
from hypervisor.specs import VolumeSpec
from workers.cloud_init import rescue_meta_data, vendor_data
from workers.compute.domain import (
    GIB,
    backing_of,
    cd_name,
    domain_spec,
    ensure_address,
    ensure_copy,
    put_iso,
    rescue_name,
)
from workers.compute.target import host_of, record_power, take_over, vm_of
from workers.connections import hypervisor_for
from workers.engine import Cancelled, Run
from workers.hosts import names
from workers.images import copy_hold


def vm_rescue(run: Run) -> None:
    """A fresh disk first, while the VM still runs; then off, defined anew, on. Given up before that, the disk goes."""
    if (vm := vm_of(run)) is None:
        return
    host = host_of(vm)
    hypervisor = hypervisor_for(host)
    take_over(run, vm)
    if not vm.rescued:
        try:
            system = _prepare(run, vm, host, hypervisor)
        except (AppError, Rejected, Cancelled):
            with suppress(HypervisorError):
                remove_rescue_disks(vm, hypervisor)
            raise
        with run.step("stop", "Pulling the plug", progress=60):
            hypervisor.power_off(vm.pk)
        with run.write():
            copy_hold(system, host)
            VM.objects.filter(pk=vm.pk).update(rescue_image=system)
        vm.rescue_image = system
    _boot(run, vm, host, hypervisor, start=True)


def _prepare(run: Run, vm: VM, host: Host, hypervisor: Hypervisor) -> Image:
    """The rescue system's disk and seed. What an earlier one left is removed once, at the beginning."""
    image = _image(run)
    with run.step("image", f"Waiting for the image on {host.name}", progress=10):
        ensure_copy(run, image, host, hypervisor)
    with run.step("disk", "Making the rescue system's disk", progress=40):
        if not run.operation.state.get("fresh"):
            remove_rescue_disks(vm, hypervisor)
            run.remember(fresh=True)
        hypervisor.ensure_volume(
            VolumeSpec(
                pool=names(),
                name=rescue_name(vm, "qcow2"),
                capacity_bytes=image.min_disk_gib * GIB,
                format="qcow2",
                backing=backing_of(image),
            )
        )
        if image.cloud_init:
            keys = list(SSHKey.objects.filter(owner=vm.owner).values_list("public_key", flat=True))
            seed = build_seed(meta_data=rescue_meta_data(vm, keys), vendor_data=vendor_data(vm))
            put_iso(rescue_name(vm, "iso"), seed, hypervisor)
    return image


def _image(run: Run) -> Image:
    image = Image.objects.filter(pk=uuid.UUID(run.operation.params["image"])).first()
    if image is None:
        raise Unavailable("image.gone", "The image was deleted meanwhile.")
    return image


def remove_rescue_disks(vm: VM, hypervisor: Hypervisor) -> None:
    for ending in ("qcow2", "iso"):
        hypervisor.remove_volume(names(), rescue_name(vm, ending))


def _boot(run: Run, vm: VM, host: Host, hypervisor: Hypervisor, *, start: bool) -> None:
    with run.step("define", "Defining the machine", progress=75):
        hypervisor.ensure_defined(domain_spec(vm, host, ensure_address(run, vm, host)))
    if start:
        with run.step("start", "Starting", progress=85):
            hypervisor.ensure_running(vm.pk)
    with run.step("verify", "Looking at it", progress=95):
        record_power(run, vm, hypervisor)


def vm_unrescue(run: Run) -> None:
    """Off, back to its own disk, on again if it ran; then the rescue system's disk goes."""
    if (vm := vm_of(run)) is None:
        return
    host = host_of(vm)
    hypervisor = hypervisor_for(host)
    take_over(run, vm)
    if vm.rescued:
        with run.step("stop", "Stopping the rescue system", progress=20):
            hypervisor.power_off(vm.pk)
        vm.rescue_image = None
        with run.write():
            VM.objects.filter(pk=vm.pk).update(rescue_image=None)
    with run.step("define", "Defining the machine", progress=50):
        hypervisor.ensure_defined(domain_spec(vm, host, ensure_address(run, vm, host)))
    with run.step("disk", "Destroying the rescue system's disk", progress=65):
        remove_rescue_disks(vm, hypervisor)
    _boot(run, vm, host, hypervisor, start=bool(run.operation.params["start"]))


def vm_insert(run: Run) -> None:
    """The CD's file on the host, then into the definition; off and on again only where that was asked for."""
    if (vm := vm_of(run)) is None:
        return
    host, boot = host_of(vm), bool(run.operation.params["boot"])
    hypervisor = hypervisor_for(host)
    take_over(run, vm)
    if vm.cdrom is None:
        disc = _image(run)
        with run.step("image", f"Waiting for the CD on {host.name}", progress=20):
            ensure_copy(run, disc, host, hypervisor)
        with run.write():
            copy_hold(disc, host)
            VM.objects.filter(pk=vm.pk).update(cdrom=disc)
        vm.cdrom = disc
    if boot and not run.operation.state.get("stopped"):
        with run.step("stop", "Pulling the plug", progress=50):
            hypervisor.power_off(vm.pk)
        run.remember(stopped=True)
    _boot(run, vm, host, hypervisor, start=boot)


def vm_eject(run: Run) -> None:
    """Out of the running guest, then out of the definition."""
    if (vm := vm_of(run)) is None:
        return
    host = host_of(vm)
    hypervisor = hypervisor_for(host)
    take_over(run, vm)
    if vm.cdrom is not None:
        with run.step("eject", "Taking the CD out", progress=30):
            hypervisor.eject(vm.pk, names(), cd_name(vm.cdrom))
        vm.cdrom = None
        with run.write():
            VM.objects.filter(pk=vm.pk).update(cdrom=None)
    _boot(run, vm, host, hypervisor, start=False)
