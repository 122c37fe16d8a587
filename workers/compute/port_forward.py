"""Opening and closing ports of hosts. libvirt keeps them with the network; our hook on the host makes the rules."""

from ipaddress import IPv4Address

from apps.compute.models import VM, ForwardPhase, PortForward
from apps.errors import Unavailable
from apps.operations.models import Operation
from hypervisor.interface import Hypervisor
from hypervisor.specs import PortForward as ForwardSpec
from workers.connections import hypervisor_for
from workers.engine import Run
from workers.network import host_see_forwarding


def _of(run: Run) -> PortForward | None:
    found = PortForward.objects.select_related("vm", "nic__network", "host")
    return found.filter(pk=run.operation.target_id).first()


def forward_create(run: Run) -> None:
    """Ask the host whether the port is free, then open it."""
    if (forward := _of(run)) is None:
        return
    hypervisor = hypervisor_for(forward.host)
    with run.step("look", "Looking whether the port is free", progress=20):
        host_see_forwarding(forward.host, hypervisor)
    _check(forward)
    network = forward.nic.network.libvirt_name
    with run.step("open", "Opening the port", progress=50):
        hypervisor.ensure_forward(network, forward_spec(forward))
    with run.write():
        kept = PortForward.objects.filter(pk=forward.pk).exclude(phase=ForwardPhase.DELETING)
        there = kept.update(phase=ForwardPhase.READY, reason="")
    if not there:  # its VM was deleted meanwhile, and whoever did that could not see this port yet
        _close(forward, hypervisor)


def _check(forward: PortForward) -> None:
    host, pair = forward.host, [forward.protocol, forward.host_port]
    if not host.forwards_ports:
        raise Unavailable("port_forward.host_not_prepared", f"{host.name} is not prepared for port forwards.")
    if pair in host.listening:
        port = f"{forward.protocol} port {forward.host_port}"
        raise Unavailable("port_forward.port_in_use", f"{host.name} itself listens on {port}.")


def forward_spec(forward: PortForward) -> ForwardSpec:
    assert forward.nic.ip is not None  # noqa: S101  # only what is behind NAT gets one
    return ForwardSpec(
        protocol="tcp" if forward.protocol == "tcp" else "udp",
        host_port=forward.host_port,
        address=IPv4Address(forward.nic.ip),
        guest_port=forward.guest_port,
    )


def _close(forward: PortForward, hypervisor: Hypervisor) -> None:
    spec = forward_spec(forward)
    hypervisor.remove_forward(forward.nic.network.libvirt_name, spec.protocol, spec.host_port)


def forward_create_failed(operation: Operation, message: str) -> None:
    """It stays visible with the reason; retry goes on, delete takes it away."""
    found = PortForward.objects.filter(pk=operation.target_id)
    found.filter(phase=ForwardPhase.CREATING).update(phase=ForwardPhase.ERROR, reason=message[:500])


def forward_delete(run: Run) -> None:
    """Close the port, then forget it."""
    if (forward := _of(run)) is None:
        return
    with run.step("close", "Closing the port", progress=50):
        _close(forward, hypervisor_for(forward.host))
    with run.write():
        PortForward.objects.filter(pk=forward.pk).delete()


def forward_delete_failed(operation: Operation, message: str) -> None:
    """What could not be closed stays visible and can be closed again."""
    found = PortForward.objects.filter(pk=operation.target_id, phase=ForwardPhase.DELETING)
    found.update(phase=ForwardPhase.ERROR, reason=f"Closing failed: {message}"[:500])


def forwards_close(vm: VM, hypervisor: Hypervisor) -> None:
    """Close every port that leads to a VM that goes."""
    for forward in vm.port_forwards.select_related("nic__network"):
        _close(forward, hypervisor)
