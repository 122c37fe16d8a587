"""Writing networks and reserving addresses."""

import uuid
from collections.abc import Callable
from ipaddress import IPv4Address

from django.db import transaction

from apps.errors import Refused
from apps.hosts.models import Host
from apps.network.models import Address, Network
from apps.network.selectors import addresses_free


def network_record(*, network_id: uuid.UUID, host: Host, name: str, cidr: str, bridge: str) -> Network:
    """Know a network of ours on a host. The first record stays: addresses were handed out from it."""
    network, _created = Network.objects.get_or_create(
        host=host, name=name, defaults={"id": network_id, "cidr": cidr, "bridge": bridge}
    )
    return network


def address_reserve(
    *, network: Network, consumer_id: uuid.UUID, hostname: str, mac_of: Callable[[IPv4Address], str]
) -> Address:
    """The address of a VM in a network; the same one when asked again. Raises ``Refused`` when none is free.

    ``mac_of`` gives the MAC that the network keeps for an address. The network's row is locked, so that two
    VMs do not try the same address.
    """
    with transaction.atomic():
        Network.objects.select_for_update().get(pk=network.pk)
        known = Address.objects.filter(network=network, consumer_id=consumer_id).first()
        if known is not None:
            return known
        free = addresses_free(network=network)
        if not free:
            where = f"{network.cidr} on {network.host.name}"
            raise Refused("network.full", f"The network {where} has no free address.")
        return Address.objects.create(
            network=network, ip=str(free[0]), mac=mac_of(free[0]), consumer_id=consumer_id, hostname=hostname
        )


def address_release(*, consumer_id: uuid.UUID) -> None:
    """Give back every address of a VM."""
    Address.objects.filter(consumer_id=consumer_id).delete()
