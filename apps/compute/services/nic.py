"""Network interfaces of a VM: add, remove.

The operation is about the VM, because it changes its definition: whatever else happens to the VM waits.
"""

import uuid
from dataclasses import dataclass

from django.db import transaction

from apps.accounts.models import User
from apps.compute.models import VM, Nic, NicPhase, Power
from apps.compute.selectors.nic import nic_for
from apps.compute.services.wish import locked, ready
from apps.envelope.mutation import Plan
from apps.errors import Conflict, refused
from apps.network.models import Network
from apps.network.selectors import network_on, network_wanted
from apps.operations.models import Operation
from apps.operations.services import operation_create

MOST = 8


@dataclass(frozen=True, kw_only=True)
class NicChange:
    """An interface after the wish was written, the operation that carries it out, and the plan."""

    nic: Nic
    operation: Operation
    plan: Plan


def vm_with_place(*, actor: User, vm_id: uuid.UUID) -> VM:
    """A VM that is there, locked. Raises ``Conflict`` for one that is not ready."""
    vm = ready(locked(actor=actor, vm_id=vm_id), may_be_missing=True)
    if vm.missing or vm.host is None:
        raise Conflict("vm.not_ready", f"{vm.name} is not ready: its network cannot be changed now.")
    return vm


@transaction.atomic
def nic_create(*, actor: User, vm_id: uuid.UUID, network: str) -> NicChange:
    """Put a VM into one more network of its host; a running guest sees the interface at once."""
    vm = vm_with_place(actor=actor, vm_id=vm_id)
    wanted = _network_for(actor, vm, network)
    if vm.nics.filter(network=wanted).exists():
        raise refused("network", "nic.exists", f"{vm.name} already has an interface in {wanted.name}.")
    if vm.nics.count() >= MOST:
        raise refused("network", "nic.too_many", f"{vm.name} has {MOST} interfaces, which is the most.")
    nic = Nic.objects.create(vm=vm, network=wanted, phase=NicPhase.ATTACHING)
    seen = "the running guest sees it at once" if vm.power == Power.RUNNING else "the guest finds it when it starts"
    address = f" with an address of {wanted.cidr}" if wanted.gives_addresses else ""
    return _act(actor, nic, "nic.create", f"add an interface in {wanted.name}{address}; {seen}")


def _network_for(actor: User, vm: VM, reference: str) -> Network:
    wanted = network_wanted(actor=actor, reference=reference, lock=True)
    found = wanted if wanted is not None or vm.host is None else network_on(host=vm.host)
    if found is None:
        raise refused("network", "network.not_ready", "Its host has no network of its own yet.")
    if found.host_id != vm.host_id:
        raise refused("network", "network.other_host", f"{found.name} is on another host than {vm.name}.")
    return found


@transaction.atomic
def nic_delete(*, actor: User, nic_id: uuid.UUID) -> NicChange:
    """Take a VM out of a network. Raises ``Conflict`` for its last interface, or while ports lead to it."""
    nic = nic_for(actor=actor, nic_id=nic_id)
    nic.vm = vm_with_place(actor=actor, vm_id=nic.vm_id)
    if not nic.vm.nics.exclude(pk=nic.pk).filter(phase=NicPhase.READY).exists():
        raise Conflict("nic.last", f"This is the only interface of {nic.vm.name}. Add another one first.")
    ports = [forward.name for forward in nic.port_forwards.all()]
    if ports:
        raise Conflict("nic.has_forwards", f"Ports lead to this interface: {', '.join(ports)}. Delete them first.")
    Nic.objects.filter(pk=nic.pk).update(phase=NicPhase.DETACHING)
    nic.phase = NicPhase.DETACHING
    address = f" and give back {nic.ip}" if nic.ip else ""
    return _act(actor, nic, "nic.delete", f"remove the interface in {nic.network.name}{address}", reversible=False)


def _act(actor: User, nic: Nic, kind: str, change: str, *, reversible: bool = True) -> NicChange:
    vm = nic.vm
    operation = operation_create(
        kind=kind, target_type="vm", target=vm, actor=actor, params={"nic": str(nic.pk)}, host_id=vm.host_id
    )
    host = vm.host.name if vm.host and actor.is_admin else None
    return NicChange(nic=nic, operation=operation, plan=Plan(host=host, changes=(change,), reversible=reversible))
