"""Networks, DHCP, and addresses with where they were seen."""

import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal
from uuid import UUID

from hypervisor import names

AddressSource = Literal["lease", "arp", "agent"]
Subnet = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class DhcpReservation:
    """It carries no host name: libvirt wants those unique within a network, and guests may share one."""

    mac: str
    ip: IPv4Address

    def __post_init__(self) -> None:
        names.mac_address(self.mac)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """A network of its own on the host with DHCP: behind NAT, or `isolated` with no way out.

    Give it all its `reservations` (`every_reservation`) at once: a later one makes libvirt take down and set
    up the network's firewall rules, which costs 0.3 s and the packets of every guest meanwhile (measured,
    libvirt 9.0). Leases are short, because dnsmasq keeps a reserved address from its guest while another MAC
    still leases it.
    """

    name: str
    uuid: UUID
    bridge: str
    cidr: IPv4Network
    gateway: IPv4Address
    dhcp_start: IPv4Address
    dhcp_end: IPv4Address
    installation: str
    isolated: bool = False
    reservations: tuple[DhcpReservation, ...] = ()
    mtu: int | None = None
    lease_minutes: int = 5

    def __post_init__(self) -> None:
        names.object_name(self.name)
        names.bridge_name(self.bridge)
        names.token(self.installation)
        for address in (self.gateway, self.dhcp_start, self.dhcp_end):
            if address not in self.cidr:
                raise ValueError(f"{address} is not in {self.cidr}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LanSpec:
    """The network that the host itself is in: over a bridge of the host, or as macvtap on a card of it.

    Over macvtap host and guest do not reach each other, and a Wi-Fi card refuses other MACs than its own.
    """

    name: str
    uuid: UUID
    device: str
    is_bridge: bool
    installation: str

    def __post_init__(self) -> None:
        names.object_name(self.name)
        names.device_name(self.device)
        names.token(self.installation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uplink:
    """Where the host's default route goes."""

    device: str
    kind: Literal["bridge", "ethernet", "wireless"]


Protocol = Literal["tcp", "udp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PortForward:
    """A port of the host that leads to a guest behind NAT. On one host it is known by protocol and host port."""

    protocol: Protocol
    host_port: int
    address: IPv4Address
    guest_port: int

    def __post_init__(self) -> None:
        if self.protocol not in ("tcp", "udp"):
            raise ValueError(f"not a protocol: {self.protocol!r}")
        for port in (self.host_port, self.guest_port):
            if not 0 < port < 65536:
                raise ValueError(f"not a port: {port}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarding:
    """A host on which port forwards work, and the ports its own programs listen on."""

    listening: frozenset[tuple[Protocol, int]]


def mac_for(network: UUID, ip: IPv4Address) -> str:
    """The MAC that belongs to an address: whoever gets the address gets the MAC with it.

    So a network knows all its guests from the start, and an address that changes hands changes nothing in
    DHCP or ARP. Locally administered, unicast: two bytes of the network's UUID keep networks with the same
    subnet apart.
    """
    octets = bytes([0x52, *network.bytes[-2:], *ip.packed[-3:]])
    return octets.hex(":")


def mac_without_address(network: UUID, guest: UUID) -> str:
    """The MAC of a guest in a network that has no addresses of ours; its own each, the same when asked again."""
    digest = hashlib.sha256(network.bytes + guest.bytes).digest()
    return bytes([0x56, *digest[:5]]).hex(":")


def every_reservation(network: UUID, start: IPv4Address, end: IPv4Address) -> tuple[DhcpReservation, ...]:
    """One reservation for every address from `start` to `end`."""
    addresses = (IPv4Address(number) for number in range(int(start), int(end) + 1))
    return tuple(DhcpReservation(mac=mac_for(network, ip), ip=ip) for ip in addresses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What the DHCP server handed out; `hostname` is the guest's claim."""

    mac: str
    ip: IPv4Address | IPv6Address
    hostname: str
    expires_at: int  # Unix time on the host's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class DhcpServer:
    """Where a network's DHCP server listens."""

    bridge: str
    address: IPv4Address

    def __post_init__(self) -> None:
        names.bridge_name(self.bridge)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestAddress:
    """`lease` is the DHCP server's word, `arp` what the host's kernel saw, `agent` the guest's claim."""

    mac: str
    ip: IPv4Address | IPv6Address
    source: AddressSource
