"""Pages of snapshots. A plan is the service's own, rolled back."""

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from apps.compute.forms.snapshot import ConfirmForm, SnapshotCreateForm, SnapshotFilter
from apps.compute.models import SnapshotPhase
from apps.compute.selectors.snapshot import snapshot_for, snapshot_tree, snapshots_for
from apps.compute.selectors.vm import vm_for
from apps.compute.services import snapshot as services
from apps.compute.services.snapshot import SnapshotChange
from apps.compute.views.vm_page import vm_page
from apps.envelope.mutation import Plan
from apps.errors import AppError
from apps.pages import PageRequest, form_page, page, page_of, preview, render_form, show, show_refusal

BUSY = (SnapshotPhase.CREATING, SnapshotPhase.DELETING)


@page
def snapshot_list(request: PageRequest) -> HttpResponse:
    """The snapshots of all VMs of this person; of all for admins."""
    form = SnapshotFilter(request.GET)
    found = page_of(request, form.narrow(snapshots_for(actor=request.user)), ordering=("-created_at", "-id"))
    context = {
        "section": "snapshots",
        "form": form,
        "page": found,
        "is_narrowed": bool(request.GET.get("q") or request.GET.get("status")),
        "is_live": any(snapshot.phase in BUSY for snapshot in found.rows),
    }
    return show(request, "compute/snapshot_list.html", "compute/snapshot_rows.html", context)


@page
def vm_snapshots(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """The tree of one VM."""
    vm = vm_for(actor=request.user, vm_id=vm_id)
    context = {"branches": snapshot_tree(list(vm.snapshots.all()))}
    return vm_page(request, vm, tab="snapshots", panel="compute/vm_snapshots.html", context=context)


@form_page
def snapshot_create(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """Take one. What it will hold stands there before."""
    vm = vm_for(actor=request.user, vm_id=vm_id)
    suggested = f"{timezone.now():%Y-%m-%d-%H%M}"
    form = SnapshotCreateForm(request.POST or None, initial={"name": suggested})
    if request.method == "POST" and form.is_valid():
        try:
            with transaction.atomic():
                services.snapshot_create(actor=request.user, vm_id=vm_id, name=form.cleaned_data["name"])
            messages.success(request, f"The snapshot {form.cleaned_data['name']} is being taken.")
            return redirect("vm-snapshots", vm_id=vm_id)
        except AppError as error:
            show_refusal(form, error)
    wish = partial(services.snapshot_create, actor=request.user, vm_id=vm_id, name=f"preview-{uuid.uuid4().hex[:8]}")
    context = {"section": "vms", "vm": vm, "form": form, **_plan(wish)}
    return render_form(request, "compute/snapshot_create.html", context)


@form_page
def snapshot_revert(request: PageRequest, snapshot_id: uuid.UUID) -> HttpResponse:
    """Go back to it. What will be lost stands there before."""
    return _confirm(request, snapshot_id, services.snapshot_revert, "compute/snapshot_revert.html", "is going back to")


@form_page
def snapshot_delete(request: PageRequest, snapshot_id: uuid.UUID) -> HttpResponse:
    """Delete it. The VM stays as it is."""
    return _confirm(request, snapshot_id, services.snapshot_delete, "compute/snapshot_delete.html", "is losing")


def _confirm(
    request: PageRequest, snapshot_id: uuid.UUID, service: Callable[..., SnapshotChange], template: str, doing: str
) -> HttpResponse:
    snapshot = snapshot_for(actor=request.user, snapshot_id=snapshot_id)
    form = ConfirmForm(request.POST if request.method == "POST" else None)
    wish = partial(service, actor=request.user, snapshot_id=snapshot_id)
    if request.method == "POST" and form.is_valid():
        try:
            with transaction.atomic():
                wish()
            messages.success(request, f"{snapshot.vm.name} {doing} the snapshot {snapshot.name}.")
            return redirect("vm-snapshots", vm_id=snapshot.vm_id)
        except AppError as error:
            show_refusal(form, error)
    context = {"section": "vms", "vm": snapshot.vm, "snapshot": snapshot, "form": form, **_plan(wish)}
    return render_form(request, template, context)


def _plan(wish: Callable[[], SnapshotChange]) -> dict[str, Any]:
    """The plan, or why there is none."""
    plan: Plan | None = None
    try:
        plan = preview(wish).plan
    except AppError as error:
        return {"plan": plan, "refusal": error.detail}
    return {"plan": plan, "refusal": ""}
