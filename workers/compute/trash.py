"""Putting a machine into the trash. Taking it out touches no host."""

from datetime import timedelta

from apps.compute.models import VM, DesiredPower, Phase, Power
from apps.errors import Conflict
from apps.operations.models import Operation
from workers.compute.target import record_power, take_over, vm_of
from workers.connections import hypervisor_for
from workers.engine import Run
from workers.observations import now


def vm_trash(run: Run) -> None:
    """Pull the plug and leave everything where it is."""
    if (vm := vm_of(run)) is None:
        return
    if vm.phase == Phase.READY:
        _put_back(run, vm)
    if vm.host is None:
        return
    hypervisor = hypervisor_for(vm.host)
    take_over(run, vm)
    with run.step("power-off", "Pulling the plug", progress=20):
        hypervisor.power_off(vm.pk)
    with run.step("verify", "Looking whether it is off", progress=90):
        record_power(run, vm, hypervisor)


def _put_back(run: Run, vm: VM) -> None:
    """Asked for again after a failure, which had taken it out of the trash."""
    if vm.protected:
        raise Conflict("vm.protected", f"{vm.name} is protected. Take the protection off first.")
    until = now() + timedelta(hours=run.operation.params["hours"])
    with run.write():
        VM.objects.filter(pk=vm.pk, phase=Phase.READY, protected=False).update(
            phase=Phase.TRASHED, trashed_until=until, desired_power=DesiredPower.OFF
        )


def vm_trash_failed(operation: Operation, _message: str) -> None:
    """It could not be powered off, so it is no machine in the trash: it is in the list again, as it was seen last."""
    found = VM.objects.filter(pk=operation.target_id, phase=Phase.TRASHED)
    found.filter(power=Power.RUNNING).update(desired_power=DesiredPower.ON)
    found.update(phase=Phase.READY, trashed_until=None)
