"""Reading schedules: those of VMs that a person may see."""

import uuid
from datetime import datetime

from django.db.models import QuerySet

from apps.accounts.models import User
from apps.compute.models import Schedule
from apps.errors import NotFound


def schedules_for(*, actor: User) -> QuerySet[Schedule]:
    """The schedules of this person's VMs, newest first; all for admins."""
    found = Schedule.objects.select_related("vm", "owner")
    return found if actor.is_admin else found.filter(vm__owner=actor)


def schedule_for(*, actor: User, schedule_id: uuid.UUID, lock: bool = False) -> Schedule:
    """One schedule. Raises ``NotFound`` for a foreign one as for a missing one."""
    found = schedules_for(actor=actor).filter(pk=schedule_id)
    schedule = (found.select_for_update(of=("self",)) if lock else found).first()
    if schedule is None:
        raise NotFound("schedule.not_found", "There is no schedule with this id.")
    return schedule


def schedules_due(*, now: datetime) -> list[uuid.UUID]:
    """Whose time has come, oldest first."""
    return list(Schedule.objects.filter(next_run__lte=now).order_by("next_run").values_list("pk", flat=True)[:200])
