"""The bridge of a lab and the cables (veth pairs) from it into the hosts."""

from ipaddress import IPv4Address, IPv4Network

from lab.process import run


def create_bridge(name: str, *, address: IPv4Address, network: IPv4Network) -> None:
    """Create the bridge with the machine's own address on it."""
    run(["ip", "link", "add", name, "type", "bridge", "forward_delay", "0"])
    run(["ip", "address", "add", f"{address}/{network.prefixlen}", "dev", name])
    run(["ip", "link", "set", name, "up"])


def remove_link(name: str) -> None:
    """Remove an interface; one that does not exist is fine."""
    run(["ip", "link", "delete", name], check=False)


def link_exists(name: str) -> bool:
    """Whether the machine has an interface of that name."""
    return run(["ip", "link", "show", name], check=False).returncode == 0


def plug(cable: str, *, bridge: str, pid: int, address: str) -> None:
    """Connect the network namespace of process `pid` to the bridge; its end is called eth0.

    A network card keeps its hardware address over a reboot. With a new one each time, neighbours would send to
    the old one until their ARP entry ages, and a rebooted host would be out of reach for up to a minute.
    """
    remove_link(cable)
    card = ["name", "eth0", "address", hardware_address(address)]
    run(["ip", "link", "add", cable, "type", "veth", "peer", *card, "netns", str(pid)])
    run(["ip", "link", "set", cable, "master", bridge, "up"])


def hardware_address(address: str) -> str:
    """The MAC address of the host with that IPv4 address: locally administered, one of its own each."""
    return "02:00:" + IPv4Address(address).packed.hex(":")


def set_plugged(cable: str, *, plugged: bool) -> None:
    """Cut a cable or mend it: the host sees its carrier go and come back."""
    run(["ip", "link", "set", cable, "up" if plugged else "down"])
