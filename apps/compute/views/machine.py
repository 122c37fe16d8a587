"""Buttons of a VM's page that make another machine of it, or of its disk."""

import uuid

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect

from apps.compute.services.clone import vm_clone as clone_request
from apps.pages import PageRequest, action


@action
def vm_clone(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """The name was typed in the dialog; the new machine's page follows the copy."""
    change = clone_request(actor=request.user, vm_id=vm_id, name=request.POST.get("name", "").strip())
    messages.success(request, f"{change.vm.name} is being made.")
    return redirect("vm-detail", vm_id=change.vm.pk)
