"""Pages of virtual machines. Rendered from PostgreSQL alone; the services decide."""

import uuid
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from apps.accounts.models import Role
from apps.accounts.services import ssh_key_create
from apps.compute.connection import Way, ways_to
from apps.compute.forms.vm import VMCreateForm, VMFilter, VMUpdateForm
from apps.compute.models import VM
from apps.compute.selectors.vm import ROW, vm_addresses, vm_for, vm_placement, vm_rows, vms_for
from apps.compute.services import vm as services
from apps.compute.services.group import vm_group
from apps.compute.services.thumbnail import is_visible
from apps.compute.views.vm_page import RECENT, vm_page
from apps.errors import AppError
from apps.events.selectors import events_on
from apps.operations.models import ACTIVE
from apps.operations.selectors import operation_active, operations_for
from apps.pages import (
    PageRequest,
    action,
    back,
    fields_named,
    form_page,
    page,
    page_of,
    preview,
    render_form,
    show,
    show_refusal,
)

ENDS = ("vm.create", "vm.delete")  # what the state says already


@page
def vm_list(request: PageRequest) -> HttpResponse:
    """The VMs of this person; all for admins."""
    form = VMFilter(request.GET)
    wanted = form.narrow(vms_for(actor=request.user).prefetch_related(None))
    found = page_of(request, wanted.values(*ROW), ordering=("-created_at", "-id"))
    rows = list_rows(request, found.rows)
    context = {
        "section": "vms",
        "form": form,
        "page": found,
        "rows": rows,
        "is_narrowed": bool(request.GET.get("q") or request.GET.get("status")),
        "is_live": any(row["is_busy"] for row in rows),
        "may_change": request.user.role != Role.VIEWER,
    }
    return show(request, "compute/vm_list.html", "compute/vm_rows.html", context)


def list_rows(request: PageRequest, vms: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The columns of each VM, its pages, where it answers and what is being done to it, ready to be printed.

    Plain dictionaries: a template finds a key of one in half the time that an attribute takes.
    """
    active = operations_for(actor=request.user).filter(target_id__in=[vm["id"] for vm in vms], status__in=ACTIVE)
    busy = dict(active.order_by("deletes").values_list("target_id", "kind"))
    own, hosts = reverse("vm-list"), reverse("host-list") if request.user.is_admin else ""
    return [
        {
            **vm,
            "path": f"{own}{vm['id']}/",
            "host_path": f"{hosts}{vm['host_id']}/" if hosts and vm["host_id"] else "",
            "created": vm["created_at"].isoformat(),
            "ip": vm["addresses"][0]["ip"] if vm["addresses"] else "-",
            "is_busy": vm["id"] in busy,
            "doing": busy.get(vm["id"]) if busy.get(vm["id"]) not in ENDS else None,
        }
        for vm in vm_rows(vms)
    ]


@page
def vm_menu(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """The menu of a line of the list, fetched when it is opened: fifty of them would be most of the page."""
    vm = vm_for(actor=request.user, vm_id=vm_id)
    context = {"vm": vm, "operation": operation_active(target_id=vm.pk)}
    return render(request, "compute/vm_menu.html", context)


@page
def vm_detail(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """The overview of one VM; alive while an operation works on it."""
    vm = vm_for(actor=request.user, vm_id=vm_id)
    addresses = vm_addresses(vm)
    return vm_page(
        request,
        vm,
        tab="overview",
        panel="compute/vm_overview.html",
        context={
            "addresses": addresses,
            "is_visible": is_visible(vm),
            "ways": _ways(request, vm, addresses),
            "events": events_on(actor=request.user, target_id=vm.pk)[:RECENT],
            "placement": vm_placement(actor=request.user, vm=vm),
        },
    )


def _ways(request: PageRequest, vm: VM, addresses: list[dict[str, str]]) -> list[Way]:
    site = request.get_host().rsplit(":", 1)[0]
    return ways_to(vm=vm, ip=addresses[0]["ip"], actor=request.user, site=site) if addresses else []


@form_page
def vm_create(request: PageRequest) -> HttpResponse:
    """Make a VM. The plan is the same call rolled back; what was typed is kept whatever happens."""
    form = VMCreateForm(request.POST or None, actor=request.user, initial=request.GET.dict())
    change: services.VMChange | None = None
    if request.method == "POST" and form.is_valid():
        try:
            if request.POST.get("intent") == "create":
                with transaction.atomic():
                    change = _create(request, form)
                return redirect("vm-detail", vm_id=change.vm.pk)
            change = preview(lambda: _create(request, form))
        except AppError as error:
            show_refusal(form, error)
    context = {
        "section": "vms",
        "form": form,
        "plan": change.plan if change else None,
        "vm": change and change.vm,
    }
    if request.htmx:
        return render(request, "compute/vm_plan.html", context)
    return render_form(request, "compute/vm_create.html", context)


def _create(request: PageRequest, form: VMCreateForm) -> services.VMChange:
    key = form.new_key()
    if key:
        with fields_named(name="key_name"):
            ssh_key_create(actor=request.user, **key)
    return services.vm_create(actor=request.user, **form.wanted())


@form_page
def vm_update(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """Its name, tags and notes: no host is touched."""
    vm = vm_for(actor=request.user, vm_id=vm_id)
    form = VMUpdateForm.of(vm, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            with transaction.atomic():
                if form.cleaned_data["name"] != vm.name:
                    services.vm_rename(actor=request.user, vm_id=vm_id, name=form.cleaned_data["name"])
                if "group" in form.fields:
                    vm_group(actor=request.user, vm_id=vm_id, group=form.cleaned_data["group"] or None)
                services.vm_update(actor=request.user, vm_id=vm_id, **form.wanted())
            return redirect("vm-detail", vm_id=vm_id)
        except AppError as error:
            show_refusal(form, error)
    return render_form(request, "compute/vm_update.html", {"section": "vms", "vm": vm, "form": form})


def _verb(request: PageRequest, service: Callable[..., services.VMChange], vm_id: uuid.UUID) -> HttpResponse:
    change = service(actor=request.user, vm_id=vm_id)
    messages.success(request, f"Requested: {change.plan.changes[0]}.")
    return back(request)


@action
def vm_start(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    return _verb(request, services.vm_start, vm_id)


@action
def vm_shutdown(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    return _verb(request, services.vm_shutdown, vm_id)


@action
def vm_power_off(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    return _verb(request, services.vm_power_off, vm_id)


@action
def vm_reboot(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    return _verb(request, services.vm_reboot, vm_id)


@action
def vm_reset(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    return _verb(request, services.vm_reset, vm_id)


@action
def vm_pause(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    return _verb(request, services.vm_pause, vm_id)


@action
def vm_resume(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    return _verb(request, services.vm_resume, vm_id)


@action
def vm_delete(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """Into the trash, from where it can be restored; or for good, when the name was typed in the dialog."""
    permanent = request.POST.get("permanent") == "true"
    change = services.vm_delete(actor=request.user, vm_id=vm_id, permanent=permanent)
    if change.vm.trashed_until is not None:
        messages.success(request, f"{change.vm.name} is moved to the trash.")
        return redirect("vm-detail", vm_id=vm_id)
    messages.success(request, f"{change.vm.name} is being deleted.")
    return redirect("operation-detail", operation_id=change.operation.pk)


@action
def vm_protect(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """Protect it from deletion, or take the protection off."""
    protected = request.POST.get("protected") == "true"
    vm = services.vm_update(actor=request.user, vm_id=vm_id, protected=protected)
    messages.success(request, f"{vm.name} is {'now' if protected else 'no longer'} protected from deletion.")
    return back(request)
