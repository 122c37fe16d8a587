"""The trash on pages: what is in it, and taking something out."""

import uuid

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse

from apps.accounts.models import Role
from apps.compute.selectors.trash import vms_trashed
from apps.compute.selectors.vm import ROW
from apps.compute.services.trash import vm_restore as restore
from apps.compute.views.vm import list_rows
from apps.pages import PageRequest, action, back, page, page_of, show


@page
def vm_trash(request: PageRequest) -> HttpResponse:
    """What this person deleted and could have back."""
    wanted = vms_trashed(actor=request.user).prefetch_related(None).values(*ROW)
    found = page_of(request, wanted, ordering=("-created_at", "-id"))
    rows = list_rows(request, found.rows)
    context = {
        "section": "vms",
        "page": found,
        "rows": rows,
        "hours": settings.TRASH_HOURS,
        "is_live": any(row["is_busy"] for row in rows),
        "may_change": request.user.role != Role.VIEWER,
    }
    return show(request, "compute/vm_trash.html", "compute/vm_trash_rows.html", context)


@action
def vm_restore(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """Out of the trash, and off."""
    vm = restore(actor=request.user, vm_id=vm_id)
    messages.success(request, f"{vm.name} is restored. It is off.")
    return back(request)
