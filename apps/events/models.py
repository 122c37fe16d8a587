"""What happened, who did it and to what. A record outlives its object and its actor."""

from django.db import models


class Event(models.Model):
    """One line of history, written in the transaction of the change it describes. Never updated.

    Actor and target are plain ids and labels (no foreign key).
    """

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    kind = models.CharField(max_length=60, help_text="For example vm.create, vm.stopped, host.unreachable.")
    message = models.CharField(max_length=500)
    actor_id = models.UUIDField(null=True)
    actor_label = models.CharField(max_length=150, blank=True, help_text="Empty: Cloudsite itself.")
    owner_id = models.UUIDField(null=True, db_index=True, help_text="User who may read it beside the admins.")
    target_type = models.CharField(max_length=30)
    target_id = models.UUIDField(db_index=True)
    target_name = models.CharField(max_length=100)
    operation_id = models.UUIDField(null=True)
    request_id = models.CharField(max_length=64, blank=True)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.target_name}"
