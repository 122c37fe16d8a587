"""What every wish about a VM goes through: the locked row, the state it must be in, the operation."""

import uuid
from dataclasses import dataclass

from apps.accounts.models import User
from apps.compute.models import VM, Phase, Power
from apps.compute.selectors.vm import vm_for
from apps.envelope.mutation import Plan
from apps.errors import Conflict
from apps.operations.models import Operation
from apps.operations.services import operation_create


@dataclass(frozen=True, kw_only=True)
class VMChange:
    """A VM after the wish was written, the operation that carries it out, and the plan."""

    vm: VM
    operation: Operation
    plan: Plan


def locked(*, actor: User, vm_id: uuid.UUID) -> VM:
    """The VM as it is under a row lock, so that two wishes do not cross. Raises ``NotFound``."""
    return vm_for(actor=actor, vm_id=vm_id, lock=True)


def ready(vm: VM, *, may_be_missing: bool = False) -> VM:
    """The same VM if verbs make sense on it. Raises ``Conflict``."""
    if vm.phase == Phase.TRASHED:
        raise Conflict("vm.in_trash", f"{vm.name} is in the trash. Restore it first.")
    if vm.phase != Phase.READY:
        why = {"creating": "it is still being created", "deleting": "it is being deleted"}.get(vm.phase)
        why = why or f"it failed ({vm.reason}); retry that operation or delete the VM"
        raise Conflict("vm.not_ready", f"{vm.name}: {why}.")
    if vm.missing and not may_be_missing:
        raise Conflict("vm.missing", f"{vm.name} was undefined on its host. Start it to define it again, or delete it.")
    return vm


def not_rescued(vm: VM) -> VM:
    """The same VM unless it is booted from a rescue system. Raises ``Conflict``."""
    if vm.rescued:
        raise Conflict("vm.rescued", f"{vm.name} is booted from a rescue system. End that first.")
    return vm


def running(vm: VM) -> VM:
    """The same VM unless it is known to be off or paused. Raises ``Conflict``."""
    if vm.power not in (Power.RUNNING, Power.UNKNOWN):
        raise Conflict("vm.not_running", f"{vm.name} is not running (it is {vm.get_power_display().lower()}).")
    return vm


def paused(vm: VM) -> VM:
    """The same VM unless it is known not to be paused. Raises ``Conflict``."""
    if vm.power not in (Power.PAUSED, Power.UNKNOWN):
        raise Conflict("vm.not_paused", f"{vm.name} is not paused (it is {vm.get_power_display().lower()}).")
    return vm


def act(
    *,
    vm: VM,
    actor: User,
    kind: str,
    change: str,
    wish: str | None = None,
    params: dict[str, object] | None = None,
    reversible: bool = True,
    restart_needed: bool = False,
    then: tuple[str, ...] = (),
) -> VMChange:
    """Write the wish and the operation of one verb. ``change`` and ``then`` are its plan."""
    if wish is not None:
        VM.objects.filter(pk=vm.pk).update(desired_power=wish)
        vm.desired_power = wish
    operation = operation_create(kind=kind, target_type="vm", target=vm, actor=actor, params=params, host_id=vm.host_id)
    host = vm.host.name if vm.host and actor.is_admin else None
    plan = Plan(host=host, changes=(change, *then), reversible=reversible, restart_needed=restart_needed)
    return VMChange(vm=vm, operation=operation, plan=plan)
