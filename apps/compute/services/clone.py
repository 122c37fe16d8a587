"""Cloning: a VM of its own with a full copy of another one's disk.

Two operations are written together. ``vm.copy`` is the origin's: while its disk is read nothing else can be done with
it, by the same constraint as always. ``vm.clone`` is the new VM's, and waits for it.
"""

import uuid

from django.db import transaction

from apps.accounts.models import User
from apps.compute.models import VM, Power
from apps.compute.services.vm import save_new
from apps.compute.services.wish import VMChange, locked, not_rescued, ready
from apps.envelope.mutation import Plan
from apps.errors import Conflict
from apps.names import valid_name
from apps.operations.models import Operation
from apps.operations.services import operation_create
from apps.placement.services import placement_preview, wish_of

# What a clone has from its origin. Its id, addresses, power and protection are its own. It is in no placement group: it
# comes to its origin's host, which the rule of a group may forbid.
SAME = (
    "size", "vcpus", "memory_mib", "disk_gib", "max_vcpus", "max_memory_mib", "image", "firmware", "devices",
    "ssh_keys", "user_data", "start_on_boot", "boot_order", "tags", "policy", "cpu_features",
)  # fmt: skip


@transaction.atomic
def vm_clone(*, actor: User, vm_id: uuid.UUID, name: str) -> VMChange:
    """Wish for a copy of a VM that is off, on the same host, with an identity of its own; it is then started.

    Raises ``Conflict`` (``clone.needs_stop``), ``Refused`` for a name that is taken or a host without room.
    """
    origin = not_rescued(ready(locked(actor=actor, vm_id=vm_id)))
    valid_name("name", name)
    if origin.host is None or origin.power not in (Power.SHUTOFF, Power.CRASHED):
        raise Conflict("clone.needs_stop", f"{origin.name} has to be off to be cloned. Shut it down first.")
    wish = wish_of(
        chosen=origin.policy,
        demand=origin.demand,
        architecture=origin.architecture,
        firmware=origin.firmware,
        host_id=origin.host.pk,
        cpu_features=origin.cpu_features_wanted,
    )
    placement_preview(wish=wish)
    clone = VM(owner=actor, name=name, created_name=name, **{field: getattr(origin, field) for field in SAME})
    save_new(clone)
    params = {"origin": str(origin.pk), "host": str(origin.host.pk)}
    operation = operation_create(kind="vm.clone", target_type="vm", target=clone, actor=actor, params=params)
    vm_copy(origin=origin, clone=operation, actor=actor)
    return VMChange(vm=clone, operation=operation, plan=_plan(actor, origin, clone))


def vm_copy(*, origin: VM, clone: Operation, actor: User | None) -> Operation:
    """Have the origin's disk copied for the VM of this ``vm.clone``. Raises ``Conflict`` while it is busy."""
    params = {"clone": str(clone.target_id), "for": str(clone.pk)}
    return operation_create(
        kind="vm.copy", target_type="vm", target=origin, actor=actor, params=params, host_id=origin.host_id
    )


def _plan(actor: User, origin: VM, clone: VM) -> Plan:
    host = origin.host.name if origin.host and actor.is_admin else None
    where = host or "the same host"
    changes = (
        f"claim {clone.vcpus} vCPU, {clone.most_memory_mib} MiB memory and {clone.disk_gib} GiB disk on {where}",
        f"copy the disk of {origin.name}, which stays off meanwhile",
        "reserve an address of its own",
        f"define {clone.libvirt_name} and start it",
        *([f"leave it out of the group {origin.group}"] if origin.group else []),
    )
    return Plan(host=host, changes=changes)
