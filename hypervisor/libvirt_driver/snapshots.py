"""Snapshots of domains. libvirt writes one with the guest's memory in a single call that no client can shorten or
end, so whoever asks for one must expect to come back and look.
"""

from typing import Final
from uuid import UUID

import libvirt

from hypervisor import snapshot_xml
from hypervisor.errors import NotFound
from hypervisor.libvirt_driver.domains import Domains
from hypervisor.specs import SnapshotSpec, SnapshotState

_ROOTS: Final = libvirt.VIR_DOMAIN_SNAPSHOT_LIST_ROOTS
_BELOW: Final = libvirt.VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS
_DEFINITION: Final = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE


class Snapshots:
    def __init__(self, domains: Domains) -> None:
        self._domains = domains

    def states(self, uuid: UUID) -> list[SnapshotState] | None:
        """None for a missing domain."""
        domain = self._domains.find(uuid)
        if domain is None:
            return None
        try:
            return _read(domain)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise

    def create(self, uuid: UUID, spec: SnapshotSpec) -> bool:
        domain = self._ours(uuid)
        known = _known(domain)
        if spec.name not in known:
            try:
                domain.snapshotCreateXML(snapshot_xml.build(spec), 0)
            except libvirt.libvirtError:
                if spec.name not in _known(domain):
                    raise
            known = _known(domain)
        return known.get(spec.name, False)

    def revert(self, uuid: UUID, name: str) -> bool:
        """FORCE: the guest may run, and in another size; that what it does now is lost is what was asked for."""
        domain = self._ours(uuid)
        domain.revertToSnapshot(domain.snapshotLookupByName(name, 0), libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_FORCE)
        return True

    def remove(self, uuid: UUID, name: str) -> bool:
        """A snapshot that libvirtd did not live to record is in the disk files without libvirt knowing it. It is
        recorded first, and then deleted like any other; QEMU does not mind if there is none.
        """
        domain = self._domains.ours_if_any(uuid)
        if domain is None:
            return True
        known = _known(domain)
        if known.get(name) is False:
            return False
        if name not in known:
            xml = snapshot_xml.build_leftover(name, domain.XMLDesc(_DEFINITION))
            domain.snapshotCreateXML(xml, libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE)
        try:
            domain.snapshotLookupByName(name, 0).delete(0)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT:
                raise
        return True

    def _ours(self, uuid: UUID) -> libvirt.virDomain:
        domain = self._domains.ours_if_any(uuid)
        if domain is None:
            raise NotFound(f"no domain {uuid}")
        return domain


def _known(domain: libvirt.virDomain) -> dict[str, bool]:
    """Every snapshot, and whether it is complete: libvirt gives one its place in the tree when it is written."""
    known = {snapshot.getName(): False for snapshot in domain.listAllSnapshots(0)}
    for root in domain.listAllSnapshots(_ROOTS) if known else ():
        for snapshot in (root, *root.listAllChildren(_BELOW)):
            known[snapshot.getName()] = True
    return known


def _read(domain: libvirt.virDomain) -> list[SnapshotState]:
    known = _known(domain)
    current = domain.snapshotCurrent(0).getName() if known and domain.hasCurrentSnapshot(0) else None
    found = []
    for name, complete in known.items():
        try:
            text = domain.snapshotLookupByName(name, 0).getXMLDesc(0)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT:
                raise
            continue
        found.append(snapshot_xml.read(text, current=name == current, complete=complete))
    return found
