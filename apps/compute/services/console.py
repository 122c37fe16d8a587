"""Tickets for consoles: issued to a sign-in, redeemed by it once.

A ticket is 256 random bits. Only its digest is kept, and it is consumed by one conditional UPDATE, so of many
attempts at the same moment one wins.
"""

import hashlib
import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from apps.accounts.models import User
from apps.compute.models import VM, ConsoleKind, ConsoleTicket, Phase, Power
from apps.compute.selectors.vm import vm_for
from apps.envelope.mutation import Plan
from apps.errors import Conflict, Refused, refused
from apps.events.services import event_record
from apps.hosts.models import Transport

LIFETIME = timedelta(seconds=60)
KEPT = timedelta(days=1)
OPEN = (Power.RUNNING, Power.PAUSED)


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A ticket as it is shown this once."""

    vm: VM
    kind: str
    ticket: str
    expires_at: datetime
    plan: Plan

    @property
    def path(self) -> str:
        """Where the WebSocket is. It holds no secret, so it may stand in a log."""
        return console_path(self.vm.pk)


def socket_path() -> Path:
    """Where the console process listens, for the web process alone."""
    return Path(settings.STATE_DIR) / "run" / "console.sock"


def console_path(vm_id: uuid.UUID) -> str:
    return f"/console/{vm_id}/"


@transaction.atomic
def ticket_issue(*, actor: User, vm_id: uuid.UUID, kind: str, binding: str) -> Issued:
    """A ticket for ``binding``'s sign-in; an earlier one it has not used is void from now on.

    Raises ``Conflict`` for a machine that is not running and ``Refused`` for a screen that no way leads to.
    """
    vm = vm_for(actor=actor, vm_id=vm_id)
    if not is_open(vm):
        raise Conflict("console.not_running", f"{vm.name} is not running, so there is no console to open.")
    if refusal := way_refusal(vm, kind):
        raise refusal
    stale = ConsoleTicket.objects.filter(user=actor, expires_at__lt=Now() - KEPT)
    stale.delete()
    ConsoleTicket.objects.filter(user=actor, vm=vm, kind=kind, binding=binding, used_at=None).delete()
    ticket = secrets.token_urlsafe(32)
    expires_at = timezone.now() + LIFETIME
    ConsoleTicket.objects.create(
        vm=vm, user=actor, kind=kind, digest=digest_of(ticket), binding=binding, expires_at=expires_at
    )
    what = ConsoleKind(kind).label.lower()
    plan = Plan(changes=(f"make a ticket for the {what} of {vm.name}, good once within {LIFETIME.seconds} s",))
    return Issued(vm=vm, kind=kind, ticket=ticket, expires_at=expires_at, plan=plan)


def is_open(vm: VM) -> bool:
    """Whether there is anything to see."""
    return vm.phase == Phase.READY and vm.power in OPEN


def way_refusal(vm: VM, kind: str) -> Refused | None:
    """The screen is a Unix socket on its host. Over TLS we have libvirt there and nothing that leads to a socket."""
    if kind != ConsoleKind.VNC or vm.host is None or vm.host.transport != Transport.TLS:
        return None
    detail = (
        f"{vm.name} is on a host that is reached over TLS, which carries the serial console but not the screen. "
        "Use the serial console, or add the host by qemu+ssh."
    )
    return refused("kind", "console.not_over_tls", detail)


def digest_of(ticket: str) -> str:
    return hashlib.sha256(ticket.encode()).hexdigest()


@transaction.atomic
def ticket_redeem(*, actor: User, vm_id: uuid.UUID, ticket: str, binding: str) -> ConsoleTicket | None:
    """Consume a ticket. None for one that is used, late, unknown, or another VM's, person's or sign-in's."""
    wanted = ConsoleTicket.objects.filter(digest=digest_of(ticket), vm_id=vm_id, user=actor, binding=binding)
    if not wanted.filter(used_at=None, expires_at__gt=Now()).update(used_at=Now()):
        return None
    used = ConsoleTicket.objects.select_related("vm", "vm__host", "user").get(digest=digest_of(ticket))
    label = ConsoleKind(used.kind).label.lower()
    message = f"{actor.name} opened the {label} of {used.vm.name}."
    event_record(kind="console.opened", target_type="vm", target=used.vm, actor=actor, message=message)
    return used
