"""Policies with all their versions, groups of machines, and decisions that were made, kept with their reasons."""

import uuid

from django.conf import settings
from django.db import models

from apps.placement.engine import group


class Policy(models.Model):
    """A placement policy. ``text`` is its newest version, which was checked before it was kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=63, unique=True)
    description = models.CharField(max_length=500, blank=True)
    shipped = models.BooleanField(default=False, help_text="Comes with Cloudsite and is only changed by it.")
    file = models.CharField(max_length=255, blank=True, help_text="Where it is kept; only that changes it.")
    version = models.PositiveIntegerField(default=1)
    text = models.TextField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "policies"

    def __str__(self) -> str:
        return self.name


class PolicyVersion(models.Model):
    """What a policy was, and who made it so. The author is a plain name: the record outlives its user."""

    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    text = models.TextField()
    author = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["policy", "number"], name="policy_version_unique")]

    def __str__(self) -> str:
        return f"{self.policy} {self.number}"


class GroupRule(models.TextChoices):
    AFFINITY = group.AFFINITY, "All on one host"
    ANTI_AFFINITY = group.ANTI_AFFINITY, "Each on another host"
    SOFT_AFFINITY = group.SOFT_AFFINITY, "On one host where there is room"
    SOFT_ANTI_AFFINITY = group.SOFT_ANTI_AFFINITY, "On other hosts where there are any"


class PlacementGroup(models.Model):
    """Machines that want to be together or apart. Who is in it and has a place: ``Allocation.group_id``."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="placement_groups")
    name = models.CharField(max_length=63)
    rule = models.CharField(max_length=18, choices=GroupRule.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="placement_group_name_once_per_owner")]

    def __str__(self) -> str:
        return self.name


class Placement(models.Model):
    """Why a consumer was placed where it is. ``record`` is what the decision saw, which gives the reasons again."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    consumer_id = models.UUIDField(db_index=True)
    consumer_name = models.CharField(max_length=100)
    owner_id = models.UUIDField(null=True, db_index=True)
    host_id = models.UUIDField()
    host_name = models.CharField(max_length=63)
    policy = models.CharField(max_length=63)
    policy_version = models.PositiveIntegerField(null=True)
    snapshot_hash = models.CharField(max_length=64, default="", help_text="Equal where the same hosts were seen.")
    record = models.BinaryField(default=b"", help_text="Request, policy and hosts as they were seen, compressed.")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.consumer_name} on {self.host_name}"

    @property
    def name(self) -> str:
        """What it is called in the history."""
        return self.consumer_name


class Reservation(models.Model):
    """Room that is held for a VM which nobody has made yet. Its id is the claim's, and will be the VM's.

    The row is gone once the room is taken, given back, or was held for long enough.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    placement = models.OneToOneField(Placement, on_delete=models.CASCADE, related_name="reservation")
    policy = models.ForeignKey(
        Policy, on_delete=models.PROTECT, null=True, related_name="+", help_text="As chosen; empty: the default."
    )
    group = models.ForeignKey(PlacementGroup, on_delete=models.PROTECT, null=True, related_name="+")
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"the reservation {self.placement.consumer_name}"
