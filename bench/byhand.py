"""The peer: libvirt's own API on a connection that is kept, to the same host, with the same certificates and XML."""

import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

import libvirt

from hypervisor import domain_xml, storage_xml
from hypervisor.libvirt_driver import event_loop
from hypervisor.specs import (
    Backing,
    ConnectionSettings,
    DiskSpec,
    DomainMetadata,
    DomainSpec,
    HostAddress,
    NicSpec,
    VolumeSpec,
    default_cpu,
)
from hypervisor.uri import connection_uri

GIB = 2**30


def guest_spec(*, installation: str, image_volume: str, memory_mib: int) -> DomainSpec:
    """The machine that our create makes, for a guest made by hand: the same devices, other names."""
    vm_id, pool = uuid.uuid4(), f"cs-{installation}"
    return DomainSpec(
        uuid=vm_id,
        name=f"by-hand-{vm_id.hex[-8:]}",
        title="by-hand",
        vcpus=1,
        memory_mib=memory_mib,
        metadata=DomainMetadata(installation=installation, fence=1, owner="by-hand"),
        accelerator="tcg",
        cpu=default_cpu("tcg"),
        disks=(
            DiskSpec(
                pool=pool,
                volume=f"hand-{vm_id}.qcow2",
                format="qcow2",
                target="vda",
                backing=Backing(volume=image_volume, format="qcow2"),
            ),
        ),
        nics=(NicSpec(mac="52:54:00:" + ":".join(vm_id.hex[i : i + 2] for i in (0, 2, 4)), network=pool),),
    )


def off_spec(spec: DomainSpec, *, name: str, vm_id: uuid.UUID) -> DomainSpec:
    """A guest without a disk that is never started."""
    return replace(spec, uuid=vm_id, name=name, disks=(), nics=())


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Seconds of each step of a create by hand."""

    volume: float
    define: float
    start: float

    @property
    def total(self) -> float:
        return self.volume + self.define + self.start


class ByHand:
    """One kept connection. No checks, no records, no second look: the least that can be done."""

    def __init__(self, *, host: str, keys: Path, pool: str) -> None:
        event_loop.ensure_running()
        self.settings = ConnectionSettings(directory=keys)
        self.address = HostAddress(transport="tls", host=host)
        self.virt = libvirt.open(connection_uri(self.address, self.settings))
        self.pool = self.virt.storagePoolLookupByName(pool)
        self.pool_path = storage_xml.read_pool_path(self.pool.XMLDesc(0))

    def _path_of(self, _pool: str, volume: str) -> str:
        return storage_xml.volume_path(self.pool_path, volume)

    def create(self, spec: DomainSpec, *, disk_gib: int) -> Steps:
        """Overlay, define, start, and one look whether it runs."""
        disk = spec.disks[0]
        volume = VolumeSpec(
            pool=disk.pool, name=disk.volume, capacity_bytes=disk_gib * GIB, format="qcow2", backing=disk.backing
        )
        volume_xml = storage_xml.build_volume(volume, pool_path=self.pool_path)
        xml = domain_xml.build(spec, self._path_of)
        begin = time.perf_counter()
        self.pool.createXML(volume_xml, 0)
        made = time.perf_counter()
        domain = self.virt.defineXML(xml)
        defined = time.perf_counter()
        domain.create()
        runs = domain.isActive()
        started = time.perf_counter()
        if not runs:
            raise RuntimeError(f"{spec.name} does not run")
        return Steps(volume=made - begin, define=defined - made, start=started - defined)

    def remove(self, spec: DomainSpec) -> None:
        """Everything of a guest made by hand."""
        domain = self.virt.lookupByUUID(spec.uuid.bytes)
        if domain.isActive():
            domain.destroy()
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
        for disk in spec.disks:
            self.pool.storageVolLookupByName(disk.volume).delete(0)

    def define(self, spec: DomainSpec) -> None:
        """Only define: a guest that is off."""
        self.virt.defineXML(domain_xml.build(spec, self._path_of))

    def bulk(self) -> int:
        """The state of every domain in one call; how many there are."""
        return len(self.virt.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0))

    def loop(self) -> int:
        """The state of every domain as most tools read it: list, then look each up and ask it."""
        identities = [domain.UUID() for domain in self.virt.listAllDomains(0)]
        for identity in identities:
            self.virt.lookupByUUID(identity).info()
        return len(identities)
