"""Networks, DHCP reservations, leases."""

from contextlib import suppress
from ipaddress import ip_address

import libvirt

from hypervisor import network_xml
from hypervisor.errors import Conflict, ForeignObject
from hypervisor.specs import DhcpReservation, DhcpServer, LanSpec, Lease, NetworkSpec, Subnet


class Networks:
    def __init__(self, connection: libvirt.virConnect, installation: str) -> None:
        self._connection = connection
        self._installation = installation

    def _find(self, name: str) -> libvirt.virNetwork | None:
        try:
            return self._connection.networkLookupByName(name)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_NETWORK:
                return None
            raise

    def _ours(self, name: str) -> tuple[libvirt.virNetwork, str] | None:
        """The network and its persistent definition, None when missing."""
        network = self._find(name)
        if network is None:
            return None
        xml = _definition(network)
        if network_xml.read_installation(xml) != self._installation:
            raise ForeignObject(f"network {name} is not ours")
        return network, xml

    def ours(self, name: str) -> libvirt.virNetwork | None:
        found = self._ours(name)
        return None if found is None else found[0]

    def ensure(self, spec: NetworkSpec | LanSpec) -> None:
        found = self._ours(spec.name)
        if found is None:
            if isinstance(spec, NetworkSpec):
                self._refuse_taken_bridge(spec)
            network = self._connection.networkDefineXML(network_xml.build_network(spec))
        else:
            network, current = found
            if network.UUIDString() != str(spec.uuid):
                raise Conflict(f"network {spec.name} has another UUID")
            changed = network_xml.merge_network(current, spec)
            if changed is not None:
                network = self._connection.networkDefineXML(changed)
        if not network.autostart():
            network.setAutostart(1)
        if not network.isActive():
            self._start(network)

    def _refuse_taken_bridge(self, spec: NetworkSpec) -> None:
        """libvirt notices a bridge that another running network uses, but not that of a network that is
        off.
        """
        for network in self._connection.listAllNetworks(0):
            if network_xml.read_bridge(network.XMLDesc(0)) == spec.bridge:
                raise Conflict(f"bridge {spec.bridge} belongs to network {network.name()}")

    def _start(self, network: libvirt.virNetwork) -> None:
        """One that cannot start is not left behind: its subnet is probably taken, and the caller will try
        another.
        """
        try:
            network.create()
        except libvirt.libvirtError as error:
            if network.isActive():  # somebody else was faster
                return
            if "already in use" in str(error):
                network.undefine()
            raise

    def remove(self, name: str) -> None:
        found = self._ours(name)
        if found is None:
            return
        network, _xml = found
        if network.isActive():
            network.destroy()
        if network.isPersistent():
            network.undefine()

    def ensure_reservation(self, name: str, reservation: DhcpReservation) -> None:
        network, xml = self._ours_or_fail(name)
        reserved = network_xml.read_reservations(xml).get(reservation.mac)
        if reserved == reservation.ip:
            return
        if reserved is not None:
            old = DhcpReservation(mac=reservation.mac, ip=reserved)
            self._update(network, xml, libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, old)
        self._update(network, xml, libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, reservation)

    def remove_reservation(self, name: str, mac: str) -> None:
        found = self._ours(name)
        if found is None:
            return
        network, xml = found
        reserved = network_xml.read_reservations(xml).get(mac)
        if reserved is not None:
            old = DhcpReservation(mac=mac, ip=reserved)
            self._update(network, xml, libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, old)

    def _ours_or_fail(self, name: str) -> tuple[libvirt.virNetwork, str]:
        found = self._ours(name)
        if found is None:
            self._connection.networkLookupByName(name)  # raises the host's own "not found"
            raise Conflict(f"network {name} appeared while it was looked up")
        return found

    def _update(self, network: libvirt.virNetwork, xml: str, command: int, reservation: DhcpReservation) -> None:
        """In the definition, and at once in the DHCP server when the network runs. Found by MAC and
        address together.
        """
        flags = libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG
        if network.isActive():
            flags |= libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE
        minutes = network_xml.read_lease_minutes(xml)
        host = network_xml.build_reservation(reservation, lease_minutes=minutes)
        network.update(command, libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST, -1, host, flags)

    def leases(self, name: str) -> list[Lease]:
        return [
            Lease(
                mac=str(lease["mac"]).lower(),
                ip=ip_address(str(lease["ipaddr"])),
                hostname=str(lease["hostname"] or ""),
                expires_at=int(lease["expirytime"]),
            )
            for lease in self._connection.networkLookupByName(name).DHCPLeases()
            if lease["mac"]
        ]

    def dhcp_server(self, name: str) -> DhcpServer | None:
        """None where there is none of ours."""
        network = self.ours(name)
        return network_xml.read_dhcp_server(network.XMLDesc(0)) if network is not None else None

    def subnets(self) -> frozenset[Subnet]:
        found: set[Subnet] = set()
        for network in self._connection.listAllNetworks(0):
            found.update(network_xml.read_subnets(network.XMLDesc(0)))
        return frozenset(found)


def _definition(network: libvirt.virNetwork) -> str:
    """What it will be at its next start; what it is now where that is all there is (transient, libvirt's
    test driver).
    """
    if network.isPersistent():
        with suppress(libvirt.libvirtError):
            return network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE)
    return network.XMLDesc(0)
