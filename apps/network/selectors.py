"""Reading networks and addresses."""

import uuid
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from django.db.models import Count, Q, QuerySet

from apps.accounts.models import User
from apps.errors import NotFound, Refused, refused
from apps.hosts.models import Host
from apps.names import as_id
from apps.network.models import Network, NetworkPhase

DEFAULT = "default"
"""What the network of every host's own is called."""


def networks_for(*, actor: User) -> QuerySet[Network]:
    """One's own networks and those that are shared; all for an admin. With their hosts and owners."""
    found = Network.objects.select_related("host", "owner")
    return found if actor.is_admin else found.filter(Q(owner=actor) | Q(shared=True))


def networks_listed(*, actor: User) -> QuerySet[Network]:
    """The same with the number of machines in each, by host."""
    return networks_for(actor=actor).annotate(machines=Count("nics")).order_by("host__name", "name")


def nics_in(*, actor: User, network: Network) -> QuerySet[Any]:
    """Interfaces in a network with their machines: all for admins, else one's own."""
    found = network.nics.select_related("vm").order_by("ip", "vm__name")
    return found if actor.is_admin else found.filter(vm__owner=actor)


def network_for(*, actor: User, network_id: uuid.UUID, lock: bool = False) -> Network:
    """One network, locked for the transaction if asked. Raises ``NotFound``, also for a foreign one."""
    found = networks_for(actor=actor).filter(pk=network_id)
    network = (found.select_for_update(of=("self",)) if lock else found).first()
    if network is None:
        raise NotFound("network.not_found", "There is no network with this id.")
    return network


def network_wanted(*, actor: User, reference: str, lock: bool = False) -> Network | None:
    """The network that a body names by id or name, one's own before a shared one. None: the host's own.

    Raises ``Refused`` for an unknown, a foreign, or an unfinished one.
    """
    if reference == DEFAULT:
        return None
    network_id = as_id(reference)
    found = networks_for(actor=actor).filter(Q(pk=network_id) if network_id else Q(name=reference, owner__isnull=False))
    found = found.select_for_update(of=("self",)) if lock else found
    named = sorted(found, key=lambda network: (network.owner_id != actor.pk, not network.shared))
    if not named:
        raise refused("network", "network.unknown", f"There is no network {reference!r}.")
    if named[0].phase != NetworkPhase.READY:
        raise refused("network", "network.not_ready", f"The network {named[0].name} is {named[0].phase}.")
    return named[0]


def network_users(network: Network) -> list[str]:
    """Names of the machines that have an interface in it."""
    return list(network.nics.order_by("vm__name").values_list("vm__name", flat=True))


def network_on(*, host: Host) -> Network | None:
    """The host's own NAT network, once it is there."""
    return Network.objects.filter(host=host, owner=None).first()


def gateway(network: Network) -> IPv4Address:
    """The host's own address in the network: the first one."""
    return IPv4Network(network.cidr)[1]


def addresses_free(*, network: Network) -> list[IPv4Address]:
    """What may still be handed out: never the network, the gateway or the broadcast address."""
    taken = set(network.addresses.values_list("ip", flat=True))
    return [ip for ip in list(IPv4Network(network.cidr).hosts())[1:] if str(ip) not in taken]


def check_cidr_free(*, cidr: IPv4Network, host: Host) -> None:
    """Raises ``Refused`` naming a network of ours on the host that overlaps; the host itself is asked later."""
    for network in Network.objects.filter(host=host).exclude(cidr=""):
        if IPv4Network(network.cidr).overlaps(cidr):
            raise _overlap(cidr, f"the network {network.name} ({network.cidr})", host)


def _overlap(cidr: IPv4Network, what: str, host: Host) -> Refused:
    return refused("cidr", "network.overlap", f"{cidr} overlaps with {what} on {host.name}.")
