"""Pages of placement policies: what each says, who changed it, and where it would place a machine now."""

import uuid
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.accounts.models import User
from apps.accounts.selectors import require_admin
from apps.compute.selectors.vm import sizes
from apps.dashboard.policy_forms import BEGINNING, PolicyForm, TrialForm, copied
from apps.dashboard.policy_selectors import (
    Trial,
    is_default,
    policies_listed,
    policy_read_as,
    policy_trial,
    policy_users,
    size_named,
)
from apps.dashboard.policy_words import asks_of, diff_lines, wants_of
from apps.errors import AppError, Conflict
from apps.names import as_id
from apps.pages import PageRequest, form_page, page, preview, render_form, show, show_refusal
from apps.placement.models import Policy
from apps.placement.policies import policy_create, policy_delete, policy_for, policy_history, policy_replace
from apps.placement.policy.metrics import METRICS

MOST_USERS = 20


@page
def policy_list(request: PageRequest) -> HttpResponse:
    """All policies; everybody may choose one."""
    found = policies_listed(actor=request.user)
    context = {"section": "placement", "tab": "policies", "policies": [(row, is_default(row)) for row in found]}
    return render(request, "placement/policy_list.html", context)


@page
def policy_detail(request: PageRequest, policy_id: uuid.UUID) -> HttpResponse:
    """One policy: in words, as text, with its versions; for administrators with a dry run. htmx asks for that alone."""
    policy = policy_for(policy_id=policy_id)
    context: dict[str, Any] = {"section": "placement", "tab": "policies", "policy": policy}
    if request.user.is_admin:
        form = TrialForm(request.GET)
        trial = policy_trial(actor=request.user, text=policy.text, size=size_named(form.wanted))
        context |= {"trial_form": form, "trial": trial}
    if not request.htmx:
        context |= _about(request.user, policy)
    return show(request, "placement/policy_detail.html", "placement/policy_trial.html", context)


def _about(actor: User, policy: Policy) -> dict[str, Any]:
    read = policy_read_as(text=policy.text)
    users = policy_users(actor=actor, policy=policy)
    history = [{**version, "lines": diff_lines(str(version["diff"]))} for version in policy_history(policy=policy)]
    return {
        "is_default": is_default(policy),
        "asks": asks_of(read) if read else [],
        "wants": wants_of(read) if read else [],
        "power": read.power if read else None,
        "lines": policy.text.splitlines(),
        "history": history,
        "author": history[0]["author"] if history else "",
        "sizes": [size for size in sizes() if size.policy_id == policy.pk],
        "users": users[:MOST_USERS],
        "users_total": users.count(),
    }


@form_page
def policy_new(request: PageRequest) -> HttpResponse:
    """Write a policy, from the beginning or from another one (``?from=``)."""
    require_admin(request.user)
    source = as_id(request.GET.get("from", ""))
    text = copied(policy_for(policy_id=source).text) if source else BEGINNING
    return _edit(request, text, None)


@form_page
def policy_update(request: PageRequest, policy_id: uuid.UUID) -> HttpResponse:
    """Make a new version of one."""
    require_admin(request.user)
    policy = policy_for(policy_id=policy_id)
    return _edit(request, policy.text, policy)


def _edit(request: PageRequest, text: str, policy: Policy | None) -> HttpResponse:
    """The same page for both. What is asked while somebody types is the saving itself, rolled back."""
    form = PolicyForm(request.POST or None, initial={"text": text})
    trial_form = TrialForm(request.POST or None)
    problems: list[dict[str, Any]] = []
    trial: Trial | None = None
    if request.method == "POST" and form.is_valid():
        text = form.cleaned_data["text"]
        try:
            if request.POST.get("intent") == "save":
                with transaction.atomic():
                    saved = _save(request.user, text, policy)
                messages.success(request, f"{saved.name} is kept as version {saved.version}. No machine moves.")
                return redirect("policy-detail", policy_id=saved.pk)
            preview(lambda: _save(request.user, text, policy))
        except AppError as error:
            problems = _problems(error, text)
            show_refusal(form, error)
    if not form.errors:
        trial = policy_trial(actor=request.user, text=text, size=size_named(trial_form.wanted))
    context = {
        "section": "placement", "tab": "policies", "policy": policy, "form": form, "trial_form": trial_form,
        "problems": problems, "trial": trial, "metrics": METRICS.values(),
        "changed": policy is None or text != policy.text,
    }  # fmt: skip
    if request.htmx:
        return render(request, "placement/policy_check.html", context)
    return render_form(request, "placement/policy_edit.html", context)


def _save(actor: User, text: str, policy: Policy | None) -> Policy:
    if policy is None:
        return policy_create(actor=actor, text=text)
    return policy_replace(actor=actor, policy_id=policy.pk, text=text)


def _problems(error: AppError, text: str) -> list[dict[str, Any]]:
    """What the parser found, each with the line it is in."""
    lines = text.split("\n")
    found = error.extra.get("problems", [])
    return [
        {**item, "source": lines[item["line"] - 1][:200] if item["line"] <= len(lines) else ""}
        for item in sorted(found, key=lambda item: (item["line"], item["column"]))
    ]


@form_page
def policy_remove(request: PageRequest, policy_id: uuid.UUID) -> HttpResponse:
    """Say what deleting it does, or why it cannot be; then do it."""
    require_admin(request.user)
    policy = policy_for(policy_id=policy_id)
    refusal = ""
    try:
        if request.method == "POST":
            with transaction.atomic():
                policy_delete(actor=request.user, policy_id=policy_id)
            messages.success(request, f"The policy {policy.name} is deleted.")
            return redirect("policy-list")
        preview(lambda: policy_delete(actor=request.user, policy_id=policy_id))
    except Conflict as error:
        refusal = error.detail
    context = {"section": "placement", "policy": policy, "refusal": refusal}
    status = 422 if refusal and request.method == "POST" else 200
    return render(request, "placement/policy_delete.html", context, status=status)
