"""The only door between deciding (apps) and doing (workers)."""

import uuid

from django.db import models
from django.db.models import Q


class Status(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


ACTIVE = (Status.QUEUED, Status.RUNNING)


class Operation(models.Model):
    """One change that a worker carries out on a host.

    The row is the queue: it is written in the transaction of the wish, and a message only says that it exists.
    ``attempts`` is the fence: every claim raises it and every later write filters on it, so that a worker that
    comes back late writes nothing.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=40, help_text="For example vm.create; names the handler.")
    deletes = models.BooleanField(default=False, help_text="A delete runs after the active operation has ended.")
    target_type = models.CharField(max_length=30)
    target_id = models.UUIDField(db_index=True)
    target_name = models.CharField(max_length=100)
    host_id = models.UUIDField(null=True, db_index=True, help_text="Host that it talks to, once known.")
    owner_id = models.UUIDField(null=True, db_index=True, help_text="User who may see it beside the admins.")
    requested_by = models.UUIDField(null=True)
    requested_by_label = models.CharField(max_length=150, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    params = models.JSONField(default=dict, help_text="What was asked for. Never a secret.")
    state = models.JSONField(default=dict, help_text="What the handler keeps from one claim to the next.")

    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    step = models.CharField(max_length=200, blank=True)
    progress = models.PositiveSmallIntegerField(null=True, help_text="0 to 100, or nothing where it is not known.")
    error_code = models.CharField(max_length=60, blank=True)
    error_message = models.CharField(max_length=1000, blank=True)
    retryable = models.BooleanField(default=False)
    attempts = models.PositiveIntegerField(default=0, help_text="Claims so far: the fence.")
    crashes = models.PositiveIntegerField(default=0, help_text="Claims whose worker never came back.")
    run_after = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    deadline = models.DateTimeField()
    cancel_requested = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_index=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["target_id"],
                condition=Q(status__in=["queued", "running"], deletes=False),
                name="operation_one_active_per_target",
            ),
            models.UniqueConstraint(
                fields=["target_id"],
                condition=Q(status__in=["queued", "running"], deletes=True),
                name="operation_one_active_delete_per_target",
            ),
        ]
        indexes = [
            models.Index(fields=["run_after"], condition=Q(status__in=["queued", "running"]), name="operation_due"),
            models.Index(fields=["host_id"], condition=Q(status="running"), name="operation_running_on_host"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.target_name}"

    @property
    def is_active(self) -> bool:
        """Queued or running."""
        return self.status in ACTIVE
