"""Pages that combine apps."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.dashboard.selectors import differences_for, overview_for, search_for
from apps.dashboard.services import installation_confirm_restored
from apps.pages import PageRequest, action, page, show


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


@page
def differences(request: PageRequest) -> HttpResponse:
    """In what the hosts and our records differ: after a backup was restored, or beside us."""
    found = differences_for(actor=request.user)
    return render(request, "dashboard/differences.html", {"section": "overview", "differences": found})


@action
def differences_confirm(request: PageRequest) -> HttpResponse:
    """The notice of the restored backup has been read."""
    installation_confirm_restored(actor=request.user)
    messages.success(request, "The overview says no more that a backup was restored.")
    return redirect("overview")
