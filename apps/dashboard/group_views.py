"""Pages of placement groups: whose they are, who is in them and where, and what keeps them from being deleted."""

import uuid

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.compute.selectors.vm import vms_for
from apps.dashboard.group_forms import RULES, GroupCreateForm
from apps.errors import AppError, Conflict
from apps.events.selectors import events_on
from apps.pages import PageRequest, form_page, page, page_of, preview, render_form, show_refusal
from apps.placement import groups
from apps.placement.models import GroupRule

RECENT = 8


@page
def group_list(request: PageRequest) -> HttpResponse:
    """One's own groups, or all for an administrator."""
    found = page_of(request, groups.groups_for(actor=request.user), ordering=("name", "id"))
    return render(request, "placement/group_list.html", {"section": "placement", "tab": "groups", "page": found})


@page
def group_detail(request: PageRequest, group_id: uuid.UUID) -> HttpResponse:
    """One group: its rule in words, and who is in it. A machine that has no place yet has no host."""
    group = groups.group_for(actor=request.user, group_id=group_id)
    placed = {member["id"] for member in group.members}  # type: ignore[attr-defined]  # groups_for asks for them
    context = {
        "section": "placement",
        "group": group,
        "note": RULES[GroupRule(group.rule)],
        "waiting": vms_for(actor=request.user).filter(group=group).exclude(pk__in=placed).order_by("name"),
        "events": events_on(actor=request.user, target_id=group.pk)[:RECENT],
    }
    return render(request, "placement/group_detail.html", context)


@form_page
def group_create(request: PageRequest) -> HttpResponse:
    """Add a group. Machines join it when they are created, or by their own page."""
    form = GroupCreateForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            with transaction.atomic():
                made = groups.group_create(actor=request.user, **form.cleaned_data)
            return redirect("group-detail", group_id=made.pk)
        except AppError as error:
            show_refusal(form, error)
    return render_form(request, "placement/group_create.html", {"section": "placement", "form": form})


@form_page
def group_remove(request: PageRequest, group_id: uuid.UUID) -> HttpResponse:
    """Say that it goes, or who is in it; then delete it."""
    group = groups.group_for(actor=request.user, group_id=group_id)
    refusal = ""
    try:
        if request.method == "POST":
            with transaction.atomic():
                groups.group_delete(actor=request.user, group_id=group_id)
            messages.success(request, f"The placement group {group.name} is deleted.")
            return redirect("group-list")
        preview(lambda: groups.group_delete(actor=request.user, group_id=group_id))
    except Conflict as error:
        refusal = error.detail
    context = {"section": "placement", "group": group, "refusal": refusal}
    status = 422 if refusal and request.method == "POST" else 200
    return render(request, "placement/group_delete.html", context, status=status)
