"""The trash: where a deleted VM waits, powered off, until it is restored or its time is over.

Its disk, snapshots, volumes, address and claim stay. It is in no list but the trash's, and nothing is done with it
there: ``ready`` refuses every verb.
"""

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.compute.models import VM, DesiredPower, Phase
from apps.compute.services.wish import VMChange, locked
from apps.envelope.mutation import Plan
from apps.errors import Conflict
from apps.events.services import event_record
from apps.operations.selectors import operation_active
from apps.operations.services import busy, operation_create


def goes_to_trash(vm: VM) -> bool:
    """Whether deleting it keeps it for a while. What was never ready, or failed, is nothing to come back to."""
    return settings.TRASH_HOURS > 0 and vm.phase == Phase.READY


def trash(*, actor: User, vm: VM) -> VMChange:
    """Put a locked VM into the trash: powered off, and kept as it is. The active operation is asked to stop."""
    hours: int = settings.TRASH_HOURS
    _move(vm, phase=Phase.TRASHED, until=timezone.now() + timedelta(hours=hours))
    operation = operation_create(
        kind="vm.trash",
        target_type="vm",
        target=vm,
        actor=actor,
        params={"hours": hours},
        host_id=vm.host_id,
        deletes=True,
    )
    changes = (
        f"power off {vm.name}; what it has not written is lost",
        f"keep it in the trash for {hours} h with its disk, address and claim; until then it can be restored",
        "then delete it for good",
    )
    host = vm.host.name if vm.host and actor.is_admin else None
    return VMChange(vm=vm, operation=operation, plan=Plan(host=host, changes=changes))


def delete_for_good(*, actor: User | None, vm: VM) -> VMChange:
    """Delete a locked VM with its disk. The active operation is asked to stop. Nobody asked where its time is over."""
    _move(vm, phase=Phase.DELETING, until=None)
    operation = operation_create(
        kind="vm.delete", target_type="vm", target=vm, actor=actor, host_id=vm.host_id, deletes=True
    )
    changes = (
        f"power off and undefine {vm.libvirt_name}",
        f"delete its disk of {vm.disk_gib} GiB and everything on it",
        *(f"detach the volume {name} and keep it" for name in vm.attachments.values_list("volume__name", flat=True)),
        "give back its address and its claim",
    )
    host = vm.host.name if vm.host and actor is not None and actor.is_admin else None
    return VMChange(vm=vm, operation=operation, plan=Plan(host=host, changes=changes, reversible=False))


@transaction.atomic
def vm_restore(*, actor: User, vm_id: uuid.UUID) -> VM:
    """Take it out of the trash. It stays off. Raises ``Conflict`` if it is not there, or is still being put there."""
    vm = locked(actor=actor, vm_id=vm_id)
    if vm.phase != Phase.TRASHED:
        raise Conflict("vm.not_in_trash", f"{vm.name} is not in the trash.")
    if (active := operation_active(target_id=vm.pk)) is not None:
        raise busy(active)
    _move(vm, phase=Phase.READY, until=None)
    event_record(kind="vm.restore", target_type="vm", target=vm, actor=actor, message="Restored from the trash")
    return vm


def vm_expire(*, vm_id: uuid.UUID, now: datetime) -> bool:
    """Delete one for good whose time in the trash is over. False: it was restored, or something is done with it."""
    with transaction.atomic():
        found = VM.objects.select_for_update(of=("self",), skip_locked=True).select_related("host")
        vm = found.filter(pk=vm_id, phase=Phase.TRASHED, trashed_until__lte=now).first()
        if vm is None or operation_active(target_id=vm.pk) is not None:
            return False
        delete_for_good(actor=None, vm=vm)
    return True


def _move(vm: VM, *, phase: Phase, until: datetime | None) -> None:
    """Into the trash, out of it, or on to deletion: in all of these it is to be off."""
    VM.objects.filter(pk=vm.pk).update(phase=phase, trashed_until=until, desired_power=DesiredPower.OFF)
    vm.phase, vm.trashed_until, vm.desired_power = phase, until, DesiredPower.OFF
