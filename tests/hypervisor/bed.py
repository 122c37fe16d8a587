"""What the contract tests stand on: one implementation of the interface with names of its own."""

import dataclasses
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from uuid import UUID, uuid4

import pytest

from hypervisor.interface import Hypervisor
from hypervisor.specs import (
    Backing,
    CpuSpec,
    DiskSpec,
    DomainMetadata,
    DomainSpec,
    NetworkSpec,
    NicSpec,
    PoolSpec,
    VolumeSpec,
    every_reservation,
    mac_for,
)

MIB = 1024 * 1024
POOL_BASE = "/var/lib/libvirt/images"
CIDR = IPv4Network("10.203.7.0/24")


def wait_until(condition: Callable[[], bool], *, seconds: float = 10.0, what: str = "a condition") -> None:
    """Poll a condition; fail, saying what was awaited, when it does not come true in time."""
    pause, ticks = threading.Event(), int(seconds / 0.02)
    for _ in range(ticks):
        if condition():
            return
        pause.wait(0.02)
    pytest.fail(f"waited {seconds:.0f} s for {what}")


@dataclass(kw_only=True)
class Bed:
    """`lacks` names what this implementation is allowed not to do; a test asks before it relies on it.

    `read_file` reads a file of the host where the test can; None where it cannot.
    """

    hypervisor: Hypervisor
    another: Callable[[str], Hypervisor]
    lacks: frozenset[str] = frozenset()
    architecture: str = "x86_64"
    machine: str = "q35"
    uplink: str = "eth0"
    cpu: CpuSpec = field(default_factory=lambda: CpuSpec(mode="maximum"))
    installation: str
    read_file: Callable[[str], bytes | None] = lambda _path: None
    stubborn: Callable[[], None] = lambda: None  # have guests keep their disks; those of the lab do
    silence: Callable[[], None] = lambda: None  # have guests without an agent; those of the lab are
    tag: str = field(default_factory=lambda: secrets.token_hex(4))
    domains: list[UUID] = field(default_factory=list)

    def needs(self, *abilities: str) -> None:
        missing = self.lacks.intersection(abilities)
        if missing:
            pytest.skip(f"an allowed difference: {', '.join(sorted(missing))}")

    # --- specs
    @property
    def pool(self) -> PoolSpec:
        return PoolSpec(name=f"cs-{self.tag}", path=f"{POOL_BASE}/cs-{self.tag}")

    @property
    def network(self) -> NetworkSpec:
        uuid = UUID(bytes=bytes.fromhex(self.tag * 4))
        start, end = CIDR[100], CIDR[110]
        return NetworkSpec(
            name=f"cs-{self.tag}",
            uuid=uuid,
            bridge=f"cs{self.tag}",
            cidr=CIDR,
            gateway=CIDR[1],
            dhcp_start=CIDR[2],
            dhcp_end=CIDR[254],
            installation=self.installation,
            reservations=every_reservation(uuid, start, end),
        )

    def mac(self, index: int) -> str:
        return mac_for(self.network.uuid, IPv4Address(int(CIDR[100]) + index))

    def volume(self, name: str = "disk", *, mib: int = 8, backing: str = "") -> VolumeSpec:
        return VolumeSpec(
            pool=self.pool.name,
            name=f"{name}.qcow2",
            capacity_bytes=mib * MIB,
            format="qcow2",
            backing=Backing(volume=f"{backing}.qcow2", format="qcow2") if backing else None,
        )

    def domain(self, name: str = "guest", *, fence: int = 1, with_nic: bool = False) -> DomainSpec:
        """A guest with one disk; it has no system, so it stays where its firmware leaves it."""
        disk = DiskSpec(pool=self.pool.name, volume="disk.qcow2", format="qcow2", target="vda")
        spec = DomainSpec(
            uuid=uuid4(),
            name=f"cs-{self.tag}-{name}",
            title="A guest",
            vcpus=1,
            memory_mib=64,
            metadata=DomainMetadata(installation=self.installation, fence=fence, owner="ann", project="p"),
            accelerator="tcg",
            cpu=self.cpu,
            architecture=self.architecture,
            machine=self.machine,
            disks=(disk,),
            nics=(NicSpec(mac=self.mac(0), network=self.network.name),) if with_nic else (),
        )
        self.domains.append(spec.uuid)
        return spec

    # --- steps
    def prepare(self) -> None:
        """A pool with a disk."""
        self.hypervisor.ensure_pool(self.pool)
        self.hypervisor.ensure_volume(self.volume())

    def defined(self, **options: bool) -> DomainSpec:
        self.prepare()
        spec = self.domain(**options)  # type: ignore[arg-type]
        self.hypervisor.ensure_defined(spec)
        return spec

    def running(self, **options: bool) -> DomainSpec:
        spec = self.defined(**options)
        self.hypervisor.ensure_running(spec.uuid)
        return spec

    def clean(self) -> None:
        """Take away what a test may have left."""
        for uuid in self.domains:
            self.hypervisor.power_off(uuid)
            self.hypervisor.undefine(uuid)
        self.hypervisor.remove_network(self.network.name)


def refenced(spec: DomainSpec, fence: int) -> DomainSpec:
    return dataclasses.replace(spec, metadata=dataclasses.replace(spec.metadata, fence=fence))
