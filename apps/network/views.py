"""Pages of networks. Rendered from PostgreSQL alone; the services decide."""

import uuid

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.errors import AppError
from apps.events.selectors import events_on
from apps.network import services
from apps.network.forms import NetworkCreateForm
from apps.network.selectors import addresses_free, network_for, networks_listed, nics_in
from apps.operations.models import ACTIVE
from apps.operations.selectors import operations_for
from apps.pages import PageRequest, action, form_page, page, preview, render_form, show, show_refusal

RECENT = 8


@page
def network_list(request: PageRequest) -> HttpResponse:
    """One's own networks, and those that everybody may use."""
    networks = list(networks_listed(actor=request.user))
    active = operations_for(actor=request.user).filter(target_id__in=[n.pk for n in networks], status__in=ACTIVE)
    busy = {operation.target_id: operation for operation in active}
    context = {
        "section": "networks",
        "rows": [{"network": network, "operation": busy.get(network.pk)} for network in networks],
        "is_live": bool(busy),
    }
    return show(request, "network/network_list.html", "network/network_rows.html", context)


@page
def network_detail(request: PageRequest, network_id: uuid.UUID) -> HttpResponse:
    """One network and who is in it."""
    network = network_for(actor=request.user, network_id=network_id)
    operations = list(operations_for(actor=request.user).filter(target_id=network.pk)[:RECENT])
    context = {
        "section": "networks",
        "network": network,
        "nics": nics_in(actor=request.user, network=network),
        "free": len(addresses_free(network=network)) if network.cidr else None,
        "may_change": not network.builtin and (request.user.is_admin or network.owner_id == request.user.pk),
        "operation": operations[0] if operations else None,
        "is_live": any(operation.is_active for operation in operations),
        "events": events_on(actor=request.user, target_id=network.pk)[:RECENT],
    }
    return show(request, "network/network_detail.html", "network/network_live.html", context)


@form_page
def network_create(request: PageRequest) -> HttpResponse:
    """Make a network. The plan is the same call rolled back; what was typed is kept whatever happens."""
    form = NetworkCreateForm(request.POST or None, actor=request.user)
    change: services.NetworkChange | None = None
    if request.method == "POST" and form.is_valid():
        try:
            if request.POST.get("intent") == "create":
                with transaction.atomic():
                    change = services.network_create(actor=request.user, **form.wanted())
                return redirect("network-detail", network_id=change.network.pk)
            change = preview(lambda: services.network_create(actor=request.user, **form.wanted()))
        except AppError as error:
            show_refusal(form, error)
    context = {"section": "networks", "form": form, "plan": change.plan if change else None}
    if request.htmx:
        return render(request, "network/network_plan.html", context)
    return render_form(request, "network/network_create.html", context)


@action
def network_delete(request: PageRequest, network_id: uuid.UUID) -> HttpResponse:
    """Take it away; refused with their names while machines are in it."""
    change = services.network_delete(actor=request.user, network_id=network_id)
    messages.success(request, f"{change.network.name} is being deleted.")
    return redirect("network-list")
