"""Networks, reservations and the boot marker as libvirt's XML."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv4Address, ip_network
from typing import Final, Literal
from uuid import UUID

from hypervisor import names, xml_tree
from hypervisor.specs import DhcpReservation, DhcpServer, Forwarding, LanSpec, NetworkSpec, PortForward, Subnet
from hypervisor.xml_tree import E, Element, ElementMaker

NAMESPACE = "urn:cloudsite:network:1"
_OURS = ElementMaker(NAMESPACE, "cs")
QUESTION: Final = "cs-ask"
MAX_ANSWER: Final = 64 * 1024
_FORWARD: Final = re.compile(r"cs-(tcp|udp)-([0-9]{1,5})-([0-9.]{7,15})-([0-9]{1,5})", re.ASCII)
_ANSWER: Final = re.compile(r"CLOUDSITE-HOOK 1 listening ([a-z0-9 -]*)", re.ASCII)
_LISTENING: Final = re.compile(r"\b(tcp|udp)-([0-9]{1,5})\b", re.ASCII)


def build_network(spec: NetworkSpec | LanSpec) -> str:
    return xml_tree.render(_lan(spec) if isinstance(spec, LanSpec) else _network(spec, spec.reservations))


def _lan(spec: LanSpec) -> Element:
    network = _head(spec)
    if spec.is_bridge:
        network.extend((E.forward(mode="bridge"), E.bridge(name=spec.device)))
    else:
        network.append(E.forward(E.interface(dev=spec.device), mode="bridge"))
    return network


def _head(spec: NetworkSpec | LanSpec) -> Element:
    return E.network(
        E.name(spec.name),
        E.uuid(str(spec.uuid)),
        E.metadata(_OURS.network(installation=spec.installation)),
    )


def _network(spec: NetworkSpec, reservations: Iterable[DhcpReservation]) -> Element:
    network = _head(spec)
    if not spec.isolated:
        network.append(E.forward(mode="nat"))
    network.append(E.bridge(name=spec.bridge, stp="on", delay="0"))
    if spec.mtu is not None:
        network.append(E.mtu(size=str(spec.mtu)))
    dhcp = E.dhcp(E.range(_lease(spec.lease_minutes), start=str(spec.dhcp_start), end=str(spec.dhcp_end)))
    dhcp.extend(_reservation(reservation, spec.lease_minutes) for reservation in reservations)
    network.append(E.ip(dhcp, address=str(spec.gateway), netmask=str(spec.cidr.netmask)))
    return network


def _lease(minutes: int) -> Element:
    return E.lease(expiry=str(minutes), unit="minutes")


def _reservation(reservation: DhcpReservation, lease_minutes: int) -> Element:
    return E.host(_lease(lease_minutes), mac=reservation.mac, ip=str(reservation.ip))


def merge_network(current: str, spec: NetworkSpec | LanSpec) -> str | None:
    """The definition that says what the spec says and keeps further reservations; None when it already
    does.
    """
    actual = xml_tree.parse(current)
    if isinstance(spec, LanSpec):
        return None if xml_tree.contains(actual, _lan(spec)) else build_network(spec)
    reserved = _reserved(actual)
    missing = {r.mac: r.ip for r in spec.reservations if reserved.get(r.mac) != r.ip}
    if not missing and xml_tree.contains(actual, _network(spec, ())):
        return None
    addresses = set(missing.values())
    kept = {mac: ip for mac, ip in reserved.items() if ip not in addresses}
    every = (DhcpReservation(mac=mac, ip=ip) for mac, ip in (kept | missing).items())
    merged = _network(spec, every)
    merged.extend(_forward(forward) for forward in _forwards(actual))
    return xml_tree.render(merged)


def _reserved(network: Element) -> dict[str, IPv4Address]:
    """Reservations by MAC; somebody's odd ones (by name or client id alone) are not ours to understand."""
    found = {}
    for host in network.iterfind("ip/dhcp/host"):
        with suppress(ValueError):
            found[names.mac_address(host.get("mac", "").lower())] = IPv4Address(host.get("ip", ""))
    return found


def build_reservation(reservation: DhcpReservation, *, lease_minutes: int) -> str:
    return xml_tree.render(_reservation(reservation, lease_minutes))


# --- port forwards: port groups, because libvirt keeps them with the network, changes them while it runs without
# touching anything else, and shows them to the hook (deploy/libvirt/network-hook) that makes the rules
def build_forward(forward: PortForward) -> str:
    return xml_tree.render(_forward(forward))


def _forward(forward: PortForward) -> Element:
    name = f"cs-{forward.protocol}-{forward.host_port}-{forward.address}-{forward.guest_port}"
    return E.portgroup(name=name)


def read_forwards(text: str) -> list[PortForward]:
    return _forwards(xml_tree.parse(text))


def _forwards(network: Element) -> list[PortForward]:
    """Port groups of other names are not ours to understand."""
    found = []
    for group in network.iterfind("portgroup"):
        match = _FORWARD.fullmatch(group.get("name", ""))
        if match is not None:
            protocol: Literal["tcp", "udp"] = "tcp" if match[1] == "tcp" else "udp"
            with suppress(ValueError):
                address = IPv4Address(match[3])
                found.append(
                    PortForward(protocol=protocol, host_port=int(match[2]), address=address, guest_port=int(match[4]))
                )
    return found


def build_question() -> str:
    """A network that the hook refuses to start; its refusal is the answer. Without the hook it has no interface."""
    return xml_tree.render(E.network(E.name(QUESTION), E.forward(mode="private")))


def read_answer(refusal: str) -> Forwarding | None:
    """What the hook said; None where the refusal is not its, or it lacks what it needs."""
    match = _ANSWER.search(refusal[:MAX_ANSWER])
    if match is None:
        return None
    return Forwarding(listening=frozenset((protocol, int(port)) for protocol, port in _LISTENING.findall(match[1])))


def read_lease_minutes(text: str) -> int:
    """How long the network's own range leases; reservations follow it."""
    lease = xml_tree.parse(text).find("ip/dhcp/range/lease")
    return int(lease.get("expiry", "5")) if lease is not None else 5


def read_reservations(text: str) -> dict[str, IPv4Address]:
    return _reserved(xml_tree.parse(text))


def read_installation(text: str) -> str | None:
    ours = xml_tree.parse(text).find(f"metadata/{{{NAMESPACE}}}network")
    return None if ours is None else ours.get("installation")


def read_bridge(text: str) -> str:
    bridge = xml_tree.parse(text).find("bridge")
    return "" if bridge is None else bridge.get("name", "")


def read_dhcp_server(text: str) -> DhcpServer | None:
    """None for a network without DHCP of libvirt's."""
    root = xml_tree.parse(text)
    with suppress(ValueError):
        for ip in root.iterfind("ip[dhcp]"):
            return DhcpServer(bridge=read_bridge(text), address=IPv4Address(ip.get("address", "")))
    return None


def read_subnets(text: str) -> Iterator[Subnet]:
    """Subnets of a network's own addresses and of the routes it sets."""
    root = xml_tree.parse(text)
    for element in (*root.iterfind("ip"), *root.iterfind("route")):
        mask = element.get("prefix") or element.get("netmask")
        address = element.get("address")
        if address and mask:
            with suppress(ValueError):
                yield ip_network(f"{address}/{mask}", strict=False)


def build_boot_marker(name: str, identity: UUID) -> str:
    """A network of kind `private` without an interface: libvirt notes it below /run and touches nothing on
    the host.
    """
    return xml_tree.render(E.network(E.name(name), E.uuid(str(identity)), E.forward(mode="private")))
