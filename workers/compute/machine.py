"""How a VM is put together: board and accelerator, the bus of its disks, the kind of its network card."""

from dataclasses import dataclass
from typing import Literal

from apps.compute.models import VM
from apps.hosts.models import Host
from apps.storage.models import Devices
from hypervisor.specs import MACHINES, Accelerator


@dataclass(frozen=True, kw_only=True)
class Kit:
    """The devices of one kind of machine. ``letters`` begin the names of its disks.

    ``cdrom`` is the name of the drive for CDs; ``last`` that of a seed which is not at its own place, and none that a
    data volume has.
    """

    letters: str
    bus: Literal["virtio", "sata", "scsi"]
    seed: Literal["disk", "cdrom"]
    last: str
    cdrom: str
    nic: Literal["virtio", "e1000e"]


# A virtio disk, not a CD-ROM, is the seed: the vendors' cloud kernels have no SATA driver and would not see it.
VIRTIO = Kit(letters="vd", bus="virtio", seed="disk", last="vdk", cdrom="sde", nic="virtio")
COMPATIBLE = Kit(letters="sd", bus="sata", seed="cdrom", last="sdk", cdrom="sdb", nic="e1000e")


def kit_of(vm: VM) -> Kit:
    """A rescue system finds what its own image asks for."""
    devices = vm.rescue_image.devices if vm.rescue_image else vm.devices
    return COMPATIBLE if devices == Devices.COMPATIBLE else VIRTIO


def boot_order_of(vm: VM) -> tuple[Literal["hd", "cdrom", "network"], ...]:
    return ("cdrom", "hd") if vm.cdrom and not vm.rescued else ("hd",)


def board_of(vm: VM) -> str:
    """libvirt's name of the board."""
    return MACHINES.get(vm.architecture, "q35")


def accelerator_of(vm: VM, host: Host) -> Accelerator:
    """KVM runs a host's own architecture only; every other one is emulated."""
    return "kvm" if host.accelerator == "kvm" and vm.architecture == host.native_architecture else "tcg"
