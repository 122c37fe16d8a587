"""Whether an open console may stay open, asked again every few seconds."""

import uuid
from enum import StrEnum

from apps.accounts.models import Role, User
from apps.compute.models import VM, ConsoleTicket, Phase
from apps.compute.selectors.vm import vms_for


class Standing(StrEnum):
    """What became of an open console's right to be open."""

    GOOD = "good"
    NO_RIGHT = "no-right"
    TAKEN_OVER = "taken-over"
    MOVED = "moved"
    GONE = "gone"


def console_standing(*, actor: User, ticket: ConsoleTicket, host_id: uuid.UUID | None) -> Standing:
    """Compare what is now with what was when the console was opened with this ticket."""
    if actor.role == Role.VIEWER and not actor.is_admin:
        return Standing.NO_RIGHT
    vm = vms_for(actor=actor).select_related(None).prefetch_related(None).filter(pk=ticket.vm_id).first()
    if vm is None:
        return Standing.NO_RIGHT if VM.objects.filter(pk=ticket.vm_id).exists() else Standing.GONE
    if vm.phase == Phase.DELETING:
        return Standing.GONE
    return Standing.GOOD if vm.host_id == host_id else Standing.MOVED


def is_taken_over(ticket: ConsoleTicket) -> bool:
    """Whether somebody opened the same console after this ticket was used: libvirt knows one reader of it."""
    later = ConsoleTicket.objects.filter(vm_id=ticket.vm_id, kind=ticket.kind, used_at__gt=ticket.used_at)
    return later.exclude(pk=ticket.pk).exists()
