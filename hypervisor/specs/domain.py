"""Guests: what we ask for, and what was seen."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal
from uuid import UUID

from hypervisor import names
from hypervisor.specs.host import Accelerator
from hypervisor.specs.storage import Backing, VolumeFormat

FreeText = str  # any Unicode; reaches a host only as the text of an XML element


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuSpec:
    """`maximum` is the most an accelerator can do (with RDRAND under TCG too); a named model comes with
    `custom`.
    """

    mode: Literal["host-model", "host-passthrough", "maximum", "custom"]
    model: str = ""
    features: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.mode == "custom") != bool(self.model):
            raise ValueError("a CPU model is named exactly in mode custom")
        for word in (*self.features, *filter(None, [self.model])):
            names.token(word)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpec:
    """`target` (vda, sda) identifies the disk within its domain; `serial` is what the guest sees."""

    pool: str
    volume: str
    format: VolumeFormat
    target: str
    device: Literal["disk", "cdrom"] = "disk"
    bus: Literal["virtio", "sata", "scsi"] = "virtio"
    serial: str = ""
    backing: Backing | None = None
    iops: int = 0
    bytes_per_second: int = 0

    def __post_init__(self) -> None:
        names.object_name(self.pool)
        names.volume_name(self.volume)
        for word in filter(None, (self.target, self.serial)):
            names.token(word)
        if min(self.iops, self.bytes_per_second) < 0:
            raise ValueError("a limit is not negative; 0 is no limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskState:
    """A disk as the host knows it: in the definition (`defined`), in the running guest (`live`), or in both."""

    target: str
    path: str
    serial: str
    iops: int
    bytes_per_second: int
    defined: bool
    live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NicSpec:
    """`mac` identifies the interface within its domain."""

    mac: str
    network: str
    model: Literal["virtio", "e1000e"] = "virtio"
    filter: str = ""

    def __post_init__(self) -> None:
        names.mac_address(self.mac)
        names.object_name(self.network)
        if self.filter:
            names.token(self.filter)


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectBoot:
    """Boot a kernel without a boot loader; kernel and initrd are volumes of one pool."""

    pool: str
    kernel: str
    initrd: str
    command_line: str = ""

    def __post_init__(self) -> None:
        names.object_name(self.pool)
        names.volume_name(self.kernel)
        names.volume_name(self.initrd)


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainMetadata:
    """Our mark in a domain. `fence` grows with every take-over of the VM; `owner` and `project` are for
    people reading XML.
    """

    installation: str
    fence: int = 0
    owner: FreeText = ""
    project: FreeText = ""

    def __post_init__(self) -> None:
        names.token(self.installation)
        if self.fence < 0:
            raise ValueError("a fence is not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainSpec:
    """A guest with a serial console, VNC on a Unix socket of libvirt's choosing, RNG and agent
    channel. `machine` is libvirt's name for the board; see `MACHINES`.
    """

    uuid: UUID
    name: str
    title: FreeText
    vcpus: int
    memory_mib: int
    metadata: DomainMetadata
    accelerator: Accelerator
    cpu: CpuSpec
    disks: tuple[DiskSpec, ...] = ()
    nics: tuple[NicSpec, ...] = ()
    architecture: str = "x86_64"
    machine: str = "q35"
    firmware: Literal["bios", "uefi"] = "bios"
    max_vcpus: int | None = None
    max_memory_mib: int | None = None
    direct_boot: DirectBoot | None = None
    boot_order: tuple[Literal["hd", "cdrom", "network"], ...] = ("hd",)

    def __post_init__(self) -> None:
        names.object_name(self.name)
        names.token(self.architecture)
        names.token(self.machine)
        if not 0 < self.vcpus <= (self.max_vcpus or self.vcpus):
            raise ValueError("vcpus lie between 1 and max_vcpus")
        if not 0 < self.memory_mib <= (self.max_memory_mib or self.memory_mib):
            raise ValueError("memory lies between 1 MiB and max_memory_mib")
        for keys in ([disk.target for disk in self.disks], [nic.mac for nic in self.nics]):
            if len(keys) != len(set(keys)):
                raise ValueError("two devices share an identity")


MACHINES: Final = {"x86_64": "q35", "aarch64": "virt"}
"""The board of each architecture that we build guests for."""


def default_cpu(accelerator: Accelerator, architecture: str = "x86_64") -> CpuSpec:
    """A model with RDRAND: without it and without virtio-rng a guest's sshd answers a second later
    (measured). libvirt has no host-model for ARM.
    """
    if accelerator == "tcg":
        return CpuSpec(mode="maximum")
    return CpuSpec(mode="host-passthrough" if architecture == "aarch64" else "host-model")


class Power(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    SHUTOFF = "shutoff"
    CRASHED = "crashed"
    UNKNOWN = "unknown"


class Button(StrEnum):
    """What is pressed rather than reached: pressing twice is not the same as pressing once."""

    SHUTDOWN = "shutdown"  # ACPI; the guest may ignore it
    REBOOT = "reboot"  # ACPI or agent; the guest may ignore it
    RESET = "reset"  # hard, without asking the guest


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainSummary:
    """What one bulk call tells about every domain. `reason` is libvirt's: booted, user, shutdown, destroyed,
    crashed, …
    """

    uuid: UUID
    name: str
    power: Power
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainState(DomainSummary):
    """All we read about one domain; `installation` and `fence` are None when it is not marked by anybody.

    vCPUs and memory are the definition's; `live_…` is what a running guest has now, None while it is off.
    """

    title: str
    vcpus: int
    memory_mib: int
    persistent: bool
    autostart: bool
    installation: str | None
    fence: int | None
    max_vcpus: int = 0
    max_memory_mib: int = 0
    live_vcpus: int | None = None
    live_memory_mib: int | None = None
    disk_paths: tuple[str, ...] = ()
    macs: tuple[str, ...] = ()
