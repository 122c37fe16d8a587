"""Operations in the admin. Cancel and retry go through the services."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.accounts.permissions import actor_of
from apps.envelope.admin import ReadOnlyAdmin
from apps.errors import AppError
from apps.operations.models import Operation
from apps.operations.services import operation_cancel, operation_retry


def each(request: HttpRequest, chosen: QuerySet[Any], act: Callable[[Any], object], done: str) -> None:
    """Act on each row that was chosen; a refusal is told and does not stop the others."""
    for item in chosen:
        try:
            with transaction.atomic():
                act(item)
            messages.success(request, f"{item}: {done}")
        except AppError as error:
            messages.error(request, f"{item}: {error.detail}")


@admin.register(Operation)
class OperationAdmin(ReadOnlyAdmin):
    list_display = ["kind", "target_name", "status", "step", "progress", "attempts", "created_at"]
    list_filter = ["status", "kind"]
    search_fields = ["target_name", "target_id", "id", "request_id"]
    actions = ["cancel", "retry"]

    @admin.action(description="Cancel")
    def cancel(self, request: HttpRequest, chosen: QuerySet[Operation]) -> None:
        each(
            request,
            chosen,
            lambda item: operation_cancel(actor=actor_of(request), operation_id=item.pk),
            "cancelled",
        )

    @admin.action(description="Retry")
    def retry(self, request: HttpRequest, chosen: QuerySet[Operation]) -> None:
        each(
            request,
            chosen,
            lambda item: operation_retry(actor=actor_of(request), operation_id=item.pk),
            "queued again",
        )
