"""Networks, reservations and leases of a fake host."""

import time
from ipaddress import IPv4Address, IPv4Network

from hypervisor.errors import Conflict, ForeignObject, NotFound
from hypervisor.fake.store import Body, State
from hypervisor.specs import DhcpReservation, LanSpec, Lease, NetworkSpec, Power, Subnet


def ensure(state: State, installation: str, spec: NetworkSpec | LanSpec) -> None:
    found = ours(state, installation, spec.name)
    if found is not None and found["uuid"] != str(spec.uuid):
        raise Conflict(f"network {spec.name} has another UUID")
    if isinstance(spec, LanSpec):
        body: Body = {"uuid": str(spec.uuid), "bridge": spec.device, "cidr": "", "kind": "lan", "reservations": {}}
        state.put("network", spec.name, body | {"installation": spec.installation, "lease_minutes": 0})
        return
    for name, other in state.all("network").items():
        if name != spec.name and other["bridge"] == spec.bridge:
            raise Conflict(f"bridge {spec.bridge} belongs to network {name}")
        if name != spec.name and other["cidr"] and IPv4Network(other["cidr"]).overlaps(spec.cidr):
            raise Conflict(f"{spec.cidr} is already in use by network {name}")
    reservations = (found or {}).get("reservations", {})
    addresses = {str(r.ip) for r in spec.reservations}
    kept = {mac: ip for mac, ip in reservations.items() if ip not in addresses}
    kind = "isolated" if spec.isolated else "nat"
    body = {"uuid": str(spec.uuid), "bridge": spec.bridge, "cidr": str(spec.cidr), "kind": kind}
    body |= {"installation": spec.installation, "lease_minutes": spec.lease_minutes}
    body["forwards"] = (found or {}).get("forwards", {})
    body["reservations"] = kept | {r.mac: str(r.ip) for r in spec.reservations}
    state.put("network", spec.name, body)


def ours(state: State, installation: str, name: str) -> Body | None:
    network = state.get("network", name)
    if network is not None and network["installation"] != installation:
        raise ForeignObject(f"network {name} is not ours")
    return network


def remove(state: State, installation: str, name: str) -> None:
    if ours(state, installation, name) is not None:
        state.remove("network", name)


def ensure_reservation(state: State, installation: str, name: str, reservation: DhcpReservation) -> None:
    network = ours(state, installation, name)
    if network is None:
        raise NotFound(f"no network {name}")
    taken = {ip: mac for mac, ip in network["reservations"].items()}
    if taken.get(str(reservation.ip), reservation.mac) != reservation.mac:
        raise Conflict(f"there is an existing dhcp host entry for {reservation.ip}")
    network["reservations"][reservation.mac] = str(reservation.ip)
    state.put("network", name, network)


def remove_reservation(state: State, installation: str, name: str, mac: str) -> None:
    network = ours(state, installation, name)
    if network is not None and network["reservations"].pop(mac, None) is not None:
        state.put("network", name, network)


def subnets(state: State) -> frozenset[Subnet]:
    return frozenset(IPv4Network(network["cidr"]) for network in state.all("network").values() if network["cidr"])


def leases(state: State, name: str) -> list[Lease]:
    """A guest of this host has its address as soon as it runs."""
    network = state.get("network", name)
    if network is None:
        raise NotFound(f"no network {name}")
    running = (d for d in state.all("domain").values() if d["power"] == Power.RUNNING)
    macs = {mac for domain in running for mac in domain["macs"]}
    expires_at = int(time.time()) + 60 * int(network["lease_minutes"])
    return [
        Lease(mac=mac, ip=IPv4Address(ip), hostname="", expires_at=expires_at)
        for mac, ip in network["reservations"].items()
        if mac in macs
    ]
