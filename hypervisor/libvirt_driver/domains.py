"""Domains: define, power, read. Every call that changes something first makes sure the domain is ours."""

import contextlib
from collections.abc import Callable, Collection, Iterator
from ipaddress import ip_address
from typing import Final
from uuid import UUID

import libvirt

from hypervisor import cdrom_xml, domain_merge, domain_xml, names
from hypervisor.errors import Conflict, ForeignObject, Rejected, StaleFence
from hypervisor.libvirt_driver import states
from hypervisor.specs import (
    AddressSource,
    Button,
    DomainMetadata,
    DomainSpec,
    DomainState,
    DomainSummary,
    GuestAddress,
    Power,
)

_SOURCES: Final[dict[AddressSource, int]] = {
    "lease": libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
    "arp": libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
    "agent": libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,
}
_UNDEFINE_ANY: Final = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
_UNDEFINE: Final = _UNDEFINE_ANY | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
_UP: Final = (Power.RUNNING, Power.PAUSED)


class Domains:
    def __init__(
        self,
        connection: libvirt.virConnect,
        *,
        installation: str,
        path_of: domain_xml.PathOf,
        domain_type: str | None,
    ) -> None:
        self._connection = connection
        self._installation = installation
        self.path_of = path_of
        self._domain_type = domain_type

    # --- finding
    def find(self, uuid: UUID) -> libvirt.virDomain | None:
        try:
            return self._connection.lookupByUUID(uuid.bytes)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise

    def ours(self, uuid: UUID) -> libvirt.virDomain:
        domain = self._connection.lookupByUUID(uuid.bytes)
        self._fence_of(domain)
        return domain

    def ours_if_any(self, uuid: UUID) -> libvirt.virDomain | None:
        domain = self.find(uuid)
        if domain is not None:
            self._fence_of(domain)
        return domain

    def taken_over(self, uuid: UUID, metadata: DomainMetadata) -> libvirt.virDomain | None:
        """The domain with our fence in it, so that who comes late with a lower one is refused. None: missing."""
        domain = self.find(uuid)
        if domain is None:
            return None
        fence = self._fence_of(domain)
        if fence > metadata.fence:
            raise StaleFence(f"domain {uuid} has fence {fence}, asked with {metadata.fence}")
        self.mark(domain, metadata)
        return domain

    def _fence_of(self, domain: libvirt.virDomain) -> int:
        """The fence in our mark; `ForeignObject` when the mark is missing or another installation's."""
        try:
            text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, domain_xml.NAMESPACE, 0)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN_METADATA:
                raise
            raise ForeignObject(f"domain {domain.UUIDString()} is nobody's of ours") from error
        installation, fence = domain_xml.read_metadata(text)
        if installation != self._installation:
            raise ForeignObject(f"domain {domain.UUIDString()} belongs to installation {installation}")
        return fence

    # --- defining
    def ensure_defined(self, spec: DomainSpec) -> None:
        if spec.metadata.installation != self._installation:
            raise ForeignObject("the spec is marked for another installation")
        domain = self.find(spec.uuid)
        if domain is None:
            self._connection.defineXML(domain_xml.build(spec, self.path_of, domain_type=self._domain_type))
            return
        fence = self._fence_of(domain)
        if fence > spec.metadata.fence:
            raise StaleFence(f"domain {spec.uuid} has fence {fence}, asked with {spec.metadata.fence}")
        current = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
        changed = domain_merge.merge(current, spec, self.path_of, domain_type=self._domain_type)
        if changed is not None or not domain.isPersistent():
            domain = self._connection.defineXML(changed or current)
        self.mark(domain, spec.metadata)

    def mark(self, domain: libvirt.virDomain, metadata: DomainMetadata) -> None:
        """Written beside the definition because a running guest has two, and a fence has to be in both."""
        wanted = domain_xml.build_metadata(metadata)
        flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG
        if domain.isActive():
            flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
        for flag in (libvirt.VIR_DOMAIN_AFFECT_CONFIG, libvirt.VIR_DOMAIN_AFFECT_LIVE):
            if flags & flag and not domain_xml.same(self._metadata(domain, flag), wanted):
                domain.setMetadata(
                    libvirt.VIR_DOMAIN_METADATA_ELEMENT, wanted, domain_xml.PREFIX, domain_xml.NAMESPACE, flag
                )

    def _metadata(self, domain: libvirt.virDomain, flag: int) -> str:
        with contextlib.suppress(libvirt.libvirtError):
            return domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, domain_xml.NAMESPACE, flag)
        return ""

    def undefine(self, uuid: UUID) -> None:
        domain = self.ours_if_any(uuid)
        if domain is None:
            return
        if domain.isActive():
            raise Conflict(f"domain {uuid} is not off")
        with _tolerating(lambda: self.find(uuid) is None):
            _undefine(domain)

    # --- power
    def ensure_running(self, uuid: UUID) -> None:
        domain = self.ours(uuid)
        power, reason = _power(domain)
        if power is Power.RUNNING:
            return
        if power is Power.PAUSED and reason in states.NOT_OURS_TO_RESUME:
            raise Conflict(f"domain {uuid} is paused: {reason}")
        with _tolerating(lambda: _power(domain)[0] is Power.RUNNING):
            if reason == "power-management":
                domain.pMWakeup(0)
            elif power is Power.PAUSED:
                domain.resume()
            else:
                domain.create()

    def set_paused(self, uuid: UUID, *, paused: bool) -> None:
        domain = self.ours(uuid)
        power, reason = _power(domain)
        if power not in _UP:
            raise Rejected(f"domain {uuid} is {power}")
        wanted = Power.PAUSED if paused else Power.RUNNING
        if power is wanted:
            return
        if not paused and reason in states.NOT_OURS_TO_RESUME:
            raise Conflict(f"domain {uuid} is paused: {reason}")
        with _tolerating(lambda: _power(domain)[0] is wanted):
            if paused:
                domain.suspend()
            else:
                domain.resume()

    def set_live_size(self, uuid: UUID, *, vcpus: int, memory_mib: int) -> None:
        domain = self.ours(uuid)
        if not domain.isActive():
            return
        _state, _most, memory_kib, now_vcpus, _time = domain.info()
        if vcpus < now_vcpus:
            raise Rejected(f"domain {uuid} runs with {now_vcpus} vCPUs; a running guest does not give any back")
        if vcpus > now_vcpus:
            domain.setVcpusFlags(vcpus, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        if memory_kib != memory_mib * 1024:
            domain.setMemoryFlags(memory_mib * 1024, libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def power_off(self, uuid: UUID) -> None:
        domain = self.ours_if_any(uuid)
        if domain is None or not domain.isActive():
            return
        with _tolerating(lambda: self.find(uuid) is None or not domain.isActive()):
            domain.destroy()

    def press(self, uuid: UUID, button: Button) -> None:
        domain = self.ours(uuid)
        power, _reason = _power(domain)
        if power not in _UP:
            raise Rejected(f"domain {uuid} is {power}")
        if button is Button.SHUTDOWN:
            domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
        elif button is Button.REBOOT:
            domain.reboot(libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN)
        else:
            domain.reset(0)

    def up(self, uuid: UUID) -> libvirt.virDomain:
        """A domain of ours that is not off."""
        domain = self.ours(uuid)
        power, _reason = _power(domain)
        if power not in _UP:
            raise Rejected(f"domain {uuid} is {power}")
        return domain

    def eject(self, uuid: UUID, pool: str, volume: str) -> None:
        """The guest may have locked the drive; then it is opened by force, as with a pin."""
        domain = self.ours(uuid)
        if not domain.isActive():
            return
        empty = cdrom_xml.emptied(domain.XMLDesc(0), self.path_of(pool, volume))
        if empty is not None:
            domain.updateDeviceFlags(empty, libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_DEVICE_MODIFY_FORCE)

    # --- reading
    def summaries(self) -> list[DomainSummary]:
        """One call whatever their number. Probe and copy guests are our own tools, not somebody's domains."""
        everything = self._connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0)
        power_of = states.power_of
        found = []
        for domain, stats in everything:
            name = domain.name()
            if name.startswith((names.PROBE_PREFIX, names.COPY_PREFIX)):
                continue
            power, reason = power_of(stats.get("state.state", 0), stats.get("state.reason", 0))
            found.append(DomainSummary(uuid=UUID(bytes=domain.UUID()), name=name, power=power, reason=reason))
        return found

    def describe(self, uuids: Collection[UUID]) -> dict[UUID, DomainState]:
        return {uuid: state for uuid in uuids if (state := self.describe_one(uuid)) is not None}

    def describe_one(self, uuid: UUID) -> DomainState | None:
        """A domain may vanish between two calls; then it is not there."""
        domain = self.find(uuid)
        if domain is None:
            return None
        try:
            power, reason = _power(domain)
            xml = domain_xml.read(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
            persistent, autostart = bool(domain.isPersistent()), bool(domain.autostart())
            _state, _most, memory_kib, vcpus, _time = domain.info()
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise
        return DomainState(
            uuid=uuid,
            name=xml.name,
            power=power,
            reason=reason,
            title=xml.title,
            vcpus=xml.vcpus,
            memory_mib=xml.memory_mib,
            persistent=persistent,
            autostart=autostart,
            installation=xml.installation,
            fence=xml.fence,
            max_vcpus=xml.max_vcpus,
            max_memory_mib=xml.max_memory_mib,
            live_vcpus=vcpus if power in _UP else None,
            live_memory_mib=memory_kib // 1024 if power in _UP else None,
            disk_paths=xml.disk_paths,
            macs=xml.macs,
        )

    def addresses(self, uuid: UUID, sources: tuple[AddressSource, ...]) -> list[GuestAddress]:
        domain = self.find(uuid)
        if domain is None or not domain.isActive():
            return []
        return [address for source in sources for address in _addresses(domain, source)]


def _undefine(domain: libvirt.virDomain) -> None:
    """A driver that knows no NVRAM and no checkpoints (libvirt's test driver) has none to forget."""
    try:
        domain.undefineFlags(_UNDEFINE)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_INVALID_ARG:
            raise
        domain.undefineFlags(_UNDEFINE_ANY)


def _power(domain: libvirt.virDomain) -> tuple[Power, str]:
    state, reason = domain.state(0)
    return states.power_of(state, reason)


def _addresses(domain: libvirt.virDomain, source: AddressSource) -> list[GuestAddress]:
    """No agent, no lease, a source this libvirt does not have: no address. What a guest claims may be
    nonsense.
    """
    try:
        interfaces = domain.interfaceAddresses(_SOURCES[source], 0) or {}
    except libvirt.libvirtError as error:
        if error.get_error_domain() in (libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE):
            raise
        return []
    found = []
    for interface in interfaces.values():
        for entry in interface.get("addrs") or ():
            with contextlib.suppress(ValueError):
                ip = ip_address(str(entry["addr"]))
                found.append(GuestAddress(mac=str(interface["hwaddr"] or "").lower(), ip=ip, source=source))
    return [address for address in found if not address.ip.is_loopback]


@contextlib.contextmanager
def _tolerating(reached: Callable[[], bool]) -> Iterator[None]:
    """Somebody else may do the same at the same time: when the goal is reached, the error does not matter."""
    try:
        yield
    except libvirt.libvirtError as error:
        if error.get_error_domain() in (libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE) or not reached():
            raise
