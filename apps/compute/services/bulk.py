"""One action on many VMs. Each is found, authorised and checked for itself; a refusal hinders no other.

All of it is one transaction, so that a dry run and an ``Idempotency-Key`` mean the same as for one VM. Rows are
locked in the order of their ids, as whoever else locks many does, so that two of them do not wait for each other.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from apps.accounts.models import User
from apps.compute.models import VM
from apps.compute.selectors.bulk import VMNames, vm_names
from apps.compute.services import vm as services
from apps.compute.services.trash import vm_restore
from apps.compute.services.wish import VMChange, locked
from apps.envelope.mutation import Plan
from apps.errors import AppError, refused
from apps.operations.models import Operation

MOST_VMS = 100

VERBS: dict[str, Callable[..., VMChange]] = {
    "start": services.vm_start,
    "shutdown": services.vm_shutdown,
    "reboot": services.vm_reboot,
    "pause": services.vm_pause,
    "resume": services.vm_resume,
    "power-off": services.vm_power_off,
    "reset": services.vm_reset,
    "delete": services.vm_delete,
}
RESTORE = "restore"
TAGGING = ("tag", "untag")
ACTIONS = (*VERBS, RESTORE, *TAGGING)
OPTIONS = {"delete": ("permanent",), "shutdown": ("timeout_s", "on_timeout"), "tag": ("tags",), "untag": ("tags",)}


@dataclass(frozen=True, kw_only=True)
class Item:
    """What became of one VM: a plan and, where a worker carries it out, an operation; or an error.

    ``reference`` is what the request called it, ``name`` what it is called, as far as the actor may know.
    """

    reference: str
    name: str
    vm_id: uuid.UUID | None = None
    operation: Operation | None = None
    plan: Plan | None = None
    error: AppError | None = None


@transaction.atomic
def vms_bulk(*, actor: User, action: str, vms: list[str], **options: Any) -> list[Item]:
    """Do one action to VMs named by id or name. The answer is in the order of the request.

    Raises ``Refused`` for what is wrong with the request itself: the action, its options, how many there are.
    """
    _check(action, vms, options)
    known = vm_names(actor=actor, references=vms)
    items: dict[int, Item] = {}
    chosen: dict[uuid.UUID, int] = {}
    for number, reference in enumerate(vms):
        try:
            vm_id = _vm_id(known, reference, f"vms.{number}")
            if chosen.setdefault(vm_id, number) != number:
                raise refused(f"vms.{number}", "bulk.repeated", f"{known.names[vm_id]} is in the list already.")
        except AppError as error:
            items[number] = Item(reference=reference, name=reference, error=error)
    for vm_id in sorted(chosen):
        number = chosen[vm_id]
        items[number] = _done(actor, action, vms[number], vm_id, known.names[vm_id], options)
    return [items[number] for number in range(len(vms))]


def _check(action: str, vms: list[str], options: dict[str, Any]) -> None:
    if action not in ACTIONS:
        raise refused("action", "bulk.action", f"The actions are {', '.join(ACTIONS)}.")
    if not 1 <= len(vms) <= MOST_VMS:
        raise refused("vms", "bulk.count", f"Name 1 to {MOST_VMS} virtual machines.")
    strange = sorted(set(options) - set(OPTIONS.get(action, ())))
    if strange:
        raise refused(strange[0], "bulk.option", f"{action} does not know {strange[0]}.")
    if action in TAGGING and not options.get("tags"):
        raise refused("tags", "bulk.option", f"Say which tags to {action}.")
    if action in TAGGING:
        services.checked_tags(options["tags"])


def _vm_id(known: VMNames, reference: str, field: str) -> uuid.UUID:
    """Which VM a reference means. One of somebody else is as unknown as one that is not there."""
    found = known.found(reference)
    if not found:
        raise refused(field, "vm.unknown", f"There is no virtual machine {reference!r}.")
    if len(found) > 1:
        raise refused(field, "vm.ambiguous", f"{len(found)} virtual machines are named {reference!r}. Give the id.")
    return found[0]


def _done(actor: User, action: str, reference: str, vm_id: uuid.UUID, name: str, options: dict[str, Any]) -> Item:
    """The action on one VM, in a savepoint: what a refusal had written is gone, and nothing else."""
    try:
        with transaction.atomic():
            if action in TAGGING:
                plan = _tag(actor=actor, vm_id=vm_id, add=action == "tag", tags=options["tags"])
                return Item(reference=reference, name=name, vm_id=vm_id, plan=plan)
            if action == RESTORE:
                vm = vm_restore(actor=actor, vm_id=vm_id)
                plan = Plan(changes=(f"take {vm.name} out of the trash; it stays off",))
                return Item(reference=reference, name=name, vm_id=vm_id, plan=plan)
            change = VERBS[action](actor=actor, vm_id=vm_id, **options)
    except AppError as error:
        return Item(reference=reference, name=name, vm_id=vm_id, error=error)
    return Item(reference=reference, name=name, vm_id=vm_id, operation=change.operation, plan=change.plan)


def _tag(*, actor: User, vm_id: uuid.UUID, add: bool, tags: list[str]) -> Plan:
    """Add tags to those it has, or take them away. What is so already stays so."""
    vm: VM = locked(actor=actor, vm_id=vm_id)
    wanted = [*vm.tags, *tags] if add else [tag for tag in vm.tags if tag not in tags]
    services.vm_update(actor=actor, vm_id=vm_id, tags=wanted)
    words = ", ".join(tags)
    return Plan(changes=(f"tag {vm.name} with {words}" if add else f"take {words} off {vm.name}",))


def whole_plan(items: list[Item]) -> Plan:
    """What would be done in all: the plans of those that are not refused, one after the other."""
    plans = [item.plan for item in items if item.plan is not None]
    return Plan(
        changes=tuple(change for plan in plans for change in plan.changes),
        restart_needed=any(plan.restart_needed for plan in plans),
        reversible=all(plan.reversible for plan in plans),
    )
