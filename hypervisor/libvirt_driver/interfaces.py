"""Network interfaces of domains, added and taken off while a guest runs."""

from uuid import UUID

import libvirt

from hypervisor import domain_xml
from hypervisor.libvirt_driver.domains import Domains
from hypervisor.specs import NicSpec

_DEFINED = libvirt.VIR_DOMAIN_XML_INACTIVE
_PARTS = ((libvirt.VIR_DOMAIN_AFFECT_LIVE, 0), (libvirt.VIR_DOMAIN_AFFECT_CONFIG, _DEFINED))


def ensure_nic(domains: Domains, uuid: UUID, nic: NicSpec) -> None:
    """What runs first: libvirt then gives the definition the same place on the bus, so that the guest finds the
    interface under the same name after its next start.
    """
    domain = domains.ours(uuid)
    missing = [flag for flag, part in _parts(domain) if nic.mac not in domain_xml.interfaces(domain.XMLDesc(part))]
    for flag in missing:
        domain.attachDeviceFlags(domain_xml.build_interface(nic), flag)


def remove_nic(domains: Domains, uuid: UUID, mac: str) -> bool:
    """A guest has to let go of it, which it may do late or never; libvirt waits some seconds for it."""
    domain = domains.ours_if_any(uuid)
    if domain is None:
        return True
    for flag, part in _parts(domain):
        interface = domain_xml.interfaces(domain.XMLDesc(part)).get(mac)
        if interface is not None:
            domain.detachDeviceFlags(interface, flag)
    return all(mac not in domain_xml.interfaces(domain.XMLDesc(part)) for _flag, part in _parts(domain))


def _parts(domain: libvirt.virDomain) -> list[tuple[int, int]]:
    """A running guest has two definitions: as it runs, and as it starts next time."""
    return list(_PARTS if domain.isActive() else _PARTS[1:])
