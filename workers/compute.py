"""What operations on virtual machines do. Every handler starts at the top and may run any number of times:
observe, compare, act, observe, record. Names on the host derive from ids, so a re-run finds its own leftovers."""

import io
import uuid
from functools import partial

from django.db import transaction
from django.db.models import F

from apps.compute.models import VM, DesiredPower, Nic, Phase, Power
from apps.errors import Unavailable
from apps.hosts.capacity import Demand, capacity_release
from apps.hosts.models import Host
from apps.hosts.selectors import installation_id
from apps.network.selectors import network_on
from apps.network.services import address_release, address_reserve
from apps.operations import timeouts
from apps.operations.claims import host_has_a_slot
from apps.operations.models import Operation
from apps.placement.services import HostsAway, placement_claim
from apps.storage.models import Volume
from apps.storage.services import image_copy_ensure, volume_record
from hypervisor.errors import HypervisorError, NotFound
from hypervisor.interface import Hypervisor
from hypervisor.seed import build_seed
from hypervisor.specs import (
    Backing,
    Button,
    DiskSpec,
    DomainMetadata,
    DomainSpec,
    NicSpec,
    VolumeSpec,
    default_cpu,
    mac_for,
)
from workers.cloud_init import meta_data, vendor_data
from workers.connections import hypervisor_for
from workers.engine import Postpone, Run
from workers.hosts import names
from workers.observations import now
from workers.storage import copy_gone, image_is_there, image_send_failed

GIB = 2**30
POLL_SECONDS = 1.0
MOST_SENDINGS = 3


def _vm(run: Run) -> VM | None:
    return VM.objects.select_related("host", "image", "root_volume", "owner").filter(pk=run.operation.target_id).first()


def _take_over(run: Run, vm: VM) -> None:
    """Raise the VM's fence: a worker that comes late finds a higher one on the domain and stops."""
    with run.write():
        VM.objects.filter(pk=vm.pk).update(fence=F("fence") + 1)
    vm.refresh_from_db(fields=["fence"])


def vm_create(run: Run) -> None:
    """Claim, address, disk, seed, define, start. A worker that dies anywhere is followed by one that goes on."""
    vm = _vm(run)
    if vm is None:
        return
    with run.step("place", "Choosing a host", progress=5):
        try:
            vm.host = host = _place(run, vm)
        except HostsAway as error:
            raise Postpone(error.detail, seconds=timeouts.back_off(3)) from error
    hypervisor = hypervisor_for(host)
    _take_over(run, vm)
    with run.step("image", f"Waiting for the image on {host.name}", progress=15, host_id=host.pk):
        _ensure_image(run, vm, host, hypervisor)
    with run.step("disk", "Making the disk", progress=30):
        _ensure_disks(run, vm, host, hypervisor)
    with run.step("address", "Reserving an address", progress=50):
        nic = _ensure_address(run, vm, host)
    with run.step("define", "Defining the machine", progress=65):
        hypervisor.ensure_defined(domain_spec(vm, host, nic))
    with run.step("start", "Starting", progress=80):
        hypervisor.ensure_running(vm.pk)
    with run.step("verify", "Looking whether it runs", progress=95):
        read_at = now()
        seen = hypervisor.domain(vm.pk)
    power = seen.power.value if seen else Power.UNKNOWN
    with run.write():
        VM.objects.filter(pk=vm.pk, phase__in=[Phase.CREATING, Phase.ERROR]).update(
            phase=Phase.READY, reason="", power=power, missing=False, observed_at=read_at
        )


def _place(run: Run, vm: VM) -> Host:
    """Claim room, and know the host, in one transaction with the proof that the operation is still ours.

    From then on it needs one of the host's slots, which a claim that knew no host could not ask for.
    """
    wanted, known = run.operation.params.get("host"), run.operation.host_id
    if wanted:
        _wait_for_wanted(run, uuid.UUID(wanted))
    demand = Demand(vcpus=vm.vcpus, memory_mib=vm.memory_mib, disk_gib=vm.disk_gib)
    with run.write():
        host = placement_claim(
            consumer_id=vm.pk,
            consumer_name=vm.name,
            owner_id=vm.owner_id,
            demand=demand,
            architecture=vm.image.architecture if vm.image else "x86_64",
            host_id=uuid.UUID(wanted) if wanted else None,
        )
        VM.objects.filter(pk=vm.pk).update(host=host)
        Operation.objects.filter(pk=run.operation.pk).update(host_id=host.pk)
        run.operation.host_id = host.pk
        its_turn = known is not None or host_has_a_slot(host_id=host.pk, operation_id=run.operation.pk)
    if not its_turn:
        raise Postpone(f"Waiting for its turn on {host.name}", seconds=0)
    return host


def _wait_for_wanted(run: Run, host_id: uuid.UUID) -> None:
    """A host that was asked for by name is waited for where it does not answer; the row then says for which."""
    host = Host.objects.filter(pk=host_id).first()
    if host is None or host.is_up:
        return
    with run.write():
        Operation.objects.filter(pk=run.operation.pk).update(host_id=host.pk)
        run.operation.host_id = host.pk
    hypervisor_for(host)


def _ensure_image(run: Run, vm: VM, host: Host, hypervisor: Hypervisor) -> None:
    """Wait in the queue until the host has the image; whoever needs it first has it sent.

    The sending has a deadline of its own, so waiting for it does not use up ours.
    """
    assert vm.image is not None  # noqa: S101  # an image cannot be deleted while a VM names it
    copy, sending = image_copy_ensure(image=vm.image, host=host, actor=None)
    if sending is None and not image_is_there(hypervisor, vm.image, copy):
        copy_gone(copy.pk)
        copy, sending = image_copy_ensure(image=vm.image, host=host, actor=None)
    if sending is None:
        return
    sendings: list[str] = run.operation.state.get("sendings", [])
    if (failed := image_send_failed(sendings)) is not None:
        raise Unavailable("image.not_sent", f"The image could not be sent to {host.name}: {failed.error_message}")
    if str(sending.pk) not in sendings:
        if len(sendings) == MOST_SENDINGS:
            raise Unavailable("image.not_kept", f"{host.name} does not keep the image that it was sent.")
        run.remember(sendings=[*sendings, str(sending.pk)])
    raise Postpone(f"Waiting for the image on {host.name}", seconds=POLL_SECONDS, renew=True)


def root_volume_id(vm: VM) -> uuid.UUID:
    """The id of a VM's root disk derives from the VM's, so that a re-run makes no second one."""
    return uuid.uuid5(vm.pk, "root")


def seed_name(vm: VM) -> str:
    """File name of the NoCloud seed in the pool."""
    return f"seed-{vm.pk}.iso"


def _ensure_disks(run: Run, vm: VM, host: Host, hypervisor: Hypervisor) -> None:
    assert vm.image is not None  # noqa: S101
    with run.write():
        volume = volume_record(volume_id=root_volume_id(vm), host=host, image=vm.image, size_gib=vm.disk_gib)
        VM.objects.filter(pk=vm.pk).update(root_volume=volume)
        vm.root_volume = volume
    base = f"img-{vm.image_id}.{vm.image.format}"
    spec = VolumeSpec(
        pool=names(),
        name=volume.volume_name,
        capacity_bytes=vm.disk_gib * GIB,
        format="qcow2",
        backing=Backing(volume=base, format="raw" if vm.image.format == "raw" else "qcow2"),
    )
    hypervisor.ensure_volume(spec)
    if vm.image.cloud_init:
        _ensure_seed(vm, hypervisor)


def _ensure_seed(vm: VM, hypervisor: Hypervisor) -> None:
    content = build_seed(meta_data=meta_data(vm), user_data=vm.user_data.encode(), vendor_data=vendor_data(vm))
    spec = VolumeSpec(pool=names(), name=seed_name(vm), capacity_bytes=len(content), format="iso")
    hypervisor.ensure_volume(spec)
    hypervisor.upload(pool=names(), name=seed_name(vm), source=io.BytesIO(content), offset=0, length=len(content))


def _ensure_address(run: Run, vm: VM, host: Host) -> Nic:
    """Reserve an address in our records. The host knows every address of the network from the start."""
    network = network_on(host=host)
    if network is None:
        raise Unavailable("network.not_ready", f"{host.name} has no network yet. Probe the host.")
    with run.write():
        address = address_reserve(
            network=network, consumer_id=vm.pk, hostname=vm.created_name, mac_of=partial(mac_for, network.pk)
        )
        nic, _created = Nic.objects.get_or_create(
            vm=vm, network=network, defaults={"mac": address.mac, "ip": address.ip}
        )
    return nic


def domain_spec(vm: VM, host: Host, nic: Nic) -> DomainSpec:
    """The domain of a VM, from our records alone."""
    pool = names()
    disks = [
        DiskSpec(
            pool=pool,
            volume=f"vol-{root_volume_id(vm)}.qcow2",
            format="qcow2",
            target="vda",
            backing=Backing(
                volume=f"img-{vm.image_id}.{vm.image.format}",
                format="raw" if vm.image.format == "raw" else "qcow2",
            )
            if vm.image
            else None,
        )
    ]
    if vm.image and vm.image.cloud_init:
        # A virtio disk, not a CD-ROM: the vendors' cloud kernels have no SATA driver and would not see it.
        disks.append(DiskSpec(pool=pool, volume=seed_name(vm), format="iso", target="vdb"))
    accelerator = "kvm" if host.accelerator == "kvm" else "tcg"
    return DomainSpec(
        uuid=vm.pk,
        name=vm.libvirt_name,
        title=vm.name,
        vcpus=vm.vcpus,
        memory_mib=vm.memory_mib,
        metadata=DomainMetadata(installation=installation_id(), fence=vm.fence, owner=vm.owner.get_username()),
        accelerator=accelerator,  # type: ignore[arg-type]  # one of the two literals
        cpu=default_cpu(accelerator),  # type: ignore[arg-type]
        disks=tuple(disks),
        nics=(NicSpec(mac=nic.mac, network=nic.network.name),),
        architecture=vm.image.architecture if vm.image else "x86_64",
    )


def vm_create_failed(operation: Operation, message: str) -> None:
    """The VM stays visible with the reason; retry goes on where it stopped, delete takes everything away."""
    VM.objects.filter(pk=operation.target_id, phase__in=[Phase.CREATING, Phase.ERROR]).update(
        phase=Phase.ERROR, reason=message[:500]
    )


def _host_of(vm: VM) -> Host:
    if vm.host is None:
        raise Unavailable("vm.no_host", f"{vm.name} is on no host.")
    return vm.host


def _record_power(run: Run, vm: VM, hypervisor: Hypervisor) -> str:
    """Read the guest and write what was seen."""
    read_at = now()
    seen = hypervisor.domain(vm.pk)
    power = seen.power.value if seen else Power.SHUTOFF.value
    with run.write():
        VM.objects.filter(pk=vm.pk).update(power=power, missing=seen is None, observed_at=read_at)
    return power


def vm_start(run: Run) -> None:
    """Start it; a domain that somebody undefined is defined again from our record, its disk is still there."""
    if (vm := _vm(run)) is None:
        return
    host = _host_of(vm)
    hypervisor = hypervisor_for(host)
    _take_over(run, vm)
    with run.step("start", "Starting", progress=20):
        if hypervisor.domain(vm.pk) is None:
            nic = _ensure_address(run, vm, host)
            hypervisor.ensure_defined(domain_spec(vm, host, nic))
        hypervisor.ensure_running(vm.pk)
    with run.step("verify", "Looking whether it runs", progress=90):
        _record_power(run, vm, hypervisor)


def vm_power_off(run: Run) -> None:
    """Pull the plug."""
    if (vm := _vm(run)) is None:
        return
    hypervisor = hypervisor_for(_host_of(vm))
    with run.step("power-off", "Pulling the plug", progress=20):
        hypervisor.power_off(vm.pk)
    with run.step("verify", "Looking whether it is off", progress=90):
        _record_power(run, vm, hypervisor)


def vm_shutdown(run: Run) -> None:
    """Press the power button once, wait in the queue, then do what the caller chose."""
    if (vm := _vm(run)) is None:
        return
    hypervisor = hypervisor_for(_host_of(vm))
    power = _record_power(run, vm, hypervisor)
    if power not in (Power.RUNNING, Power.PAUSED):
        return
    pressed = run.operation.state.get("pressed_at")
    if pressed is None:
        run.remember(pressed_at=now().timestamp())
        with run.step("press", "Pressing the power button", progress=10):
            hypervisor.press(vm.pk, Button.SHUTDOWN)
        raise Postpone("Waiting for the guest to shut down", seconds=POLL_SECONDS)
    waited, most = now().timestamp() - float(pressed), float(run.operation.params["timeout_s"])
    if waited < most:
        raise Postpone(f"Waiting for the guest to shut down ({int(waited)} of {int(most)} s)", seconds=POLL_SECONDS)
    if run.operation.params["on_timeout"] != "power-off":
        raise Unavailable(
            "vm.shutdown_timeout", f"The guest did not shut down within {int(most)} s; it was left running."
        )
    with run.step("power-off", "Pulling the plug", progress=80):
        hypervisor.power_off(vm.pk)
    _record_power(run, vm, hypervisor)


def vm_shutdown_failed(operation: Operation, _message: str) -> None:
    """It runs on, so that is the wish again."""
    VM.objects.filter(pk=operation.target_id, power=Power.RUNNING).update(desired_power=DesiredPower.ON)


def _press_once(run: Run, button: Button, step: str, text: str) -> None:
    """A press cannot be observed, so it is done at most once: after a crash in between we say that we do not know."""
    if (vm := _vm(run)) is None:
        return
    hypervisor = hypervisor_for(_host_of(vm))
    if run.operation.state.get("pressed"):
        raise Unavailable("vm.press_unknown", "A worker died while pressing the button; whether it did is not known.")
    if hypervisor.domain(vm.pk) is None:
        raise NotFound(f"{vm.name} is not defined on its host")
    run.remember(pressed=True)
    with run.step(step, text, progress=30):
        hypervisor.press(vm.pk, button)
    _record_power(run, vm, hypervisor)


def vm_reboot(run: Run) -> None:
    """Ask the guest to restart."""
    _press_once(run, Button.REBOOT, "press", "Asking the guest to restart")


def vm_reset(run: Run) -> None:
    """Press reset."""
    _press_once(run, Button.RESET, "press", "Pressing reset")


def vm_delete(run: Run) -> None:
    """Take everything away and then the row. Steps are independent; what is missing already is fine."""
    if (vm := _vm(run)) is None:
        return
    if vm.host is not None:
        hypervisor = hypervisor_for(vm.host)
        _take_over(run, vm)
        with run.step("undefine", "Removing the machine", progress=20):
            hypervisor.power_off(vm.pk)
            hypervisor.undefine(vm.pk)
        with run.step("disk", "Deleting its disk", progress=60):
            _remove_leftovers(vm, hypervisor)
    with run.step("forget", "Giving back its claim", progress=90), run.write():
        vm_forget(vm)


def _remove_leftovers(vm: VM, hypervisor: Hypervisor) -> None:
    """Disk and seed: each is tried, the first error is told after all were."""
    errors: list[HypervisorError] = []
    for volume in (f"vol-{root_volume_id(vm)}.qcow2", seed_name(vm)):
        try:
            hypervisor.remove_volume(names(), volume)
        except HypervisorError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def vm_forget(vm: VM) -> None:
    """Give back claim, address and disk, and delete the row, in the caller's transaction."""
    with transaction.atomic():
        capacity_release(consumer_id=vm.pk)
        address_release(consumer_id=vm.pk)
        vm.nics.all().delete()
        VM.objects.filter(pk=vm.pk).delete()
        Volume.objects.filter(pk=root_volume_id(vm)).delete()


def vm_delete_failed(operation: Operation, message: str) -> None:
    """What could not be taken away stays visible and can be deleted again."""
    VM.objects.filter(pk=operation.target_id, phase__in=[Phase.DELETING, Phase.ERROR]).update(
        phase=Phase.ERROR, reason=f"Deleting failed: {message}"[:500]
    )
