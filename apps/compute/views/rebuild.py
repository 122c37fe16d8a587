"""The page on which a machine gets a new root disk."""

import uuid

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.compute.forms.rebuild import RebuildForm
from apps.compute.selectors.snapshot import vm_has_snapshots
from apps.compute.selectors.vm import vm_for
from apps.compute.services import rebuild as services
from apps.compute.services.wish import VMChange
from apps.errors import AppError
from apps.pages import PageRequest, form_page, preview, render_form, show_refusal


@form_page
def vm_rebuild(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """What will be lost and what stays stands there from the start; done is it only with the name typed."""
    vm = vm_for(actor=request.user, vm_id=vm_id)
    form = RebuildForm(request.POST or None, actor=request.user, vm=vm)
    change: VMChange | None = None
    if form.is_valid():
        image = form.cleaned_data["image"]
        try:
            if request.method == "POST" and request.POST.get("intent") == "rebuild" and form.is_confirmed():
                services.vm_rebuild(actor=request.user, vm_id=vm_id, image=image)
                messages.success(request, f"{vm.name} is being rebuilt.")
                return redirect("vm-detail", vm_id=vm_id)
            change = preview(lambda: services.vm_rebuild(actor=request.user, vm_id=vm_id, image=image))
        except AppError as error:
            show_refusal(form, error)
    context = {
        "section": "vms",
        "vm": vm,
        "form": form,
        "plan": change.plan if change else None,
        "has_snapshots": vm_has_snapshots(vm_id=vm.pk),
    }
    if request.htmx:
        return render(request, "compute/vm_rebuild_plan.html", context)
    answer = render_form if request.method == "POST" else render
    return answer(request, "compute/vm_rebuild.html", context)
