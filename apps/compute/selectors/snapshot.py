"""Reading snapshots: of one's own VMs, or of all for admins."""

import uuid
from dataclasses import dataclass

from django.db.models import QuerySet

from apps.accounts.models import User
from apps.compute.models import Snapshot, SnapshotPhase
from apps.errors import NotFound

DEEPEST = 5


def snapshots_for(*, actor: User) -> QuerySet[Snapshot]:
    """The snapshots that this person may see, newest first, with their VM."""
    found = Snapshot.objects.select_related("vm")
    return found if actor.is_admin else found.filter(vm__owner=actor)


def snapshot_for(*, actor: User, snapshot_id: uuid.UUID) -> Snapshot:
    """One snapshot. Raises ``NotFound`` for a foreign one as for a missing one."""
    snapshot = snapshots_for(actor=actor).filter(pk=snapshot_id).first()
    if snapshot is None:
        raise NotFound("snapshot.not_found", "There is no snapshot with this id.")
    return snapshot


def vm_has_snapshots(*, vm_id: uuid.UUID) -> bool:
    """Whether there is anything that a rebuild or a resize of the disk would make useless; foreign ones count."""
    return Snapshot.objects.filter(vm_id=vm_id).exists()


def snapshots_surplus(*, schedule_id: uuid.UUID, keep: int) -> list[Snapshot]:
    """Of those that a schedule took, what it does not keep, oldest first: all but the newest, and what failed."""
    taken = list(Snapshot.objects.filter(schedule=schedule_id).order_by("-created_at", "-id"))
    ready = [snapshot for snapshot in taken if snapshot.phase == SnapshotPhase.READY]
    staying = {snapshot.pk for snapshot in ready[:keep]}
    staying |= {snapshot.pk for snapshot in taken if snapshot.phase == SnapshotPhase.CREATING}
    return [snapshot for snapshot in reversed(taken) if snapshot.pk not in staying]


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One line of a drawn tree. A chain goes straight down; only where it forks, what follows is moved in."""

    snapshot: Snapshot
    depth: int
    parent: Snapshot | None


def snapshot_tree(snapshots: list[Snapshot]) -> list[Branch]:
    """The snapshots of one VM, each below the one that it was taken after, oldest first."""
    known = {snapshot.pk: snapshot for snapshot in snapshots}
    below: dict[uuid.UUID | None, list[Snapshot]] = {}
    for snapshot in sorted(snapshots, key=lambda one: (one.taken_at or one.created_at, one.created_at)):
        parent_id = snapshot.parent_id if snapshot.parent_id in known else None
        below.setdefault(parent_id, []).append(snapshot)
    waiting = [(snapshot, 0) for snapshot in reversed(below.get(None, []))]
    branches = []
    while waiting:
        snapshot, depth = waiting.pop()
        parent = known.get(snapshot.parent_id) if snapshot.parent_id else None
        branches.append(Branch(snapshot=snapshot, depth=depth, parent=parent))
        children = below.get(snapshot.pk, [])
        deeper = min(depth + (len(children) > 1), DEEPEST)
        waiting += [(child, deeper) for child in reversed(children)]
    return branches
