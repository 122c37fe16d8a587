"""Reading networks and addresses."""

import uuid
from ipaddress import IPv4Address, IPv4Network

from django.db.models import QuerySet

from apps.accounts.models import User
from apps.hosts.models import Host
from apps.network.models import Address, Network


def networks_for(*, actor: User) -> QuerySet[Network]:
    """Networks with their hosts, for admins."""
    return Network.objects.select_related("host") if actor.is_admin else Network.objects.none()


def network_on(*, host: Host) -> Network | None:
    """Our NAT network on a host, once it is there."""
    return Network.objects.filter(host=host).first()


def address_of(*, consumer_id: uuid.UUID) -> Address | None:
    """What is reserved for a VM."""
    return Address.objects.filter(consumer_id=consumer_id).first()


def gateway(network: Network) -> IPv4Address:
    """The host's own address in the network: the first one."""
    return IPv4Network(network.cidr)[1]


def addresses_free(*, network: Network) -> list[IPv4Address]:
    """What may still be handed out: never the network, the gateway or the broadcast address."""
    taken = set(network.addresses.values_list("ip", flat=True))
    return [ip for ip in list(IPv4Network(network.cidr).hosts())[1:] if str(ip) not in taken]
