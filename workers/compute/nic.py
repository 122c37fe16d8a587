"""Adding and removing network interfaces, running or not. Every handler may run any number of times."""

import uuid

from apps.compute.models import VM, Nic, NicPhase
from apps.errors import Unavailable
from apps.network.services import address_release
from apps.operations.models import Operation
from hypervisor.interface import Hypervisor
from workers.compute.address import lease_end, nic_reserve, nic_spec
from workers.compute.domain import domain_spec, ensure_address
from workers.compute.target import host_of, take_over, vm_of
from workers.connections import hypervisor_for
from workers.engine import Postpone, Run

POLL_SECONDS = 2.0
MOST_ASKING = 10


def _of(run: Run) -> tuple[VM, Nic] | None:
    vm = vm_of(run)
    if vm is None:
        return None
    nic = vm.nics.select_related("network").filter(pk=uuid.UUID(run.operation.params["nic"])).first()
    return (vm, nic) if nic else None


def nic_create(run: Run) -> None:
    """Reserve its place, and have it in the guest and in its definition."""
    if (found := _of(run)) is None:
        return
    vm, nic = found
    hypervisor = hypervisor_for(host_of(vm))
    take_over(run, vm)
    with run.step("address", "Reserving its place in the network", progress=20), run.write():
        nic = nic_reserve(vm, nic.network)
    with run.step("attach", "Adding the interface", progress=50):
        spec = nic_spec(vm, nic)
        assert spec is not None  # noqa: S101  # its place was just reserved
        hypervisor.ensure_nic(vm.pk, spec)
        _define(run, vm, hypervisor)
    with run.write():
        Nic.objects.filter(pk=nic.pk, phase=NicPhase.ATTACHING).update(phase=NicPhase.READY)


def _define(run: Run, vm: VM, hypervisor: Hypervisor) -> None:
    """The definition and its fence, from our records."""
    host = host_of(vm)
    hypervisor.ensure_defined(domain_spec(vm, host, ensure_address(run, vm, host)))


def nic_delete(run: Run) -> None:
    """Take it from the guest, which has to let go of it, and out of the definition; then give its place back."""
    if (found := _of(run)) is None:
        return
    vm, nic = found
    hypervisor = hypervisor_for(host_of(vm))
    take_over(run, vm)
    with run.step("detach", "Removing the interface", progress=30):
        gone = nic.mac is None or hypervisor.remove_nic(vm.pk, nic.mac)
    if not gone:
        asked = int(run.operation.state.get("asked", 0)) + 1
        if asked >= MOST_ASKING:
            raise Unavailable(
                "nic.not_released", "The guest does not let go of the interface. Shut it down and try again."
            )
        run.remember(asked=asked)
        raise Postpone("Waiting for the guest to let go of it", seconds=POLL_SECONDS)
    lease_end(nic, hypervisor)
    with run.write():
        nic.delete()
        address_release(consumer_id=vm.pk, network=nic.network)


def nic_delete_failed(operation: Operation, _message: str) -> None:
    """The guest still has it, so it is still there."""
    Nic.objects.filter(pk=uuid.UUID(operation.params["nic"]), phase=NicPhase.DETACHING).update(phase=NicPhase.READY)
