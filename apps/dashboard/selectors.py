"""Reads that combine apps: the overview, the search, and in what hosts and records differ."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from apps.accounts.models import SSHKey, User
from apps.accounts.selectors import ssh_keys_for
from apps.compute.models import VM
from apps.compute.selectors.vm import vms_by_status, vms_for
from apps.errors import Forbidden
from apps.events.models import Event
from apps.events.selectors import events_for
from apps.hosts.models import Allocation, AllocationKind, Host, HostStatus, Installation
from apps.hosts.selectors import hosts_for, restored_installation
from apps.names import as_id
from apps.operations.models import ACTIVE, Operation, Status
from apps.operations.selectors import operations_for
from apps.storage.models import Image
from apps.storage.selectors import images_for

STUCK_AFTER = timedelta(seconds=20)
"""An operation that is due is taken within a second or two; after this long nobody is there."""
MOST_EVENTS = 10
MOST_OPERATIONS = 6
MOST_HOSTS = 8
MOST_FOUND = 10


@dataclass(frozen=True, kw_only=True)
class Step:
    """One of the first steps in an empty cloud."""

    title: str
    text: str
    done: bool
    route: str
    button: str


@dataclass(frozen=True, kw_only=True)
class Overview:
    """What the first page shows."""

    vms: dict[str, int]
    vms_total: int
    vms_troubled: int
    hosts: list[Host]
    hosts_total: int
    hosts_down: int
    images_total: int
    operations: list[Operation]
    operations_active: int
    is_stuck: bool
    events: list[Event]
    alive: set[uuid.UUID]
    differences: Differences | None
    steps: list[Step] = field(default_factory=list)


def overview_for(*, actor: User) -> Overview:
    """Counts, capacity, what happens now and what happened, in a constant number of queries."""
    vms = vms_by_status(actor=actor)
    hosts = list(hosts_for(actor=actor))
    images_total = images_for(actor=actor).count()
    recent = operations_for(actor=actor)
    active = recent.filter(status__in=ACTIVE)
    events = list(events_for(actor=actor)[:MOST_EVENTS])
    return Overview(
        vms=vms,
        vms_total=sum(vms.values()),
        vms_troubled=vms.get("error", 0) + vms.get("unknown", 0),
        hosts=hosts[:MOST_HOSTS],
        hosts_total=len(hosts),
        hosts_down=sum(1 for host in hosts if host.status != HostStatus.UP),
        images_total=images_total,
        operations=list(active[:MOST_OPERATIONS]),
        operations_active=active.count(),
        is_stuck=active.filter(status=Status.QUEUED, run_after__lt=Now() - STUCK_AFTER).exists(),
        events=events,
        alive=_alive(actor, events),
        differences=differences_for(actor=actor) if actor.is_admin and restored_installation() else None,
        steps=[] if vms else _first_steps(actor, hosts=hosts, images_total=images_total),
    )


def _alive(actor: User, events: list[Event]) -> set[uuid.UUID]:
    """Which objects of these events still have a page: an event outlives its object."""
    ids = {event.target_id for event in events}
    pages: tuple[QuerySet[Any], ...] = (vms_for(actor=actor), hosts_for(actor=actor), images_for(actor=actor))
    return {found for page in pages for found in page.filter(pk__in=ids).order_by().values_list("pk", flat=True)}


def _first_steps(actor: User, *, hosts: list[Host], images_total: int) -> list[Step]:
    """What is left to do until the first VM runs."""
    host = Step(
        title="Have a host that is up",
        text="A Linux machine with libvirt; this one is enough to begin with.",
        done=any(host.is_up for host in hosts),
        route="host-list" if hosts else "host-create",
        button="See the hosts" if hosts else "Add a host",
    )
    image = Step(
        title="Have an image",
        text="What new machines start from. The first start brings debian-12.",
        done=images_total > 0,
        route="image-list",
        button="See the images",
    )
    key = Step(
        title="Add your SSH key",
        text="Every new machine accepts it, so that you can sign in.",
        done=ssh_keys_for(actor=actor).exists(),
        route="ssh-key-list",
        button="Add a key",
    )
    machine = Step(
        title="Create your first virtual machine",
        text="Pick a size and an image; it answers to SSH a moment later.",
        done=False,
        route="vm-create",
        button="Create",
    )
    return [host, image, key, machine] if actor.is_admin else [image, key, machine]


@dataclass(frozen=True, kw_only=True)
class Differences:
    """In what hosts and records differ, and whether a restored backup is the reason."""

    installation: Installation | None
    unknown: list[Allocation]
    missing: list[VM]

    @property
    def total(self) -> int:
        return len(self.unknown) + len(self.missing)


def differences_for(*, actor: User) -> Differences:
    """Machines of ours that no row names, and rows whose host does not know them. Raises ``Forbidden``."""
    if not actor.is_admin:
        raise Forbidden("installation.admin_only", "Only administrators see in what hosts and records differ.")
    ours = Allocation.objects.filter(kind=AllocationKind.FOREIGN, ours=True)
    return Differences(
        installation=restored_installation(),
        unknown=list(ours.select_related("host").order_by("host__name", "label")),
        missing=list(vms_for(actor=actor).filter(missing=True).order_by("name")),
    )


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search found, by kind."""

    vms: list[VM]
    hosts: list[Host]
    images: list[Image]
    keys: list[SSHKey]
    operations: list[Operation]

    @property
    def total(self) -> int:
        return sum(len(part) for part in vars(self).values())


def search_for(*, actor: User, text: str) -> Found:
    """Objects whose name has ``text`` in it, whose address begins with it, or whose id it is."""
    nothing = Found(vms=[], hosts=[], images=[], keys=[], operations=[])
    if not text:
        return nothing
    is_id = as_id(text)
    named = Q(pk=text) if is_id else Q(name__icontains=text)
    addressed = Q() if is_id else Q(pk__in=VM.objects.filter(nics__ip__startswith=text).values("pk"))
    return Found(
        vms=_first(vms_for(actor=actor).filter(named | addressed)),
        hosts=_first(hosts_for(actor=actor).filter(named if is_id else named | Q(address__icontains=text))),
        images=_first(images_for(actor=actor).filter(named if is_id else named | Q(title__icontains=text))),
        keys=_first(ssh_keys_for(actor=actor).filter(named)),
        operations=_first(operations_for(actor=actor).filter(pk=text)) if is_id else [],
    )


def _first(found: QuerySet[Any]) -> list[Any]:
    return list(found[:MOST_FOUND])
