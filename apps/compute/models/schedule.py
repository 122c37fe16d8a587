"""What is to be done with a VM at a time: once, or every week."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from apps.compute.models.vm import VM

KEPT = 7
"""Snapshots of one schedule, where nothing else is said."""


class Action(models.TextChoices):
    START = "start", "Start"
    SHUTDOWN = "shutdown", "Shut down"
    POWER_OFF = "power-off", "Power off"
    REBOOT = "reboot", "Reboot"
    SNAPSHOT = "snapshot", "Take a snapshot"


class Schedule(models.Model):
    """Due at ``next_run``. Whoever moves that on by a conditional UPDATE runs it, so that it runs once.

    It acts for its owner, with the rights that they have at that moment.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    vm = models.ForeignKey(VM, on_delete=models.CASCADE, related_name="schedules")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="schedules")
    action = models.CharField(max_length=10, choices=Action.choices)
    keep = models.PositiveSmallIntegerField(null=True, help_text="How many of its snapshots are kept.")
    once_at = models.DateTimeField(null=True, help_text="Empty for a weekly one.")
    weekdays = ArrayField(models.PositiveSmallIntegerField(), default=list, help_text="Monday is 0.")
    time = models.TimeField(null=True, help_text="Local time in the time zone.")
    time_zone = models.CharField(max_length=64, default="UTC")
    enabled = models.BooleanField(default=True)
    last_run = models.DateTimeField(null=True)
    next_run = models.DateTimeField(null=True, help_text="Empty: never again, or not enabled.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(once_at__isnull=False, weekdays=[], time__isnull=True)
                | Q(once_at__isnull=True, time__isnull=False) & ~Q(weekdays=[]),
                name="schedule_once_or_weekly",
            ),
            models.CheckConstraint(
                condition=Q(action=Action.SNAPSHOT, keep__gte=1) | ~Q(action=Action.SNAPSHOT) & Q(keep__isnull=True),
                name="schedule_keeps_snapshots",
            ),
        ]
        indexes = [models.Index(fields=["next_run"], condition=Q(next_run__isnull=False), name="schedule_due")]

    def __str__(self) -> str:
        return f"{self.action} {self.vm_id}"
