"""A machine that joins a placement group where it is, or leaves it. No host is touched, and nothing moves."""

import uuid

from django.db import transaction

from apps.accounts.models import User
from apps.compute.models import VM, Phase
from apps.compute.services.wish import locked, ready
from apps.errors import Conflict
from apps.events.services import event_record
from apps.hosts.models import Allocation
from apps.placement.groups import group_broken, group_wanted


@transaction.atomic
def vm_group(*, actor: User, vm_id: uuid.UUID, group: str | None) -> VM:
    """Have it in this group of its owner's, or in none. Raises ``Conflict`` where the rule does not hold as it is.

    Whoever joins takes the group's turn, so that no machine is placed meanwhile which it would stand in the way of.
    """
    vm = locked(actor=actor, vm_id=vm_id)
    if vm.phase != Phase.TRASHED:
        ready(vm, may_be_missing=True)
    joined = group_wanted(actor=vm.owner, reference=group) if group is not None else None
    if (joined.pk if joined else None) == vm.group_id:
        return vm
    broken = group_broken(group=joined, name=vm.name, host=vm.host) if joined and vm.host else ""
    if broken:
        raise Conflict("placement_group.rule", broken)
    left, vm.group = vm.group, joined
    VM.objects.filter(pk=vm.pk).update(group=joined)
    Allocation.objects.filter(consumer_id=vm.pk).update(group_id=joined.pk if joined else None)
    words = f"Joined the placement group {joined}" if joined else f"Left the placement group {left}"
    event_record(kind="vm.group", target_type="vm", target=vm, actor=actor, message=words)
    return vm
