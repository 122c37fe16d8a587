"""Decisions that were made, kept with their reasons."""

import uuid

from django.db import models


class Placement(models.Model):
    """Why a consumer was placed where it is: the trace of the decision that was carried out."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    consumer_id = models.UUIDField(db_index=True)
    consumer_name = models.CharField(max_length=100)
    owner_id = models.UUIDField(null=True, db_index=True)
    host_id = models.UUIDField()
    host_name = models.CharField(max_length=63)
    policy = models.CharField(max_length=63)
    trace = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.consumer_name} on {self.host_name}"
