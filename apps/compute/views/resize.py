"""The page on which a machine gets another size."""

import uuid

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.compute.forms.resize import ResizeForm
from apps.compute.models import Power
from apps.compute.selectors.vm import vm_for
from apps.compute.services import resize as services
from apps.compute.services.wish import VMChange
from apps.errors import AppError
from apps.pages import PageRequest, form_page, preview, render_form, show_refusal

LIVE = {"vcpus": "the vCPUs", "memory_mib": "the memory", "disk_gib": "the disk"}


@form_page
def vm_resize(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """Another size. The plan is the same call rolled back; it says, too, what needs the machine off."""
    vm = vm_for(actor=request.user, vm_id=vm_id)
    form = ResizeForm(request.POST or None, vm=vm)
    change: VMChange | None = None
    if request.method == "POST" and form.is_valid():
        try:
            if request.POST.get("intent") == "resize":
                change = services.vm_resize(actor=request.user, vm_id=vm_id, **form.wanted())
                messages.success(request, f"Requested: {change.plan.changes[0]}.")
                return redirect("vm-detail", vm_id=vm_id)
            change = preview(lambda: services.vm_resize(actor=request.user, vm_id=vm_id, **form.wanted()))
        except AppError as error:
            _refuse(form, error)
    context = {
        "section": "vms",
        "vm": vm,
        "is_off": vm.power in (Power.SHUTOFF, Power.CRASHED),
        "form": form,
        "plan": change.plan if change else None,
    }
    if request.htmx:
        return render(request, "compute/vm_resize_plan.html", context)
    return render_form(request, "compute/vm_resize.html", context)


def _refuse(form: ResizeForm, error: AppError) -> None:
    """The reasons stand at their fields; above them, what could be had without turning it off."""
    show_refusal(form, error)
    if error.code == "vm.resize_needs_stop":
        live = ", ".join(LIVE[field] for field in error.extra["live"])
        alone = f" While it runs, you can change {live}." if live else ""
        form.add_error(None, f"{form.vm.name} has to be off for this. Shut it down first.{alone}")
