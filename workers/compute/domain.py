"""What a VM consists of on its host: image, disks, seed, address, definition. Names derive from ids, so a
re-run finds its own leftovers."""

import io
import uuid
from dataclasses import replace
from typing import Literal

from apps.compute.models import VM, Nic, VolumeAttachment
from apps.errors import Unavailable
from apps.hosts.models import Host
from apps.hosts.selectors import installation_id
from apps.network.selectors import network_on
from apps.operations.models import Operation
from apps.storage.models import Firmware, Image, Volume
from apps.storage.services import image_copy_ensure, volume_record
from hypervisor.errors import HypervisorError
from hypervisor.interface import Hypervisor
from hypervisor.seed import build_seed
from hypervisor.specs import (
    Backing,
    DiskSpec,
    DomainMetadata,
    DomainSpec,
    VolumeSpec,
    default_cpu,
)
from workers.cloud_init import meta_data, vendor_data
from workers.compute.address import nic_reserve, nic_specs
from workers.compute.machine import Kit, accelerator_of, board_of, boot_order_of, kit_of
from workers.engine import Postpone, Run
from workers.hosts import names
from workers.images import copy_hold
from workers.storage import copy_gone, image_is_there, image_send_failed

GIB = 2**30
POLL_SECONDS = 1.0
MOST_SENDINGS = 3


def root_volume_id(vm: VM) -> uuid.UUID:
    """The id of a VM's root disk derives from the VM's, so that a re-run makes no second one."""
    return uuid.uuid5(vm.pk, "root")


def seed_name(vm: VM) -> str:
    """File name of the NoCloud seed in the pool."""
    return f"seed-{vm.pk}.iso"


def ensure_image(run: Run, vm: VM, host: Host, hypervisor: Hypervisor) -> None:
    assert vm.image is not None  # noqa: S101  # an image cannot be deleted while a VM names it
    ensure_copy(run, vm.image, host, hypervisor)


def ensure_copy(run: Run, image: Image, host: Host, hypervisor: Hypervisor) -> None:
    """Wait in the queue until the host has the image; whoever needs it first has it sent.

    The sending has a deadline of its own, so waiting for it does not use up ours.
    """
    copy, sending = image_copy_ensure(image=image, host=host, actor=None)
    if sending is None and not image_is_there(hypervisor, image, copy):
        copy_gone(copy.pk)
        copy, sending = image_copy_ensure(image=image, host=host, actor=None)
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


def ensure_disks(run: Run, vm: VM, host: Host, hypervisor: Hypervisor) -> None:
    assert vm.image is not None  # noqa: S101
    with run.write():
        copy_hold(vm.image, host)
        volume = volume_record(volume_id=root_volume_id(vm), host=host, image=vm.image, size_gib=vm.disk_gib)
        VM.objects.filter(pk=vm.pk).update(root_volume=volume)
        vm.root_volume = volume
    spec = VolumeSpec(
        pool=names(),
        name=volume.volume_name,
        capacity_bytes=vm.disk_gib * GIB,
        format="qcow2",
        backing=root_disk(vm).backing,
    )
    hypervisor.ensure_volume(spec)
    if vm.image.cloud_init:
        ensure_seed(vm, hypervisor)


def ensure_seed(vm: VM, hypervisor: Hypervisor) -> None:
    content = build_seed(meta_data=meta_data(vm), user_data=vm.user_data.encode(), vendor_data=vendor_data(vm))
    put_iso(seed_name(vm), content, hypervisor)


def put_iso(name: str, content: bytes, hypervisor: Hypervisor) -> None:
    spec = VolumeSpec(pool=names(), name=name, capacity_bytes=len(content), format="iso")
    hypervisor.ensure_volume(spec)
    hypervisor.upload(pool=names(), name=name, source=io.BytesIO(content), offset=0, length=len(content))


def ensure_address(run: Run, vm: VM, host: Host) -> Nic:
    """The first interface: in the network that was asked for, else in the host's own."""
    known = vm.nics.select_related("network").order_by("created_at", "id").first()
    network = known.network if known else network_on(host=host)
    if network is None:
        raise Unavailable("network.not_ready", f"{host.name} has no network yet. Probe the host.")
    with run.write():
        return nic_reserve(vm, network)


def backing_of(image: Image | None) -> Backing | None:
    """What an overlay of an image reads through; a disk to install on begins empty."""
    if image is None or image.is_iso:
        return None
    return Backing(volume=f"img-{image.pk}.{image.format}", format="raw" if image.format == "raw" else "qcow2")


def root_disk(vm: VM) -> DiskSpec:
    """The disk that the VM was made with: an overlay of its image, with its limits."""
    kit = kit_of(vm)
    return DiskSpec(
        pool=names(),
        volume=f"vol-{root_volume_id(vm)}.qcow2",
        format="qcow2",
        target=f"{kit.letters}a",
        bus=kit.bus,
        backing=backing_of(vm.image),
        iops=vm.root_volume.iops if vm.root_volume else 0,
        bytes_per_second=bytes_per_second(vm.root_volume) if vm.root_volume else 0,
    )


def data_disk(attachment: VolumeAttachment, kit: Kit | None = None) -> DiskSpec:
    """A data volume of a VM. Its serial is its id, of which a virtio disk shows the first 20 characters.

    ``kit`` is that of a rescue system, which may call it by another name.
    """
    volume, kit = attachment.volume, kit or kit_of(attachment.vm)
    return DiskSpec(
        pool=names(),
        volume=volume.volume_name,
        format="qcow2",
        target=f"{kit.letters}{attachment.target[-1]}",
        bus=kit.bus,
        serial=str(volume.pk),
        iops=volume.iops,
        bytes_per_second=bytes_per_second(volume),
    )


def bytes_per_second(volume: Volume) -> int:
    return volume.bandwidth_mib_s * 2**20


def domain_metadata(vm: VM) -> DomainMetadata:
    """Our mark, with the fence that the VM's row has now."""
    return DomainMetadata(installation=installation_id(), fence=vm.fence, owner=vm.owner.get_username())


def rescue_name(vm: VM, ending: str) -> str:
    """File names of the rescue system: its disk (qcow2) and its seed (iso)."""
    return f"rescue-{vm.pk}.{ending}"


def boot_disks(vm: VM) -> list[DiskSpec]:
    """Its own disk, seed and CD; or the rescue system's disk and seed, and its own disk as the second one."""
    kit, root = kit_of(vm), root_disk(vm)
    if vm.rescue_image is not None:
        first = replace(root, volume=rescue_name(vm, "qcow2"), backing=backing_of(vm.rescue_image))
        disks = [first, replace(root, target=f"{kit.letters}b")]
        if vm.rescue_image.cloud_init:
            disks.append(_seed_disk(kit, rescue_name(vm, "iso"), kit.last))
        return disks
    disks = [root]
    if vm.image and vm.image.cloud_init:
        # BIOS and UEFI boot from the first CD-ROM drive, so a seed that is one makes room for the CD.
        target = kit.last if vm.cdrom and kit.cdrom == f"{kit.letters}b" else f"{kit.letters}b"
        disks.append(_seed_disk(kit, seed_name(vm), target))
    if vm.cdrom is not None:
        bus: Literal["scsi", "sata"] = "scsi" if board_of(vm) == "virt" else "sata"
        disks.append(
            DiskSpec(pool=names(), volume=cd_name(vm.cdrom), format="iso", target=kit.cdrom, bus=bus, device="cdrom")
        )
    return disks


def cd_name(image: Image) -> str:
    """File name of a CD in the pool."""
    return f"img-{image.pk}.{image.format}"


def _seed_disk(kit: Kit, volume: str, target: str) -> DiskSpec:
    return DiskSpec(pool=names(), volume=volume, format="iso", target=target, bus=kit.bus, device=kit.seed)


def domain_spec(vm: VM, host: Host, nic: Nic) -> DomainSpec:
    """The domain of a VM, from our records alone."""
    data = [data_disk(attachment, kit_of(vm)) for attachment in vm.attachments.select_related("volume", "vm")]
    accelerator = accelerator_of(vm, host)
    return DomainSpec(
        uuid=vm.pk,
        name=vm.libvirt_name,
        title=vm.name,
        vcpus=vm.vcpus,
        memory_mib=vm.memory_mib,
        max_vcpus=vm.max_vcpus,
        max_memory_mib=vm.max_memory_mib,
        metadata=domain_metadata(vm),
        accelerator=accelerator,
        cpu=default_cpu(accelerator, vm.architecture),
        disks=(*boot_disks(vm), *data),
        nics=nic_specs(vm, nic),
        architecture=vm.architecture,
        machine=board_of(vm),
        firmware="uefi" if vm.firmware == Firmware.UEFI else "bios",
        boot_order=boot_order_of(vm),
    )


def remove_leftovers(vm: VM, hypervisor: Hypervisor) -> None:
    """Disk and seed: each is tried, the first error is told after all were."""
    if vm.root_volume_id is None:
        hypervisor.stop_copy(names(), f"vol-{root_volume_id(vm)}.qcow2")
    errors: list[HypervisorError] = []
    volumes = [f"vol-{root_volume_id(vm)}.qcow2", seed_name(vm)]
    if vm.rescued or Operation.objects.filter(target_id=vm.pk, kind="vm.rescue").exists():
        volumes += [rescue_name(vm, "qcow2"), rescue_name(vm, "iso")]
    for volume in volumes:
        try:
            hypervisor.remove_volume(names(), volume)
        except HypervisorError as error:
            errors.append(error)
    if errors:
        raise errors[0]
