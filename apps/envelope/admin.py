"""The admin reads; what changes goes through services."""

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from apps.envelope.models import IdempotencyKey


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """A model that operations manage: shown in full, changed by no form.

    A form of the admin would write a row that no host knows of.
    """

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(ReadOnlyAdmin):
    list_display = ["key", "user_id", "status", "created_at"]
    exclude = ["body"]
