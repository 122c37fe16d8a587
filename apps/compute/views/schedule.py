"""The tab "Schedules" of a VM: what is done with it by the clock."""

import uuid
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.compute.forms.schedule import ScheduleCreateForm, ScheduleUpdateForm
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
            if request.POST.get("intent") == "save":
                schedule = services.schedule_create(actor=request.user, vm_id=vm_id, **form.wanted())
                messages.success(request, f"Scheduled: {services.told(schedule)}.")
                return redirect("vm-schedules", vm_id=vm_id)
            schedule = preview(lambda: services.schedule_create(actor=request.user, vm_id=vm_id, **form.wanted()))
        except AppError as error:
            show_refusal(form, error)
    plan = {"changes": [services.told(schedule)]} if schedule else None
    context = {"vm": vm, "form": form, "plan": plan, "schedule": schedule, "is_first": request.method != "POST"}
    words = {"button": "Add schedule", "next_label": "First time"}
    return _answer(request, "compute/schedule_create.html", {**context, **words})


@form_page
def schedule_update(request: PageRequest, schedule_id: uuid.UUID) -> HttpResponse:
    """Change what, when or whether. Whoever changes it is whom it acts for."""
    before = schedule_for(actor=request.user, schedule_id=schedule_id)
    form = ScheduleUpdateForm(before, request.POST or None)
    schedule: Schedule | None = None
    if request.method == "POST" and form.is_valid():
        change = {"actor": request.user, "schedule_id": schedule_id, **form.wanted()}
        try:
            if request.POST.get("intent") == "save":
                schedule = services.schedule_update(**change)
                messages.success(request, f"Changed: {services.told(schedule)}.")
                return redirect("vm-schedules", vm_id=schedule.vm_id)
            schedule = preview(lambda: services.schedule_update(**change))
        except AppError as error:
            show_refusal(form, error)
    plan = {"changes": _changes(before, schedule)} if schedule else None
    context = {"vm": before.vm, "form": form, "plan": plan, "schedule": schedule}
    words = {"button": "Save", "next_label": "Next time"}
    return _answer(request, "compute/schedule_update.html", {**context, **words})


def _changes(before: Schedule, after: Schedule) -> list[str]:
    """What would be another than it is."""
    was, now = services.told(before), services.told(after)
    changes = [now, f"no longer {was}"] if was != now else [f"{now}, as before"]
    if before.enabled != after.enabled:
        changes.append("it runs again" if after.enabled else "it stays there and does not run")
    if before.owner_id != after.owner_id:
        changes.append(f"it acts for you, not for {before.owner.get_username()} any more")
    return changes


def _answer(request: PageRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """The whole form, or for htmx only the plan beside it."""
    context["section"] = "vms"
    if request.htmx:
        return render(request, "compute/schedule_plan.html", context)
    return render_form(request, template, context)


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
