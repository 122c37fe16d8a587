"""The tab "Console" of a machine's page. Its scripts fetch a ticket and open the WebSocket."""

import uuid

from django.http import HttpResponse

from apps.compute.models import ConsoleKind
from apps.compute.selectors.console_password import console_password_waiting
from apps.compute.selectors.vm import vm_for
from apps.compute.services.console import is_open, way_refusal
from apps.compute.services.console_password import login_of
from apps.compute.services.thumbnail import Sight, thumbnail_of
from apps.compute.views.vm_page import vm_page
from apps.pages import PageRequest, page

SCRIPTS = {ConsoleKind.SERIAL: "js/console/serial.js", ConsoleKind.VNC: "js/console/vnc.js"}


@page
def vm_console(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """The serial console."""
    return _console(request, vm_id, ConsoleKind.SERIAL)


@page
def vm_screen(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """What a monitor would show."""
    return _console(request, vm_id, ConsoleKind.VNC)


@page
def vm_thumbnail(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """The picture, 202 while it is fetched, 204 where there is none. It is never waited for."""
    seen = thumbnail_of(actor=request.user, vm_id=vm_id)
    status = {Sight.SHOWN: 200, Sight.PENDING: 202, Sight.NONE: 204}[seen.sight]
    return HttpResponse(seen.png, status=status, content_type="image/png", headers={"Cache-Control": "no-store"})


def _console(request: PageRequest, vm_id: uuid.UUID, kind: ConsoleKind) -> HttpResponse:
    vm = vm_for(actor=request.user, vm_id=vm_id)
    refusal = way_refusal(vm, kind)
    context = {
        "kind": kind.value,
        "script": SCRIPTS[kind],
        "is_running": is_open(vm),
        "refusal": refusal and refusal.detail,
        "login": login_of(vm),
        "waiting": console_password_waiting(actor=request.user, vm=vm),
    }
    return vm_page(
        request,
        vm,
        tab="console",
        panel="compute/vm_console_state.html",
        still="compute/vm_console_still.html",
        dialogs="compute/console_password_dialog.html" if login_of(vm) else None,
        context=context,
    )
