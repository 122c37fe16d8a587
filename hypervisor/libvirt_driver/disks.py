"""The disks of one domain, in its definition and in the guest when it runs. The host is read before and after."""

from typing import Final
from uuid import UUID

import libvirt

from hypervisor import disk_xml, domain_xml
from hypervisor.errors import Conflict, NotFound
from hypervisor.libvirt_driver.domains import Domains
from hypervisor.specs import DiskSpec, DiskState, DomainMetadata

_LIVE: Final = libvirt.VIR_DOMAIN_AFFECT_LIVE
_CONFIG: Final = libvirt.VIR_DOMAIN_AFFECT_CONFIG
_TRANSPORT: Final = (libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE)
_ASKED_BEFORE: Final = "in the process of unplug"


class Disks:
    """`uuid` is the domain's; every change first makes sure that it is ours."""

    def __init__(self, domains: Domains, uuid: UUID) -> None:
        self._domains = domains
        self._uuid = uuid

    def states(self) -> list[DiskState]:
        domain = self._domains.find(self._uuid)
        if domain is None:
            return []
        return disk_xml.compare(defined=_read(domain, _CONFIG), live=_read(domain, _LIVE))

    def attach(self, disk: DiskSpec, metadata: DomainMetadata) -> None:
        """Both places in one call where both lack it, so that libvirt does it whole or not at all."""
        domain = self._domains.taken_over(self._uuid, metadata)
        if domain is None:
            raise NotFound(f"no domain {self._uuid}")
        flags = sum(flag for flag in _places(domain) if not self._has(domain, flag, disk, strict=True))
        if flags:
            domain.attachDeviceFlags(domain_xml.build_disk(disk, self._domains.path_of), flags)

    def detach(self, disk: DiskSpec, metadata: DomainMetadata) -> bool:
        """The guest first: while it holds the disk, the definition keeps it too."""
        domain = self._domains.taken_over(self._uuid, metadata)
        if domain is None:
            return True
        xml = domain_xml.build_disk(disk, self._domains.path_of)
        if domain.isActive() and self._has(domain, _LIVE, disk):
            try:
                domain.detachDeviceFlags(xml, _LIVE)
            except libvirt.libvirtError as error:
                told_before = _ASKED_BEFORE in str(error)
                if error.get_error_domain() in _TRANSPORT or (domain.isActive() and not told_before):
                    raise
            if domain.isActive() and self._has(domain, _LIVE, disk):
                return False
        if self._has(domain, _CONFIG, disk):
            domain.detachDeviceFlags(xml, _CONFIG)
        return True

    def grow(self, disk: DiskSpec, capacity_bytes: int) -> bool:
        domain = self._domains.ours_if_any(self._uuid)
        if domain is None or not domain.isActive() or not self._has(domain, _LIVE, disk):
            return False
        if domain.blockInfo(disk.target)[0] < capacity_bytes:
            domain.blockResize(disk.target, capacity_bytes, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
        return True

    def limit(self, disk: DiskSpec) -> None:
        domain = self._domains.ours_if_any(self._uuid)
        if domain is None:
            return
        wanted = {"total_bytes_sec": disk.bytes_per_second, "total_iops_sec": disk.iops}
        flags = sum(flag for flag in _places(domain) if self._has(domain, flag, disk))
        if flags:
            domain.setBlockIoTune(disk.target, wanted, flags)

    def _has(self, domain: libvirt.virDomain, place: int, disk: DiskSpec, *, strict: bool = False) -> bool:
        """Whether the disk is at its target in this place; `Conflict` if `strict` and another file is there."""
        held = _read(domain, place).get(disk.target)
        if held is None or held.path == self._domains.path_of(disk.pool, disk.volume):
            return held is not None
        if strict:
            raise Conflict(f"{disk.target} of domain {self._uuid} has {held.path}")
        return False


def _places(domain: libvirt.virDomain) -> tuple[int, ...]:
    return (_LIVE, _CONFIG) if domain.isActive() else (_CONFIG,)


def _read(domain: libvirt.virDomain, place: int) -> dict[str, DiskState]:
    if place == _LIVE and not domain.isActive():
        return {}
    return disk_xml.read(domain.XMLDesc(0 if place == _LIVE else libvirt.VIR_DOMAIN_XML_INACTIVE))
