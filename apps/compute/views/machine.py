"""Buttons of a VM's page that make another machine or an image of it, or boot it from something else."""

import uuid

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect

from apps.compute.services import rescue
from apps.compute.services.clone import vm_clone as clone_request
from apps.compute.services.image import vm_image as image_request
from apps.pages import PageRequest, action, back


@action
def vm_clone(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """The name was typed in the dialog; the new machine's page follows the copy."""
    change = clone_request(actor=request.user, vm_id=vm_id, name=request.POST.get("name", "").strip())
    messages.success(request, f"{change.vm.name} is being made.")
    return redirect("vm-detail", vm_id=change.vm.pk)


@action
def vm_image(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """The name was typed in the dialog; the image's page follows it."""
    change = image_request(actor=request.user, vm_id=vm_id, name=request.POST.get("name", "").strip())
    messages.success(request, f"{change.image.name} is being made.")
    return redirect("image-detail", image_id=change.image.pk)


@action
def vm_rescue(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """The image was chosen in the dialog, or is the VM's own."""
    image = request.POST.get("image", "").strip() or None
    change = rescue.vm_rescue(actor=request.user, vm_id=vm_id, image=image)
    messages.success(request, f"Requested: {change.plan.changes[0]}.")
    return redirect("vm-detail", vm_id=vm_id)


@action
def vm_unrescue(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    change = rescue.vm_unrescue(actor=request.user, vm_id=vm_id)
    messages.success(request, f"Requested: {change.plan.changes[0]}.")
    return back(request)


@action
def vm_insert(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """The CD was chosen in the dialog."""
    boot = request.POST.get("boot") == "on"
    change = rescue.vm_insert(actor=request.user, vm_id=vm_id, image=request.POST.get("image", "").strip(), boot=boot)
    messages.success(request, f"Requested: {', then '.join(change.plan.changes)}.")
    return redirect("vm-detail", vm_id=vm_id)


@action
def vm_eject(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    change = rescue.vm_eject(actor=request.user, vm_id=vm_id)
    messages.success(request, f"Requested: {change.plan.changes[0]}.")
    return back(request)
