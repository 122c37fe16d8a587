"""Port forwards: kept by libvirt as port groups of the network, made rules by our hook on the host."""

from contextlib import suppress
from typing import Literal

import libvirt

from hypervisor import network_xml
from hypervisor.errors import NotFound
from hypervisor.libvirt_driver.networks import Networks
from hypervisor.specs import Forwarding, PortForward

_PARTS = (
    (libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE, 0),
    (libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG, libvirt.VIR_NETWORK_XML_INACTIVE),
)


def forwarding(connection: libvirt.virConnect) -> Forwarding | None:
    """Ask the hook by a network that it refuses; where there is none, the network is made and goes at once."""
    try:
        network = connection.networkCreateXML(network_xml.build_question())
    except libvirt.libvirtError as error:
        if error.get_error_domain() in (libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE):
            raise
        return network_xml.read_answer(error.get_error_message() or "")
    with suppress(libvirt.libvirtError):  # somebody else asked at the same time
        network.destroy()
    return None


def ensure_forward(networks: Networks, name: str, forward: PortForward) -> None:
    network = networks.ours(name)
    if network is None:
        raise NotFound(f"no network {name}")
    for flag, part in _parts(network):
        there = network_xml.read_forwards(network.XMLDesc(part))
        if forward in there:
            continue
        for old in there:
            if (old.protocol, old.host_port) == (forward.protocol, forward.host_port):
                _update(network, libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, old, flag)
        _update(network, libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, forward, flag)


def remove_forward(networks: Networks, name: str, protocol: Literal["tcp", "udp"], host_port: int) -> None:
    network = networks.ours(name)
    if network is None:
        return
    for flag, part in _parts(network):
        for old in network_xml.read_forwards(network.XMLDesc(part)):
            if (old.protocol, old.host_port) == (protocol, host_port):
                _update(network, libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, old, flag)


def _update(network: libvirt.virNetwork, command: int, forward: PortForward, flag: int) -> None:
    group = network_xml.build_forward(forward)
    network.update(command, libvirt.VIR_NETWORK_SECTION_PORTGROUP, -1, group, flag)


def _parts(network: libvirt.virNetwork) -> list[tuple[int, int]]:
    """A running network has two definitions; the hook is told about a change of the one that runs."""
    return list(_PARTS if network.isActive() else _PARTS[1:])
