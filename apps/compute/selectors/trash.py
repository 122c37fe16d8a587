"""Reading the trash."""

import uuid
from datetime import datetime

from django.db.models import Exists, OuterRef, QuerySet

from apps.accounts.models import User
from apps.compute.models import VM, Phase
from apps.compute.selectors.vm import vms_for
from apps.operations.models import ACTIVE, Operation


def vms_trashed(*, actor: User) -> QuerySet[VM]:
    """What this person has in the trash; for admins, everybody's."""
    return vms_for(actor=actor).filter(phase=Phase.TRASHED)


def vms_expired(*, now: datetime) -> "QuerySet[VM, uuid.UUID]":
    """The ids of those whose time is over and with which nothing is done now, the longest first."""
    active = Operation.objects.filter(target_id=OuterRef("pk"), status__in=ACTIVE)
    found = VM.objects.filter(~Exists(active), phase=Phase.TRASHED, trashed_until__lte=now)
    return found.order_by("trashed_until", "pk").values_list("pk", flat=True)
