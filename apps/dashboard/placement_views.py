"""Pages of decisions, for administrators: they name hosts."""

import uuid

from django.http import HttpResponse
from django.shortcuts import render

from apps.accounts.selectors import require_admin
from apps.dashboard.placement_forms import PlacementFilter
from apps.dashboard.placement_selectors import placement_told
from apps.pages import PageRequest, page, page_of, show
from apps.placement.selectors import placements_for


@page
def placement_list(request: PageRequest) -> HttpResponse:
    """Decisions, newest first."""
    require_admin(request.user)
    form = PlacementFilter(request.GET, actor=request.user)
    found = page_of(request, form.narrow(placements_for(actor=request.user)), ordering=("-created_at", "-id"))
    context = {"section": "placement", "tab": "decisions", "form": form, "page": found}
    return show(request, "placement/placement_list.html", "placement/placement_rows.html", context)


@page
def placement_detail(request: PageRequest, placement_id: uuid.UUID) -> HttpResponse:
    """One decision: why this host, and why not the others."""
    told = placement_told(actor=request.user, placement_id=placement_id)
    context = {"section": "placement", "tab": "decisions", "told": told, "lines": told.text.splitlines()}
    return render(request, "placement/placement_detail.html", context)
