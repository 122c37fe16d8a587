"""Decisions that were made, kept with their reasons."""

import uuid

from django.db import models


class Placement(models.Model):
    """Why a consumer was placed where it is. ``record`` is what the decision saw, which gives the reasons again."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    consumer_id = models.UUIDField(db_index=True)
    consumer_name = models.CharField(max_length=100)
    owner_id = models.UUIDField(null=True, db_index=True)
    host_id = models.UUIDField()
    host_name = models.CharField(max_length=63)
    policy = models.CharField(max_length=63)
    snapshot_hash = models.CharField(max_length=64, default="", help_text="Equal where the same hosts were seen.")
    record = models.BinaryField(default=b"", help_text="Request, policy and hosts as they were seen, compressed.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.consumer_name} on {self.host_name}"
