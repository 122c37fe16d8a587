"""Who reports, and which windows of time have to be rolled up again.

The samples themselves are rows of partitioned tables that Django does not know: see ``tables``.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.hosts.models import Host


class Reporter(models.Model):
    """What the agent of a host said about itself, and what it is to measure."""

    host = models.OneToOneField(Host, on_delete=models.CASCADE, primary_key=True, related_name="reporter")
    agent = models.CharField(max_length=64, blank=True, help_text="Version of the agent.")
    boot_id = models.CharField(max_length=64, blank=True)
    machine_id = models.CharField(max_length=64, blank=True)
    energy_source = models.CharField(max_length=16, blank=True, help_text="Where the watts come from.")
    last_at = models.DateTimeField(null=True, help_text="Time of the newest sample, by the agent's clock.")
    received_at = models.DateTimeField(null=True, help_text="When the last batch came, by our clock.")
    skew_seconds = models.FloatField(default=0, help_text="How far our clock is ahead of the agent's.")
    foreign_guests = models.BigIntegerField(default=0, help_text="Values about machines that are not on this host.")
    refused_samples = models.BigIntegerField(default=0, help_text="Samples that were too old, or from the future.")

    schedule_seen = models.PositiveIntegerField(default=0, help_text="The schedule in force at the agent.")
    schedule_version = models.PositiveIntegerField(default=0, help_text="0: the agent's own default.")
    interval = models.PositiveSmallIntegerField(default=5, help_text="Seconds between two samples.")
    guests = models.BooleanField(default=True, help_text="Whether guests are measured, too.")
    cores = models.BooleanField(default=True, help_text="Whether each core is reported.")

    class Meta:
        ordering = ["host"]

    def __str__(self) -> str:
        return f"agent of {self.host_id}"


class TouchedWindow(models.Model):
    """A window of a host's samples that got some since it was rolled up last. The row is the queue."""

    host_id = models.UUIDField()
    step = models.PositiveIntegerField(help_text="Seconds of the window.")
    at = models.DateTimeField(help_text="Where it begins.")
    vms = ArrayField(models.UUIDField(), help_text="Machines with samples in it.")

    class Meta:
        ordering = ["at"]
        constraints = [models.UniqueConstraint(fields=["at", "step", "host_id"], name="touched_window_once")]

    def __str__(self) -> str:
        return f"{self.step} s at {self.at}"
