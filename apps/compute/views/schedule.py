"""The tab "Schedules" of a VM: what is done with it by the clock."""

import uuid
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.compute.forms.schedule import ScheduleCreateForm
from apps.compute.models import Schedule
from apps.compute.selectors.schedule import schedule_for
from apps.compute.selectors.vm import vm_for
from apps.compute.services import schedule as services
from apps.compute.views.vm_page import vm_page
from apps.errors import AppError
from apps.pages import PageRequest, action, form_page, page, preview, render_form, show_refusal


@dataclass(frozen=True, kw_only=True)
class Line:
    """One schedule of the list, with its times in words."""

    schedule: Schedule
    when: str
    kept: str


@page
def vm_schedules(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """The schedules of one VM, soonest first."""
    vm = vm_for(actor=request.user, vm_id=vm_id)
    lines = [
        Line(schedule=schedule, when=services.when(schedule), kept=services.kept(schedule))
        for schedule in services.vm_schedules(vm=vm)
    ]
    return vm_page(request, vm, tab="schedules", panel="compute/vm_schedules.html", context={"lines": lines})


@form_page
def schedule_create(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """Plan an action. When it is due for the first time stands there before."""
    vm = vm_for(actor=request.user, vm_id=vm_id)
    form = ScheduleCreateForm(request.POST or None)
    schedule: Schedule | None = None
    if request.method == "POST" and form.is_valid():
        try:
            if request.POST.get("intent") == "create":
                schedule = services.schedule_create(actor=request.user, vm_id=vm_id, **form.wanted())
                messages.success(request, f"Scheduled: {services.told(schedule)}.")
                return redirect("vm-schedules", vm_id=vm_id)
            schedule = preview(lambda: services.schedule_create(actor=request.user, vm_id=vm_id, **form.wanted()))
        except AppError as error:
            show_refusal(form, error)
    plan = {"changes": [services.told(schedule)]} if schedule else None
    context = {"section": "vms", "vm": vm, "form": form, "plan": plan, "schedule": schedule}
    if request.htmx:
        return render(request, "compute/schedule_plan.html", context)
    return render_form(request, "compute/schedule_create.html", context)


@action
def schedule_enable(request: PageRequest, schedule_id: uuid.UUID) -> HttpResponse:
    """Let it run, or leave it where it is without running."""
    schedule_for(actor=request.user, schedule_id=schedule_id)
    enabled = request.POST.get("enabled") == "true"
    schedule = services.schedule_update(actor=request.user, schedule_id=schedule_id, enabled=enabled)
    messages.success(request, f"{'Enabled' if enabled else 'Disabled'}: {services.told(schedule)}.")
    return redirect("vm-schedules", vm_id=schedule.vm_id)


@action
def schedule_delete(request: PageRequest, schedule_id: uuid.UUID) -> HttpResponse:
    schedule = services.schedule_delete(actor=request.user, schedule_id=schedule_id)
    messages.success(request, f"Deleted: {services.told(schedule)}.")
    return redirect("vm-schedules", vm_id=schedule.vm_id)
