"""Reading snapshots: of one's own VMs, or of all for admins."""

import uuid

from django.db.models import QuerySet

from apps.accounts.models import User
from apps.compute.models import Snapshot
from apps.errors import NotFound


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
