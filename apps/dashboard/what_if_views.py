"""The page of what-if questions, for administrators: it names hosts and everybody's machines."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render

from apps.accounts.selectors import require_admin
from apps.dashboard.what_if_forms import WhatIfForm
from apps.dashboard.what_if_selectors import losses_now, what_if_answer
from apps.errors import AppError
from apps.pages import PageRequest, page, show


@page
def what_if(request: PageRequest) -> HttpResponse:
    """Which host may be lost, how much room there is, and what would change if the cloud were different."""
    require_admin(request.user)
    form = WhatIfForm(request.GET, actor=request.user)
    question = form.question()
    context: dict[str, Any] = {"section": "placement", "tab": "what-if", "form": form, "question": question}
    try:
        context["answer"] = what_if_answer(actor=request.user, question=question)
    except AppError as error:  # a default policy that does not exist
        context["refusal"] = error.detail
    return show(request, "placement/what_if.html", "placement/what_if_answer.html", context)


@page
def what_if_badge(request: PageRequest) -> HttpResponse:
    """For the overview, which asks for it once it is there: whether any one host may be lost."""
    require_admin(request.user)
    try:
        losses = losses_now(actor=request.user)
    except AppError:
        losses = None
    fatal = [loss for loss in losses or () if loss.homeless]
    return render(request, "placement/what_if_badge.html", {"losses": losses, "fatal": fatal})
