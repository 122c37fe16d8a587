"""Where a VM is on the network: its place in our records, and its interfaces as the host is asked for them."""

from contextlib import suppress
from functools import partial

from apps.compute.models import VM, Nic, NicPhase
from apps.network.models import Network
from apps.network.services import address_reserve
from hypervisor.errors import Rejected
from hypervisor.interface import Hypervisor
from hypervisor.specs import NicSpec, mac_for, mac_without_address
from workers.compute.machine import kit_of


def nic_reserve(vm: VM, network: Network) -> Nic:
    """Its interface in a network, with MAC and address; the same ones when asked again, in the caller's transaction.

    A network of ours knows every address from the start. In a LAN there is none, and the MAC derives from ids.
    """
    mac, ip = mac_without_address(network.pk, vm.pk), None
    if network.gives_addresses:
        address = address_reserve(
            network=network, consumer_id=vm.pk, hostname=vm.created_name, mac_of=partial(mac_for, network.pk)
        )
        mac, ip = address.mac, address.ip
    nic, _created = Nic.objects.update_or_create(vm=vm, network=network, defaults={"mac": mac, "ip": ip})
    return nic


def lease_end(nic: Nic, hypervisor: Hypervisor) -> None:
    """What the network's DHCP server still keeps for an interface that is gone. A lease ends by itself too, so this
    fails nothing.
    """
    if nic.mac is not None and nic.ip is not None:
        with suppress(Rejected):
            hypervisor.release_lease(nic.network.libvirt_name, nic.mac)


def nic_specs(vm: VM, first: Nic) -> tuple[NicSpec, ...]:
    """All interfaces that the VM is to have, so that a new definition keeps them, in the order they were added."""
    rest = vm.nics.select_related("network").exclude(pk=first.pk).exclude(phase=NicPhase.DETACHING)
    nics = [first, *rest.filter(mac__isnull=False).order_by("created_at", "id")]
    return tuple(spec for nic in nics if (spec := nic_spec(vm, nic)) is not None)


def nic_spec(vm: VM, nic: Nic) -> NicSpec | None:
    """None before its place is reserved."""
    if nic.mac is None:
        return None
    return NicSpec(mac=nic.mac, network=nic.network.libvirt_name, model=kit_of(vm).nic)
