"""Networks on hosts: the host's own, made when it is probed, and those that people ask for."""

import uuid
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv4Network
from itertools import islice

from apps.errors import Unavailable
from apps.hosts.models import Host
from apps.hosts.selectors import installation_id
from apps.network.models import Network, NetworkKind, NetworkPhase
from apps.network.selectors import gateway, network_on
from apps.network.services import network_forget, network_record
from apps.operations.models import Operation
from hypervisor.errors import Rejected
from hypervisor.interface import Hypervisor
from hypervisor.specs import LanSpec, NetworkSpec, Subnet, every_reservation
from workers.connections import hypervisor_for
from workers.engine import Run

NETWORKS = IPv4Network("192.168.0.0/16")
FIRST_NETWORK = 150
MOST_TRIES = 10
NONE_FREE = "Every /24 of 192.168.0.0/16 is in use on this host."


# --- what a host is asked for
def network_spec(network: Network) -> NetworkSpec | LanSpec:
    """The libvirt network of a row."""
    if network.kind == NetworkKind.LAN:
        return LanSpec(
            name=network.libvirt_name,
            uuid=network.pk,
            device=network.device,
            is_bridge=network.is_bridge,
            installation=installation_id(),
        )
    cidr = IPv4Network(network.cidr)
    start, end = cidr[2], cidr[-2]
    return NetworkSpec(
        name=network.libvirt_name,
        uuid=network.pk,
        bridge=network.bridge,
        cidr=cidr,
        gateway=gateway(network),
        dhcp_start=start,
        dhcp_end=end,
        installation=installation_id(),
        isolated=network.kind == NetworkKind.ISOLATED,
        reservations=every_reservation(network.pk, start, end),
    )


def _candidates() -> Iterator[IPv4Network]:
    subnets = list(NETWORKS.subnets(new_prefix=24))
    yield from subnets[FIRST_NETWORK:] + subnets[:FIRST_NETWORK]


def _is_free(used: frozenset[Subnet], recorded: list[IPv4Network], cidr: IPv4Network) -> bool:
    seen = [other for other in used if isinstance(other, IPv4Network)]
    return not any(cidr.overlaps(other) for other in seen + recorded)


def _recorded(network: Network) -> list[IPv4Network]:
    """What other rows have on this host, also those that the host has not heard of yet."""
    others = Network.objects.filter(host_id=network.host_id).exclude(pk=network.pk).exclude(cidr="")
    return [IPv4Network(text) for text in others.values_list("cidr", flat=True)]


# --- the host's own
def host_ensure_network(host: Host, hypervisor: Hypervisor) -> Network:
    """Its NAT network, on the first /24 that is free on the host; the recorded one once it is recorded."""
    known = network_on(host=host)
    if known is not None:
        hypervisor.ensure_network(network_spec(known))
        return known
    name = f"cs-{installation_id()}"
    _remove_forgotten_network(hypervisor, name)
    network = Network(host=host, libvirt_name=name, bridge=name[:15])
    network.id = uuid.uuid5(host.pk, "nat")
    refusal: Rejected | None = None
    for cidr in filter(partial(_is_free, hypervisor.used_subnets(), _recorded(network)), _candidates()):
        network.cidr = str(cidr)
        try:
            hypervisor.ensure_network(network_spec(network))
        except Rejected as error:
            refusal = error
            continue
        return network_record(
            network_id=network.pk, host=host, libvirt_name=name, cidr=network.cidr, bridge=network.bridge
        )
    raise refusal or Rejected(NONE_FREE)


def host_see_forwarding(host: Host, hypervisor: Hypervisor) -> None:
    """Whether our hook is at work on it, and which ports its own programs have."""
    seen = hypervisor.forwarding()
    host.forwards_ports = seen is not None
    host.listening = sorted(list(pair) for pair in seen.listening) if seen else []
    host.save(update_fields=["forwards_ports", "listening"])


def _remove_forgotten_network(hypervisor: Hypervisor, name: str) -> None:
    """A host that was removed and comes back still has our network, under an id that no record knows any more.

    It goes, unless guests of ours are on the host: then the records are what is wrong, and the conflict is told.
    """
    mine = installation_id()
    states = hypervisor.describe([domain.uuid for domain in hypervisor.domains()])
    if not any(state.installation == mine for state in states.values()):
        hypervisor.remove_network(name)


# --- those of people
def network_create(run: Run) -> None:
    """Define it and start it, now and with the host. A worker that dies anywhere is followed by one that goes on."""
    network = Network.objects.select_related("host").filter(pk=run.operation.target_id).first()
    if network is None:
        return
    hypervisor = hypervisor_for(network.host)
    if network.kind == NetworkKind.LAN and not run.operation.state.get("device"):
        with run.step("device", "Looking where the host is connected", progress=20):
            _choose_device(network, hypervisor)
        with run.write():
            network.save(update_fields=["device", "is_bridge"])
        run.remember(device=network.device)
    with run.step("define", "Making the network", progress=50):
        if network.kind == NetworkKind.LAN:
            hypervisor.ensure_network(network_spec(network))
        else:
            _make(run, network, hypervisor)
    with run.write():
        Network.objects.filter(pk=network.pk, phase__in=[NetworkPhase.CREATING, NetworkPhase.ERROR]).update(
            phase=NetworkPhase.READY, reason=""
        )


def _make(run: Run, network: Network, hypervisor: Hypervisor) -> None:
    """On the subnet that was asked for, or on the first that the host takes.

    A choice is written down before it is tried, so that whoever comes after a dead worker goes on with it.
    """
    used = hypervisor.used_subnets()
    if network.cidr and not run.operation.state.get("chosen"):
        cidr = IPv4Network(network.cidr)
        taken = [other for other in used if isinstance(other, IPv4Network) and other != cidr and other.overlaps(cidr)]
        if taken:
            raise Unavailable("network.overlap", f"{cidr} overlaps with {taken[0]}, which {network.host.name} uses.")
        hypervisor.ensure_network(network_spec(network))
        return
    begun = [IPv4Network(network.cidr)] if network.cidr else []
    free = partial(_is_free, used, _recorded(network))
    refusal: Rejected | None = None
    for cidr in [*begun, *islice(filter(free, _candidates()), MOST_TRIES)]:
        network.cidr = str(cidr)
        run.remember(chosen=True)
        with run.write():
            network.save(update_fields=["cidr"])
        try:
            hypervisor.ensure_network(network_spec(network))
        except Rejected as error:
            refusal = error
            continue
        return
    raise refusal or Rejected(NONE_FREE)


def _choose_device(network: Network, hypervisor: Hypervisor) -> None:
    """The bridge or card of the default route. Over TLS only a person can say which."""
    seen = hypervisor.uplink()
    if seen is None and not network.device:
        raise Unavailable(
            "network.no_uplink",
            f"Where {network.host.name} is connected cannot be seen from here. Name its bridge or network card.",
        )
    if seen is not None and network.device in ("", seen.device):
        if seen.kind == "wireless":
            raise Unavailable(
                "network.wireless",
                f"{network.host.name} is connected by Wi-Fi ({seen.device}), which refuses the addresses of machines.",
            )
        network.device, network.is_bridge = seen.device, seen.kind == "bridge"


def network_create_failed(operation: Operation, message: str) -> None:
    """It stays visible with the reason; retry goes on, delete takes it away."""
    Network.objects.filter(pk=operation.target_id, phase__in=[NetworkPhase.CREATING, NetworkPhase.ERROR]).update(
        phase=NetworkPhase.ERROR, reason=message[:500]
    )
    if operation.state.get("chosen"):  # the subnet was ours to choose: the next try may take another
        Network.objects.filter(pk=operation.target_id).update(cidr="")


def network_delete(run: Run) -> None:
    """Take it off the host and then out of our records."""
    network = Network.objects.select_related("host").filter(pk=run.operation.target_id).first()
    if network is None:
        return
    hypervisor = hypervisor_for(network.host)
    with run.step("remove", "Taking it off the host", progress=40):
        hypervisor.remove_network(network.libvirt_name)
    with run.write():
        network_forget(network_id=network.pk)


def network_delete_failed(operation: Operation, message: str) -> None:
    """What could not be taken away stays visible and can be deleted again."""
    Network.objects.filter(pk=operation.target_id, phase__in=[NetworkPhase.DELETING, NetworkPhase.ERROR]).update(
        phase=NetworkPhase.ERROR, reason=f"Deleting failed: {message}"[:500]
    )
