"""The tab "Network" of a VM: its interfaces, and the ports of the host that lead to it."""

import uuid

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect

from apps.compute.forms.nic import NicCreateForm, PortForwardCreateForm
from apps.compute.models import NicPhase
from apps.compute.selectors.nic import forward_for, forwards_of, nic_for, nics_of
from apps.compute.selectors.vm import vm_for
from apps.compute.services.nic import nic_create, nic_delete
from apps.compute.services.port_forward import port_forward_create, port_forward_delete
from apps.compute.views.vm_page import vm_page
from apps.network.models import NetworkKind
from apps.pages import PageRequest, action, page


@page
def vm_network(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    """Interfaces with their addresses, and port forwards."""
    vm = vm_for(actor=request.user, vm_id=vm_id)
    nics = list(nics_of(actor=request.user, vm_id=vm_id))
    context = {
        "nics": nics,
        "only_nic": sum(nic.phase == NicPhase.READY for nic in nics) == 1,
        "seen": {item["ip"] for item in vm.observed_addresses},
        "forwards": list(forwards_of(actor=request.user, vm_id=vm_id)),
        "has_nat": any(nic.network.kind == NetworkKind.NAT for nic in nics),
        "nic_form": NicCreateForm(actor=request.user, vm=vm),
        "forward_form": PortForwardCreateForm(),
    }
    panel, dialogs = "compute/vm_network.html", "compute/vm_network_dialogs.html"
    return vm_page(request, vm, tab="network", panel=panel, dialogs=dialogs, context=context)


def _told(request: PageRequest, form: forms.Form) -> None:
    """A form in a dialog: what is wrong is a message on the page behind it."""
    for field, errors in form.errors.items():
        messages.error(request, f"{form.fields[field].label or field.capitalize()}: {errors[0]}")


@action
def vm_nic_create(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    form = NicCreateForm(request.POST, actor=request.user, vm=vm_for(actor=request.user, vm_id=vm_id))
    if form.is_valid():
        change = nic_create(actor=request.user, vm_id=vm_id, **form.cleaned_data)
        messages.success(request, f"Requested: {change.plan.changes[0]}.")
    _told(request, form)
    return redirect("vm-network", vm_id=vm_id)


@action
def vm_nic_delete(request: PageRequest, nic_id: uuid.UUID) -> HttpResponse:
    vm_id = nic_for(actor=request.user, nic_id=nic_id).vm_id
    change = nic_delete(actor=request.user, nic_id=nic_id)
    messages.success(request, f"Requested: {change.plan.changes[0]}.")
    return redirect("vm-network", vm_id=vm_id)


@action
def vm_port_forward_create(request: PageRequest, vm_id: uuid.UUID) -> HttpResponse:
    vm_for(actor=request.user, vm_id=vm_id)
    form = PortForwardCreateForm(request.POST)
    if form.is_valid():
        change = port_forward_create(actor=request.user, vm_id=vm_id, **form.cleaned_data)
        messages.success(request, f"Requested: {change.plan.changes[0]}.")
    _told(request, form)
    return redirect("vm-network", vm_id=vm_id)


@action
def vm_port_forward_delete(request: PageRequest, forward_id: uuid.UUID) -> HttpResponse:
    vm_id = forward_for(actor=request.user, forward_id=forward_id).vm_id
    change = port_forward_delete(actor=request.user, forward_id=forward_id)
    messages.success(request, f"Requested: {change.plan.changes[0]}.")
    return redirect("vm-network", vm_id=vm_id)
