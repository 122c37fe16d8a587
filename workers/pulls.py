"""Whose turn it is to be read. Every host has an interval of its own; turns are spread, and rung for once.

Any number of processes may ring: a turn is taken in PostgreSQL. Hosts that do not answer take turns among
themselves, so that many of them never occupy the workers that the others need.
"""

import uuid
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import DateTimeField, DurationField, Exists, ExpressionWrapper, F, Q, QuerySet, Value
from django.db.models.functions import Now, Random

from apps.hosts.models import Host, HostStatus
from apps.operations import timeouts

MOST_AT_ONCE = 50
MOST_LOST_AT_ONCE = 2
SPREAD = 0.2
"""Of an interval, so that hosts which were added or came back together do not stay together."""


def _free() -> Q:
    return Q(reconcile_until__isnull=True) | Q(reconcile_until__lt=Now())


def hosts_due() -> QuerySet[Host]:
    """Hosts that somebody should read now, who waits longest first: probed to the end once, not being read."""
    known = Q(status__in=[HostStatus.UP, HostStatus.UNREACHABLE]) & ~Q(accelerator="")
    turn = Q(pull_at__isnull=True) | Q(pull_at__lte=Now())
    return Host.objects.filter(_free(), known, turn).order_by(F("pull_at").asc(nulls_first=True), "pk")


def pulls_take_turns() -> list[uuid.UUID]:
    """The hosts to ring for. Each has its next turn an interval later, whatever comes of this one."""
    with transaction.atomic():
        being_read = Host.objects.filter(reconcile_until__gte=Now()).count()
        due = hosts_due().select_for_update(skip_locked=True, no_key=True)
        ids = list(due.values_list("pk", flat=True)[: max(0, MOST_AT_ONCE - being_read)])
        share = 1 - SPREAD / 2 + SPREAD * Random()
        second = Value(timedelta(seconds=settings.TIME_SCALE), output_field=DurationField())
        later = ExpressionWrapper(second * F("pull_interval_s") * share, output_field=DurationField())
        Host.objects.filter(pk__in=ids).update(pull_at=ExpressionWrapper(Now() + later, output_field=DateTimeField()))
    return ids


def pull_begin(host_id: uuid.UUID) -> bool:
    """Take the lease on reading this host. False: somebody reads it, or enough that do not answer are being tried."""
    being_tried = Host.objects.filter(status=HostStatus.UNREACHABLE, reconcile_until__gte=Now())
    enough = Exists(being_tried[MOST_LOST_AT_ONCE - 1 : MOST_LOST_AT_ONCE])
    mine = Host.objects.filter(_free(), ~Q(status=HostStatus.UNREACHABLE) | ~enough, pk=host_id)
    return bool(mine.update(reconcile_until=Now() + timedelta(seconds=timeouts.lease())))
