"""Port forwards: open a port of the host to a VM behind NAT, close it."""

import uuid
from dataclasses import dataclass

from django.db import IntegrityError, transaction

from apps.accounts.models import User
from apps.compute.models import VM, ForwardPhase, Nic, NicPhase, PortForward
from apps.compute.selectors.nic import forward_for
from apps.compute.services.nic import vm_with_place
from apps.envelope.mutation import Plan
from apps.errors import Refused, refused
from apps.hosts.models import Host
from apps.hosts.setup import forwarding_commands
from apps.network.models import NetworkKind
from apps.operations.models import Operation
from apps.operations.services import operation_create

PRIVILEGED = 1024
NEVER = {("tcp", 22), ("tcp", 16509), ("tcp", 16514)}
"""How we, and people, reach the host itself."""


@dataclass(frozen=True, kw_only=True)
class ForwardChange:
    """A port forward after the wish was written, the operation that carries it out, and the plan."""

    forward: PortForward
    operation: Operation
    plan: Plan


@transaction.atomic
def port_forward_create(
    *, actor: User, vm_id: uuid.UUID, host_port: int, guest_port: int, protocol: str = "tcp"
) -> ForwardChange:
    """Wish for a port of the host to lead to the VM. Raises ``Refused`` naming the field and what is in the way."""
    vm = vm_with_place(actor=actor, vm_id=vm_id)
    assert vm.host is not None  # noqa: S101  # vm_with_place
    for field, port in (("host_port", host_port), ("guest_port", guest_port)):
        if not 1 <= port <= 65535:
            raise refused(field, "port_forward.port", "A port lies between 1 and 65535.")
    if protocol not in ("tcp", "udp"):
        raise refused("protocol", "port_forward.protocol", "The protocol is tcp or udp.")
    nic = _nic_behind_nat(vm)
    _check_hook(vm.host)
    _check_port(actor, vm.host, protocol, host_port)
    forward = PortForward(vm=vm, nic=nic, host=vm.host, protocol=protocol, host_port=host_port, guest_port=guest_port)
    try:
        with transaction.atomic():
            forward.save(force_insert=True)
    except IntegrityError as error:
        raise _taken(actor, forward) from error
    operation = operation_create(
        kind="port-forward.create", target_type="port-forward", target=forward, actor=actor, host_id=vm.host_id
    )
    change = f"lead {protocol} port {host_port} of the host to port {guest_port} of {vm.name} ({nic.ip})"
    host = vm.host.name if actor.is_admin else None
    return ForwardChange(forward=forward, operation=operation, plan=Plan(host=host, changes=(change,)))


def _nic_behind_nat(vm: VM) -> Nic:
    """The interface that ports can lead to: the first one behind NAT."""
    nics = vm.nics.select_related("network").filter(phase=NicPhase.READY, ip__isnull=False)
    nic = nics.filter(network__kind=NetworkKind.NAT).order_by("created_at", "id").first()
    if nic is None:
        raise Refused("port_forward.no_nat", f"{vm.name} is in no NAT network, so no port can lead to it.")
    return nic


def _check_hook(host: Host) -> None:
    if not host.forwards_ports:
        raise Refused(
            "port_forward.host_not_prepared",
            f"{host.name} is not prepared for port forwards. Run the commands in setup on it as root,"
            " then have it looked at again.",
            setup={"commands": forwarding_commands()},
        )


def _check_port(actor: User, host: Host, protocol: str, port: int) -> None:
    if port < PRIVILEGED and not actor.is_admin:
        raise refused("host_port", "port_forward.privileged", "Ports below 1024 are for administrators.")
    own = {(protocol, port)} & NEVER or (protocol == "tcp" and port == host.port)
    if own or [protocol, port] in host.listening:
        raise refused("host_port", "port_forward.port_in_use", f"The host itself listens on {protocol} port {port}.")


def _taken(actor: User, forward: PortForward) -> Refused:
    other = (
        PortForward.objects.select_related("vm")
        .filter(host=forward.host, protocol=forward.protocol, host_port=forward.host_port)
        .first()
    )
    mine = other is not None and (actor.is_admin or other.vm.owner_id == actor.pk)
    who = other.vm.name if other is not None and mine else "another machine"
    port = f"{forward.protocol} port {forward.host_port}"
    return refused("host_port", "port_forward.port_taken", f"{port} of this host already leads to {who}.")


@transaction.atomic
def port_forward_delete(*, actor: User, forward_id: uuid.UUID) -> ForwardChange:
    """Close a port again."""
    forward = forward_for(actor=actor, forward_id=forward_id)
    PortForward.objects.filter(pk=forward.pk).update(phase=ForwardPhase.DELETING)
    forward.phase = ForwardPhase.DELETING
    operation = operation_create(
        kind="port-forward.delete",
        target_type="port-forward",
        target=forward,
        actor=actor,
        host_id=forward.host_id,
        deletes=True,
    )
    change = f"close {forward.protocol} port {forward.host_port} of the host; connections through it end"
    host = forward.host.name if actor.is_admin else None
    return ForwardChange(
        forward=forward, operation=operation, plan=Plan(host=host, changes=(change,), reversible=False)
    )
