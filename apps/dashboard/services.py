"""Writing what concerns the installation as a whole: what a restored backup must not do."""

from datetime import datetime

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from apps.accounts.models import User
from apps.compute.models import VM, Phase
from apps.errors import Forbidden
from apps.hosts.models import Host, Installation
from apps.operations.models import ACTIVE, Operation, Status

FENCE_LEAP = 1_000_000
"""More than the operations of one VM between two backups: no fence on a host is above ours afterwards."""
UNDER_WAY = "It was under way when the backup was made that has been restored since. Look at it, then ask again."


@transaction.atomic
def installation_mark_restored(*, made_at: datetime) -> None:
    """After a backup was restored: nothing that was wished then is carried out now.

    Hosts may have moved on. Operations of then are ended, what was in the trash is taken out of it, fences leap over
    what the hosts have seen, a reboot since then starts nothing, and everybody signs in again.
    """
    Installation.objects.update(restored_at=Now(), restored_from=made_at)
    Operation.objects.filter(status__in=ACTIVE).update(
        status=Status.FAILED,
        error_code="installation.restored",
        error_message=UNDER_WAY,
        retryable=False,
        lease_until=None,
        finished_at=Now(),
    )
    VM.objects.filter(phase__in=[Phase.CREATING, Phase.DELETING]).update(phase=Phase.ERROR, reason=UNDER_WAY)
    VM.objects.filter(phase=Phase.TRASHED).update(phase=Phase.READY, trashed_until=None)
    VM.objects.update(fence=F("fence") + FENCE_LEAP, observed_at=None)
    Host.objects.update(boot_id="", observed_at=None, reconcile_until=None, watch_until=None)
    User.objects.update(token_epoch=F("token_epoch") + 1)


def installation_confirm_restored(*, actor: User) -> None:
    """Somebody has looked at what differs. Raises ``Forbidden`` for everybody but admins."""
    if not actor.is_admin:
        raise Forbidden("installation.admin_only", "Only administrators confirm a restored installation.")
    Installation.objects.update(restored_at=None)
