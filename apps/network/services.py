"""Writing networks and reserving addresses."""

import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError

from django.db import IntegrityError, transaction
from django.db.models import Q

from apps.accounts.models import User
from apps.envelope.mutation import Plan
from apps.errors import Conflict, Forbidden, Refused, refused
from apps.events.services import event_record
from apps.hosts.models import Host
from apps.hosts.selectors import host_wanted, hosts_usable, installation_id
from apps.names import valid_name
from apps.network.models import Address, Network, NetworkKind, NetworkPhase
from apps.network.selectors import DEFAULT, addresses_free, check_cidr_free, network_for, network_users
from apps.operations.models import Operation
from apps.operations.services import operation_create

MOST_OF_A_MEMBER = 20
PRIVATE = [IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
STARTED = "start it, now and with the host"
LAN_WARNINGS = (
    "Machines in it get their addresses from the router of that network, not from Cloudsite.",
    "Where the host has no bridge, its network card is used as macvtap: then the host itself cannot reach these"
    " machines, nor they the host. Everything else in the network can.",
    "Wi-Fi cannot do it: an access point refuses the machines' hardware addresses.",
)


@dataclass(frozen=True, kw_only=True)
class NetworkChange:
    """A network after the wish was written, the operation that carries it out, and the plan."""

    network: Network
    operation: Operation
    plan: Plan


@transaction.atomic
def network_create(
    *,
    actor: User,
    name: str,
    kind: str,
    cidr: str | None = None,
    host: str | None = None,
    device: str | None = None,
    shared: bool = False,
) -> NetworkChange:
    """Wish for a network on one host. Raises ``Refused`` naming the field."""
    valid_name("name", name)
    if name == DEFAULT:
        raise refused("name", "network.name_reserved", "default is the network of every host's own.")
    _check_allowed(actor, kind=kind, shared=shared)
    where = host_wanted(actor=actor, reference=host) if host else _host_for()
    subnet = _checked_cidr(cidr, kind=kind, host=where) if cidr else None
    if device and kind != NetworkKind.LAN:
        raise refused("device", "network.device", "Only a lan network is bound to a device of the host.")
    network = Network(owner=actor, host=where, name=name, kind=kind, shared=shared, phase=NetworkPhase.CREATING)
    network.cidr = str(subnet) if subnet else ""
    network.device = device or ""
    network.libvirt_name = f"cs-{installation_id()}-{network.id.hex[-8:]}"
    network.bridge = f"csn-{network.id.hex[-8:]}" if kind != NetworkKind.LAN else ""
    _save(network)
    operation = operation_create(
        kind="network.create", target_type="network", target=network, actor=actor, host_id=where.pk
    )
    return NetworkChange(network=network, operation=operation, plan=_create_plan(actor, network))


def _save(network: Network) -> None:
    try:
        with transaction.atomic():
            network.save()
    except IntegrityError as error:
        raise refused("name", "network.name_taken", f"There is already a network named {network.name!r}.") from error


def _check_allowed(actor: User, *, kind: str, shared: bool) -> None:
    if actor.is_admin:
        return
    if kind == NetworkKind.LAN:
        raise Forbidden("network.lan_admin_only", "Only administrators open the network of a host to machines.")
    if shared:
        raise Forbidden("network.shared_admin_only", "Only administrators share a network with everybody.")
    if Network.objects.filter(owner=actor).count() >= MOST_OF_A_MEMBER:
        raise Refused("network.too_many", f"You have {MOST_OF_A_MEMBER} networks. Delete one first.")


def _host_for() -> Host:
    """The host with the most memory to spare; a network is on one host."""
    usable = sorted(hosts_usable(), key=lambda host: host.memory_claimed_mib - host.memory_limit_mib)
    if not usable:
        raise Refused("network.no_host", "No host is up and open for new machines.")
    return usable[0]


def _checked_cidr(text: str, *, kind: str, host: Host) -> IPv4Network:
    if kind == NetworkKind.LAN:
        raise refused("cidr", "network.lan_cidr", "A lan network has the addresses of the network it joins.")
    try:
        subnet = IPv4Network(text)
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise refused("cidr", "network.cidr", "Use an IPv4 network such as 192.168.50.0/24.") from error
    if str(subnet) != text or not 24 <= subnet.prefixlen <= 29:
        raise refused("cidr", "network.cidr_size", "Use a network of /24 to /29, such as 192.168.50.0/24.")
    if not any(subnet.subnet_of(private) for private in PRIVATE):
        raise refused("cidr", "network.cidr_private", "Use private addresses: 10.x, 172.16-31.x or 192.168.x.")
    check_cidr_free(cidr=subnet, host=host)
    return subnet


def _create_plan(actor: User, network: Network) -> Plan:
    where = network.host.name if actor.is_admin else "a host"
    addresses = f"with {network.cidr}" if network.cidr else "with the first /24 that is free there"
    changes = {
        NetworkKind.NAT.value: (f"define a network {addresses} behind NAT on {where}", STARTED),
        NetworkKind.ISOLATED.value: (f"define a network {addresses} and no way out on {where}", STARTED),
        NetworkKind.LAN.value: (f"open the network of {where} to machines", *LAN_WARNINGS),
    }[network.kind]
    return Plan(host=network.host.name if actor.is_admin else None, changes=changes)


def _own(*, actor: User, network_id: uuid.UUID) -> Network:
    """A network that this person may change. Raises ``Forbidden`` for one that is only shared with them."""
    network = network_for(actor=actor, network_id=network_id, lock=True)
    if not actor.is_admin and network.owner_id != actor.pk:
        raise Forbidden("network.not_yours", "This network is shared with you; it is not yours.")
    return network


@transaction.atomic
def network_update(
    *, actor: User, network_id: uuid.UUID, name: str | None = None, shared: bool | None = None
) -> Network:
    """Rename it, or share it with everybody. No host is touched."""
    network = _own(actor=actor, network_id=network_id)
    if network.builtin:
        raise Conflict("network.builtin", "This is the host's own network; it stays as it is.")
    old = network.name
    if name is not None:
        if valid_name("name", name) == DEFAULT:
            raise refused("name", "network.name_reserved", "default is the network of every host's own.")
        network.name = name
    if shared is not None:
        if shared and not actor.is_admin:
            raise Forbidden("network.shared_admin_only", "Only administrators share a network with everybody.")
        network.shared = shared
    _save(network)
    told = f"Renamed from {old}" if network.name != old else "Changed"
    event_record(kind="network.update", target_type="network", target=network, actor=actor, message=told)
    return network


@transaction.atomic
def network_delete(*, actor: User, network_id: uuid.UUID) -> NetworkChange:
    """Take a network away. Raises ``Conflict`` naming the machines in it.

    The row's lock keeps new machines out: whoever puts one in locks it too.
    """
    network = _own(actor=actor, network_id=network_id)
    if network.builtin:
        raise Conflict("network.builtin", f"This is the own network of {network.host.name}; it cannot be deleted.")
    if names := network_users(network):
        shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        raise Conflict("network.in_use", f"{network.name} is used by {shown}.", vms=names[:200])
    Network.objects.filter(pk=network.pk).update(phase=NetworkPhase.DELETING)
    network.phase = NetworkPhase.DELETING
    operation = operation_create(
        kind="network.delete",
        target_type="network",
        target=network,
        actor=actor,
        host_id=network.host_id,
        deletes=True,
    )
    where = network.host.name if actor.is_admin else None
    plan = Plan(host=where, changes=(f"take {network.name} off its host",), reversible=False)
    return NetworkChange(network=network, operation=operation, plan=plan)


def network_record(*, network_id: uuid.UUID, host: Host, libvirt_name: str, cidr: str, bridge: str) -> Network:
    """Know the host's own network. The first record stays: addresses were handed out from it."""
    network, _created = Network.objects.get_or_create(
        host=host,
        libvirt_name=libvirt_name,
        defaults={"id": network_id, "name": DEFAULT, "shared": True, "cidr": cidr, "bridge": bridge},
    )
    return network


def network_forget(*, network_id: uuid.UUID) -> None:
    """Its row, once the host no longer has it."""
    Network.objects.filter(pk=network_id).delete()


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


def address_release(*, consumer_id: uuid.UUID, network: Network | None = None) -> None:
    """Give back every address of a VM, or the one in a network."""
    found = Address.objects.filter(consumer_id=consumer_id)
    (found.filter(network=network) if network else found).delete()


def addresses_hold(
    *,
    host: Host,
    consumer_id: uuid.UUID,
    hostname: str,
    macs: Collection[str],
    mac_of: Callable[[uuid.UUID, IPv4Address], str],
) -> None:
    """Keep the addresses of a machine that is on a host but in no row, so that nobody else is given them."""
    for network in Network.objects.filter(host=host).exclude(Q(cidr="") | Q(addresses__consumer_id=consumer_id)):
        for ip in IPv4Network(network.cidr).hosts():
            mac = mac_of(network.pk, ip)
            if mac in macs:
                values = {"mac": mac, "consumer_id": consumer_id, "hostname": hostname[:63]}
                Address.objects.get_or_create(network=network, ip=str(ip), defaults=values)
                break
