"""The page of what-if questions, for administrators: it names hosts and everybody's machines."""

from django.http import HttpResponse

from apps.accounts.selectors import require_admin
from apps.dashboard.what_if_forms import WhatIfForm
from apps.dashboard.what_if_selectors import what_if_answer
from apps.pages import PageRequest, page, show


@page
def what_if(request: PageRequest) -> HttpResponse:
    """Which host may be lost, how much room there is, and what would change if the cloud were different."""
    require_admin(request.user)
    form = WhatIfForm(request.GET, actor=request.user)
    question = form.question()
    answer = what_if_answer(actor=request.user, question=question)
    context = {"section": "placement", "tab": "what-if", "form": form, "question": question, "answer": answer}
    return show(request, "placement/what_if.html", "placement/what_if_answer.html", context)
