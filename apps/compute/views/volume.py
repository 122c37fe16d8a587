"""Pages of data volumes, and the tab of a VM that shows its own."""

import uuid
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.compute.forms.volume import LimitsForm, VolumeCreateForm, VolumeFilter, VolumeUpdateForm
from apps.compute.selectors.vm import vm_for
from apps.compute.selectors.volume import (
    attachment_of,
    operations_on_volume,
    vms_to_attach_to,
    volume_for,
    volumes_for,
    volumes_of_vm,
    volumes_to_attach,
)
from apps.compute.services import volume as services
from apps.compute.services import volume_attachment as attachments
from apps.compute.views.vm_page import vm_page
from apps.errors import AppError
from apps.events.selectors import events_on
from apps.operations.models import ACTIVE
from apps.operations.selectors import operations_for
from apps.pages import (
    PageRequest,
    action,
    back,
    form_page,
    page,
    page_of,
    preview,
    render_form,
    show,
    show_refusal,
)
from apps.storage.models import Volume

RECENT = 8


@page
def volume_list(request: PageRequest) -> HttpResponse:
    """The data volumes of this person; all for admins."""
    form = VolumeFilter(request.GET)
    found = page_of(request, volumes_for(actor=request.user).filter(**form.wanted()), ordering=("-created_at", "-id"))
    context = {
        "section": "volumes",
        "form": form,
        "page": found,
        "is_narrowed": bool(request.GET.get("q") or request.GET.get("status")),
        "is_live": _is_busy(request, found.rows),
    }
    return show(request, "compute/volume_list.html", "compute/volume_rows.html", context)


def _is_busy(request: PageRequest, volumes: list[Volume]) -> bool:
    ids = [volume.pk for volume in volumes]
    active = operations_for(actor=request.user).filter(status__in=ACTIVE)
    moving = any(getattr(volume, "status", "") in ("attaching", "detaching") for volume in volumes)
    return moving or active.filter(target_id__in=ids).exists()


@page
def volume_detail(request: PageRequest, volume_id: uuid.UUID) -> HttpResponse:
    """Everything about one volume; alive while an operation works on it."""
    volume = volume_for(actor=request.user, volume_id=volume_id)
    operations = list(operations_on_volume(actor=request.user, volume=volume)[:RECENT])
    active = [operation for operation in operations if operation.is_active]
    attachment = attachment_of(volume)
    context = {
        "section": "volumes",
        "volume": volume,
        "attachment": attachment,
        "vms": [] if attachment else vms_to_attach_to(actor=request.user, volume=volume)[:200],
        "operation": max(active, key=lambda item: item.deletes, default=operations[0] if operations else None),
        "operations": operations,
        "is_live": bool(active),
        "events": events_on(actor=request.user, target_id=volume.pk)[:RECENT],
    }
    return show(request, "compute/volume_detail.html", "compute/volume_live.html", context)


@form_page
def volume_create(request: PageRequest) -> HttpResponse:
    """Make a volume. The plan is the same call rolled back."""
    form = VolumeCreateForm(request.POST or None, actor=request.user, initial=request.GET.dict())
    change: services.VolumeChange | None = None
    if request.method == "POST" and form.is_valid():
        try:
            if request.POST.get("intent") == "create":
                change = services.volume_create(actor=request.user, **form.wanted())
                return redirect("volume-detail", volume_id=change.volume.pk)
            change = preview(lambda: services.volume_create(actor=request.user, **form.wanted()))
        except AppError as error:
            show_refusal(form, error)
    context = {"section": "volumes", "form": form, "plan": change.plan if change else None}
    if request.htmx:
        return render(request, "compute/volume_plan.html", context)
    return render_form(request, "compute/volume_create.html", context)


@form_page
def volume_update(request: PageRequest, volume_id: uuid.UUID) -> HttpResponse:
    """Its name and its limits; a machine that has it obeys new limits at once."""
    volume = volume_for(actor=request.user, volume_id=volume_id)
    now = {"name": volume.name, "iops": volume.iops or None, "bandwidth_mib_s": volume.bandwidth_mib_s or None}
    form = VolumeUpdateForm(request.POST or None, initial=now)
    if request.method == "POST" and form.is_valid():
        try:
            name = form.cleaned_data["name"]
            services.volume_update(actor=request.user, volume_id=volume_id, name=name, **form.limits())
            return redirect("volume-detail", volume_id=volume_id)
        except AppError as error:
            show_refusal(form, error)
    return render_form(request, "compute/volume_update.html", {"section": "volumes", "volume": volume, "form": form})


def _asked(request: PageRequest, change: str) -> HttpResponse:
    messages.success(request, f"Requested: {change}.")
    return back(request)


@action
def volume_attach(request: PageRequest, volume_id: uuid.UUID) -> HttpResponse:
    change = attachments.volume_attach(actor=request.user, volume_id=volume_id, vm=request.POST.get("vm", ""))
    return _asked(request, change.plan.changes[0])


@action
def volume_detach(request: PageRequest, volume_id: uuid.UUID) -> HttpResponse:
    change = attachments.volume_detach(actor=request.user, volume_id=volume_id)
    return _asked(request, change.plan.changes[0])


@action
def volume_resize(request: PageRequest, volume_id: uuid.UUID) -> HttpResponse:
    volume_for(actor=request.user, volume_id=volume_id)
    size = request.POST.get("size_gib", "")
    if not (size.isascii() and size.isdigit() and len(size) < 10):
        messages.error(request, "Give the new size as a whole number of GiB.")
        return back(request)
    change = services.volume_resize(actor=request.user, volume_id=volume_id, size_gib=int(size))
    return _asked(request, change.plan.changes[1])


@action
def volume_delete(request: PageRequest, volume_id: uuid.UUID) -> HttpResponse:
    """The name was typed in the dialog; the page follows the deletion."""
    change = services.volume_delete(actor=request.user, volume_id=volume_id)
    messages.success(request, f"{change.volume.name} is being deleted.")
    assert change.operation is not None  # noqa: S101  # a delete always has one
    return redirect("operation-detail", operation_id=change.operation.pk)


@page
def vm_volumes(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """The disks of one VM: its root disk, the volumes it has, and those it could have."""
    vm = vm_for(actor=request.user, vm_id=vm_id)
    root = vm.root_volume
    context: dict[str, Any] = {
        "volumes": volumes_of_vm(actor=request.user, vm=vm),
        "free": volumes_to_attach(actor=request.user, vm=vm)[:200],
        "root": root,
        "limits": LimitsForm(
            initial={"iops": root.iops or None, "bandwidth_mib_s": root.bandwidth_mib_s or None} if root else {}
        ),
    }
    return vm_page(request, vm, tab="volumes", panel="compute/vm_volumes.html", context=context)


@action
def vm_volume_attach(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """The same as from the volume's page, with the volume chosen in a list."""
    vm = vm_for(actor=request.user, vm_id=vm_id)
    wanted = volumes_to_attach(actor=request.user, vm=vm).filter(name=request.POST.get("volume", "")).first()
    if wanted is None:
        messages.error(request, "Choose one of the volumes in the list.")
        return back(request)
    change = attachments.volume_attach(actor=request.user, volume_id=wanted.pk, vm=str(vm.pk))
    return _asked(request, change.plan.changes[0])


@action
def vm_io_limits(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    vm_for(actor=request.user, vm_id=vm_id)
    form = LimitsForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Limits are whole numbers; empty is no limit.")
        return back(request)
    with transaction.atomic():
        change = services.vm_io_limits(actor=request.user, vm_id=vm_id, **form.limits())
    return _asked(request, "; ".join(change.plan.changes))
