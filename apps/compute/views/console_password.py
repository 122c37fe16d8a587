"""One-time passwords, on the tab "Console"."""

import uuid

from django.contrib import messages
from django.http import HttpResponse

from apps.compute.selectors.vm import vm_for
from apps.compute.services.console_password import console_password_reveal
from apps.compute.services.console_password import vm_console_password as ask
from apps.errors import Conflict
from apps.pages import PageRequest, action, back, show


@action
def vm_console_password(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    change = ask(actor=request.user, vm_id=vm_id)
    messages.success(request, f"Requested: {change.plan.changes[0]}.")
    return back(request)


@action
def vm_console_password_reveal(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """The password, in its place on the page; the rest of the page then looks whether it is still to be offered."""
    context: dict[str, object] = {"section": "vms", "vm": vm_for(actor=request.user, vm_id=vm_id)}
    try:
        context["shown"] = console_password_reveal(actor=request.user, vm_id=vm_id)
    except Conflict as error:
        context["error"] = error.detail
    response = show(request, "compute/console_password.html", "compute/console_password_shown.html", context)
    response["Cache-Control"] = "no-store"
    response["HX-Trigger"] = "returned"
    return response
