"""Snapshots of virtual machines: the tree that the VM's host has, with our names."""

import uuid

from django.db import models
from django.db.models import Q

from apps.compute.models.schedule import Schedule
from apps.compute.models.vm import VM, Power


class SnapshotPhase(models.TextChoices):
    CREATING = "creating", "Creating"
    READY = "ready", "Ready"
    ERROR = "error", "Error"
    DELETING = "deleting", "Deleting"


class Snapshot(models.Model):
    """One snapshot. ``power`` and the sizes are the VM's as it was then, and what a revert brings back.

    A foreign one was made beside us: it is shown and counted, never reverted to or deleted.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    vm = models.ForeignKey(VM, on_delete=models.CASCADE, related_name="snapshots")
    name = models.CharField(max_length=255)
    host_name = models.CharField(max_length=255, help_text="What libvirt calls it. Ours is made from the id.")
    schedule = models.ForeignKey(
        Schedule,
        on_delete=models.SET_NULL,
        null=True,
        related_name="snapshots",
        help_text="Which takes it, and deletes it when it has newer ones. Empty for one made by hand.",
    )
    foreign = models.BooleanField(default=False)
    external = models.BooleanField(default=False, help_text="It lies in files beside the VM's disk.")
    phase = models.CharField(max_length=8, choices=SnapshotPhase.choices, default=SnapshotPhase.CREATING)
    reason = models.CharField(max_length=500, blank=True, help_text="Why the phase is error.")
    parent = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="children")
    current = models.BooleanField(default=False, help_text="The VM goes on from here.")
    memory = models.BooleanField(help_text="Holds the guest's memory: a revert goes on without a boot.")
    power = models.CharField(max_length=7, choices=Power.choices)
    vcpus = models.PositiveIntegerField()
    memory_mib = models.PositiveIntegerField()
    max_vcpus = models.PositiveIntegerField()
    max_memory_mib = models.PositiveIntegerField()
    disk_gib = models.PositiveIntegerField(null=True, help_text="Not known of a foreign one.")
    taken_at = models.DateTimeField(null=True, help_text="The host's clock.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["vm", "host_name"], name="snapshot_host_name_unique_per_vm"),
            models.UniqueConstraint(
                fields=["vm", "name"], condition=Q(foreign=False), name="snapshot_name_unique_per_vm"
            ),
            models.UniqueConstraint(fields=["vm"], condition=Q(current=True), name="snapshot_one_current_per_vm"),
        ]
        indexes = [models.Index(fields=["-created_at", "-id"], name="snapshot_page")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_up(self) -> bool:
        """Whether the VM is on after a revert, running or paused."""
        return self.power in (Power.RUNNING, Power.PAUSED)
