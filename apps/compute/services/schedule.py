"""Writing schedules, and turning one that is due into the wish of its owner."""

import uuid
from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import Role, User
from apps.compute.models import VM, Action, Schedule
from apps.compute.models.schedule import KEPT
from apps.compute.selectors.schedule import schedule_for
from apps.compute.services import vm as verbs
from apps.compute.services.snapshot import SnapshotChange, snapshot_create
from apps.compute.services.wish import VMChange, locked
from apps.compute.timetable import DAYS, next_weekly, zone_names
from apps.errors import AppError, Conflict, Forbidden, refused
from apps.events.services import event_record

MOST_SCHEDULES = 20
STILL_WORTH_IT = timedelta(hours=1)
FARTHEST = timedelta(days=5 * 366)
RUN: dict[str, Callable[..., VMChange]] = {
    Action.START: verbs.vm_start,
    Action.SHUTDOWN: verbs.vm_shutdown,
    Action.POWER_OFF: verbs.vm_power_off,
    Action.REBOOT: verbs.vm_reboot,
}


@transaction.atomic
def schedule_create(
    *,
    actor: User,
    vm_id: uuid.UUID,
    action: str,
    once_at: datetime | None = None,
    weekdays: list[str] | None = None,
    time: str | None = None,
    time_zone: str = "UTC",
    keep: int | None = None,
    enabled: bool = True,
) -> Schedule:
    """Plan an action: once at a moment, or weekly on days at a local time. Raises ``Refused`` naming the field.

    ``keep`` is for snapshots: when there are more of this schedule, the oldest go.
    """
    vm = locked(actor=actor, vm_id=vm_id)
    if vm.schedules.count() >= MOST_SCHEDULES:
        raise Conflict("schedule.too_many", f"A VM has at most {MOST_SCHEDULES} schedules.")
    schedule = Schedule(vm=vm, owner=actor, enabled=enabled)
    _set_action(schedule, action=action, keep=keep)
    _set_when(schedule, once_at=once_at, weekdays=weekdays, time=time, time_zone=time_zone)
    schedule.save(force_insert=True)
    _tell(schedule, "schedule.create", f"A schedule was made: {told(schedule)}", actor=actor)
    return schedule


@transaction.atomic
def schedule_update(*, actor: User, schedule_id: uuid.UUID, **changes: Any) -> Schedule:
    """Change what, when or whether; the fields are those of ``schedule_create``. Who changes it owns it then."""
    schedule = schedule_for(actor=actor, schedule_id=schedule_id, lock=True)
    if not changes:
        return schedule
    schedule.enabled = changes.pop("enabled", schedule.enabled)
    once = "once_at" in changes or (schedule.once_at is not None and not {"weekdays", "time"} & set(changes))
    weekly = {"weekdays": [DAYS[day] for day in schedule.weekdays] or None, "time": _hours(schedule.time)}
    kept = {"once_at": schedule.once_at} if once else weekly
    action, keep = changes.pop("action", schedule.action), changes.pop("keep", None)
    _set_action(schedule, action=action, keep=schedule.keep if keep is None and action == schedule.action else keep)
    _set_when(schedule, **{"time_zone": schedule.time_zone, **kept, **changes})
    schedule.owner = actor
    schedule.save()
    _tell(schedule, "schedule.update", f"A schedule was changed: {told(schedule)}", actor=actor)
    return schedule


@transaction.atomic
def schedule_delete(*, actor: User, schedule_id: uuid.UUID) -> Schedule:
    """Forget it. What it has started already goes on."""
    schedule = schedule_for(actor=actor, schedule_id=schedule_id, lock=True)
    _tell(schedule, "schedule.delete", f"A schedule was deleted: {told(schedule)}", actor=actor)
    Schedule.objects.filter(pk=schedule.pk).delete()
    return schedule


def _hours(at: time | None) -> str | None:
    return at.strftime("%H:%M") if at else None


def _set_action(schedule: Schedule, *, action: str, keep: int | None) -> None:
    if action not in Action:
        raise refused("action", "schedule.action", f"action is one of {', '.join(Action)}.")
    if action != Action.SNAPSHOT and keep is not None:
        raise refused("keep", "schedule.keep", "keep is for snapshots: leave it out.")
    most: int = settings.SNAPSHOTS_PER_VM
    if keep is not None and not 1 <= keep <= most:
        raise refused("keep", "schedule.keep", f"keep is a number from 1 to {most}: a VM has no more snapshots.")
    schedule.action = action
    schedule.keep = (keep or min(KEPT, most)) if action == Action.SNAPSHOT else None


def _set_when(
    schedule: Schedule,
    *,
    once_at: datetime | None = None,
    weekdays: list[str] | None = None,
    time: str | None = None,
    time_zone: str = "UTC",
) -> None:
    """Check everything, then work out when it is due."""
    if time_zone not in zone_names():
        raise refused("time_zone", "schedule.time_zone", f"There is no time zone {time_zone[:64]!r}.")
    if once_at is not None and (weekdays is not None or time is not None):
        raise refused("once_at", "schedule.once_and_weekly", "Give once_at, or weekdays and time; not both.")
    if once_at is None and (weekdays is None or time is None):
        missing = "weekdays" if weekdays is None else "time"
        raise refused(missing, "schedule.when", "Give once_at, or both weekdays and time.")
    schedule.time_zone, schedule.once_at = time_zone, once_at
    schedule.weekdays = _checked_days(weekdays or [], needed=once_at is None)
    schedule.time = _checked_time(time) if time is not None else None
    now = timezone.now()
    if once_at is not None and schedule.enabled and not now < once_at < now + FARTHEST:
        raise refused("once_at", "schedule.not_in_the_future", "once_at lies in the future, at most five years away.")
    schedule.next_run = _following(schedule, now) if schedule.enabled else None


def _checked_days(names: list[str], *, needed: bool) -> list[int]:
    if needed and not names:
        raise refused("weekdays", "schedule.weekdays", "Name at least one weekday.")
    unknown = next((name for name in names if name not in DAYS), None)
    if unknown is not None:
        raise refused("weekdays", "schedule.weekdays", f"{unknown[:20]!r} is none of {', '.join(DAYS)}.")
    return sorted({DAYS.index(name) for name in names})


def _checked_time(text: str) -> time:
    try:
        return datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007  # a local time of day, without a date
    except ValueError as error:
        raise refused("time", "schedule.time", "time is HH:MM, from 00:00 to 23:59.") from error


def _following(schedule: Schedule, after: datetime) -> datetime | None:
    """The first time that it is due after a moment, or None where it never is again."""
    if schedule.once_at is not None:
        return schedule.once_at if schedule.once_at > after else None
    assert schedule.time is not None  # noqa: S101  # schedule_once_or_weekly
    return next_weekly(weekdays=schedule.weekdays, at=schedule.time, zone=ZoneInfo(schedule.time_zone), after=after)


def told(schedule: Schedule) -> str:
    """What and when, in words: ``start on Mon, Fri at 07:30 (Europe/Zurich)``."""
    return f"{schedule.action} {when(schedule)}{kept(schedule)}"


def kept(schedule: Schedule) -> str:
    """What becomes of the earlier ones, to be put after the times: ``, the newest 7 are kept``."""
    if schedule.keep is None or schedule.once_at is not None:
        return ""
    return f", the newest {schedule.keep} are kept" if schedule.keep > 1 else ", only the newest is kept"


def when(schedule: Schedule) -> str:
    """Its times in words: ``on Mon, Fri at 07:30 (Europe/Zurich)``."""
    if schedule.once_at is not None:
        local = schedule.once_at.astimezone(ZoneInfo(schedule.time_zone))
        return f"once on {local:%Y-%m-%d at %H:%M} ({schedule.time_zone})"
    days = ", ".join(DAYS[day].capitalize() for day in schedule.weekdays)
    return f"on {days} at {_hours(schedule.time)} ({schedule.time_zone})"


def _tell(schedule: Schedule, kind: str, message: str, actor: User | None = None) -> None:
    event_record(kind=kind, target_type="vm", target=schedule.vm, message=message, actor=actor)


def schedule_run(*, schedule_id: uuid.UUID, now: datetime) -> bool:
    """Run one that is due, for its owner. False: it was not due any more, somebody else ran it.

    Moving ``next_run`` on and the operation are one transaction: a worker that dies leaves both undone. What was
    missed for longer than an hour is told and not run.
    """
    schedule = Schedule.objects.select_related("vm", "owner").filter(pk=schedule_id, next_run__lte=now).first()
    if schedule is None:
        return False
    late_enough = now - STILL_WORTH_IT
    following = _following(schedule, now)
    last_due = _last_due(schedule, late_enough, now)
    with transaction.atomic():
        moved = Schedule.objects.filter(pk=schedule.pk, next_run=schedule.next_run).update(
            next_run=following, last_run=schedule.last_run if last_due is None else now
        )
        if not moved:
            return False
        if last_due != schedule.next_run:
            _tell(schedule, "schedule.missed", f"Was missed while nothing ran here: {told(schedule)}")
        if last_due is not None:
            _run(schedule)
    return True


def _last_due(schedule: Schedule, begin: datetime, now: datetime) -> datetime | None:
    """The newest time from ``begin`` on at which it was due, or None: it was due too long ago."""
    found = None
    candidate = _following(schedule, begin - timedelta(microseconds=1))
    while candidate is not None and candidate <= now:
        found = candidate
        candidate = _following(schedule, candidate)
    return found


def _run(schedule: Schedule) -> None:
    """With the owner's rights of this moment; what stands in its way is an event."""
    owner, vm = schedule.owner, schedule.vm
    try:
        if not owner.is_active or (owner.role == Role.VIEWER and not owner.is_admin):
            raise Forbidden("auth.role", f"{owner.get_username()} may not do this any more.")
        if schedule.action == Action.SNAPSHOT:
            _take_snapshot(schedule)
        else:
            RUN[schedule.action](actor=owner, vm_id=vm.pk)
    except AppError as error:
        _tell(schedule, "schedule.skipped", f"Scheduled, but not done: {told(schedule)}. {error.detail}", actor=owner)


def _take_snapshot(schedule: Schedule) -> SnapshotChange:
    """Named from the local time; the lock on the VM keeps the name free until it is taken."""
    vm = locked(actor=schedule.owner, vm_id=schedule.vm_id)
    base = f"auto-{timezone.now().astimezone(ZoneInfo(schedule.time_zone)):%Y-%m-%d-%H%M}"
    taken = set(vm.snapshots.filter(name__startswith=base, foreign=False).values_list("name", flat=True))
    names = (base, *(f"{base}-{number}" for number in range(2, len(taken) + 2)))
    name = next(name for name in names if name not in taken)
    return snapshot_create(actor=schedule.owner, vm_id=vm.pk, name=name, schedule=schedule)


def vm_schedules(*, vm: VM) -> list[Schedule]:
    """For its page, soonest first."""
    return list(vm.schedules.select_related("owner").order_by("next_run", "-created_at"))
