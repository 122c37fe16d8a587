"""Answers kept for ``Idempotency-Key``: the same key gives the same answer, not a second VM."""

from django.db import models


class IdempotencyKey(models.Model):
    """One key of one user, written in the transaction of the request it stands for.

    ``user_id`` is plain, because this table lies below the accounts.
    """

    user_id = models.UUIDField()
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of method, path and body.")
    status = models.PositiveSmallIntegerField()
    location = models.CharField(max_length=200, blank=True)
    body = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user_id", "key"], name="idempotency_one_per_user_and_key")]

    def __str__(self) -> str:
        return self.key
