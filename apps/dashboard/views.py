"""Pages that combine apps."""

from django.http import HttpResponse
from django.shortcuts import render

from apps.dashboard.selectors import overview_for, search_for
from apps.pages import PageRequest, page, show


@page
def overview(request: PageRequest) -> HttpResponse:
    """The first page: what there is, what happens, what happened."""
    found = overview_for(actor=request.user)
    context = {"section": "overview", "overview": found, "is_live": bool(found.operations)}
    return show(request, "dashboard/overview.html", "dashboard/overview_live.html", context)


@page
def search(request: PageRequest) -> HttpResponse:
    """Everything by name, address or id."""
    text = request.GET.get("q", "").replace("\x00", "").strip()[:100]
    context = {"search_text": text, "found": search_for(actor=request.user, text=text)}
    return render(request, "dashboard/search.html", context)
