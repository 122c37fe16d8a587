"""Pages of operations: what was asked, how far it is, why it failed."""

import uuid

from django.contrib import messages
from django.http import HttpResponse

from apps.operations import services
from apps.operations.forms import OperationFilter
from apps.operations.selectors import operation_for, operations_for
from apps.pages import PageRequest, action, back, page, page_of, show


@page
def operation_list(request: PageRequest) -> HttpResponse:
    """All operations that this person may see, newest first."""
    form = OperationFilter(request.GET)
    found = page_of(request, form.narrow(operations_for(actor=request.user)), ordering=("-created_at", "-id"))
    context = {
        "section": "operations",
        "form": form,
        "page": found,
        "is_live": any(operation.is_active for operation in found.rows),
    }
    return show(request, "operations/operation_list.html", "operations/operation_rows.html", context)


@page
def operation_detail(request: PageRequest, operation_id: uuid.UUID) -> HttpResponse:
    """One operation; alive until it has ended."""
    context = {
        "section": "operations",
        "operation": operation_for(actor=request.user, operation_id=operation_id),
    }
    return show(request, "operations/operation_detail.html", "operations/operation_live.html", context)


@action
def operation_cancel(request: PageRequest, operation_id: uuid.UUID) -> HttpResponse:
    """Ask it to stop at its next step."""
    operation = services.operation_cancel(actor=request.user, operation_id=operation_id)
    messages.success(request, f"{operation.target_name}: asked to stop at its next step.")
    return back(request)


@action
def operation_retry(request: PageRequest, operation_id: uuid.UUID) -> HttpResponse:
    """Queue it again, under the same id."""
    operation = services.operation_retry(actor=request.user, operation_id=operation_id)
    messages.success(request, f"{operation.target_name}: queued again.")
    return back(request)
