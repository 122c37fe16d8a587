"""Chooses an IPv4 /24 that nothing on this machine uses."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from lab.errors import LabError
from lab.process import run

CANDIDATES = IPv4Network("10.160.0.0/12")
FIRST_HOST = 11


@dataclass(frozen=True)
class Plan:
    """The addresses of one lab."""

    network: IPv4Network

    @property
    def machine(self) -> IPv4Address:
        """The machine's own address on the bridge."""
        return self.network[1]

    @property
    def outside(self) -> IPv4Address:
        """The gateway of all hosts: the namespace that plays the internet."""
        return self.network[2]

    def host(self, index: int) -> IPv4Address:
        """The address of host number `index`, from 0."""
        return self.network[FIRST_HOST + index]


def free_plan() -> Plan:
    """The first free network; call it with the machine-wide lock held and use it before letting go."""
    used = tuple(used_networks())
    for network in CANDIDATES.subnets(new_prefix=24):
        if not any(network.overlaps(other) for other in used):
            return Plan(network=network)
    raise LabError(f"no free /24 in {CANDIDATES} on this machine")


def used_networks() -> Iterable[IPv4Network]:
    """Networks of the machine's addresses and routes, without the default route."""
    for link in json.loads(run(["ip", "-j", "-4", "addr"]).stdout or "[]"):
        for address in link.get("addr_info", ()):
            yield IPv4Network(f"{address['local']}/{address['prefixlen']}", strict=False)
    for route in json.loads(run(["ip", "-j", "-4", "route"]).stdout or "[]"):
        if route["dst"] != "default":
            yield IPv4Network(route["dst"], strict=False)
