"""Buttons of a VM's page that make another machine of it, or of its disk."""

import uuid

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect

from apps.compute.services.clone import vm_clone as clone_request
from apps.compute.services.image import vm_image as image_request
from apps.pages import PageRequest, action


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
