"""Pages of hosts. Only administrators find them; for others there are none."""

import uuid
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.accounts.selectors import require_admin
from apps.errors import AppError, refused
from apps.events.selectors import events_on
from apps.hosts import services
from apps.hosts.forms import HostCreateForm, HostTrustForm, HostUpdateForm
from apps.hosts.models import AllocationKind, Host, Transport
from apps.hosts.selectors import allocations_on, host_for, hosts_for
from apps.hosts.setup import setup_for
from apps.operations.models import ACTIVE
from apps.operations.selectors import operations_for
from apps.pages import PageRequest, action, back, form_page, page, render_form, show, show_refusal

RECENT = 8


@page
def host_list(request: PageRequest) -> HttpResponse:
    """All hosts with what is claimed on them."""
    require_admin(request.user)
    hosts = list(hosts_for(actor=request.user))
    active = operations_for(actor=request.user).filter(target_id__in=[host.pk for host in hosts], status__in=ACTIVE)
    busy = {operation.target_id: operation for operation in active}
    context = {
        "section": "hosts",
        "rows": [{"host": host, "operation": busy.get(host.pk)} for host in hosts],
        "is_live": bool(busy),
    }
    return show(request, "hosts/host_list.html", "hosts/host_rows.html", context)


@page
def host_detail(request: PageRequest, host_id: uuid.UUID) -> HttpResponse:
    """One host: capacity and claims, state, what it proved, what runs on it."""
    return show(request, "hosts/host_detail.html", "hosts/host_live.html", _detail(request, host_id))


def _detail(request: PageRequest, host_id: uuid.UUID) -> dict[str, Any]:
    host = host_for(actor=request.user, host_id=host_id)
    operations = list(operations_for(actor=request.user).filter(target_id=host.pk)[:RECENT])
    claims = list(allocations_on(host=host))
    return {
        "section": "hosts",
        "host": host,
        "fingerprint": services.fingerprint_of(host.offered_key) if host.offered_key else "",
        "pinned": services.fingerprint_of(host.host_key) if host.host_key else "",
        "vms": [claim for claim in claims if claim.kind == AllocationKind.VM],
        "volumes": [claim for claim in claims if claim.kind == AllocationKind.VOLUME],
        "reserved": [claim for claim in claims if claim.kind == AllocationKind.RESERVATION],
        "foreign": [claim for claim in claims if claim.kind == AllocationKind.FOREIGN],
        "operation": operations[0] if operations else None,
        "operations": operations,
        "is_live": any(operation.is_active for operation in operations),
        "events": events_on(actor=request.user, target_id=host.pk)[:RECENT],
        "trust_form": HostTrustForm(),
        "read_fingerprint": f"ssh-keygen -lf {_key_file(host.offered_key)}",
        "setup": _commands(host) if host.transport == Transport.SSH and not host.cpus else "",
    }


def _key_file(key: str) -> str:
    """Where the host keeps the public half of a key of this type."""
    kind = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}.get(key.partition(" ")[0], "ecdsa")
    return f"/etc/ssh/ssh_host_{kind}_key.pub"


def _commands(host: Host) -> str:
    return "\n".join(setup_for(host)["commands"])


@form_page
def host_create(request: PageRequest) -> HttpResponse:
    """Add a host; its page then says what to run on it."""
    require_admin(request.user)
    form = HostCreateForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            with transaction.atomic():
                host, _operation = services.host_create(actor=request.user, **form.cleaned_data)
            return _setup_page(request, host) if host.transport == Transport.TLS else redirect("host-detail", host.pk)
        except AppError as error:
            show_refusal(form, error)
    return render_form(request, "hosts/host_create.html", {"section": "hosts", "form": form})


@action
def host_setup(request: PageRequest, host_id: uuid.UUID) -> HttpResponse:
    """The commands for a TLS host, with a new certificate and key: the answer to a button, shown once."""
    require_admin(request.user)
    return _setup_page(request, host_for(actor=request.user, host_id=host_id))


def _setup_page(request: PageRequest, host: Host) -> HttpResponse:
    return render(request, "hosts/host_setup.html", {"section": "hosts", "host": host, "setup": _commands(host)})


@form_page
def host_trust(request: PageRequest, host_id: uuid.UUID) -> HttpResponse:
    """Confirm the fingerprint; a wrong one is said at the field."""
    form = HostTrustForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            with transaction.atomic():
                services.host_trust(actor=request.user, host_id=host_id, **form.cleaned_data)
            messages.success(request, "The key is pinned. The host is being looked at now.")
            return redirect("host-detail", host_id=host_id)
        except AppError as error:
            show_refusal(form, error)
    context = {**_detail(request, host_id), "trust_form": form, "form": form}
    return render_form(request, "hosts/host_detail.html", context)


@form_page
def host_update(request: PageRequest, host_id: uuid.UUID) -> HttpResponse:
    """Its accelerator, and how much of it may be claimed."""
    host = host_for(actor=request.user, host_id=host_id)
    form = HostUpdateForm.of(host, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            with transaction.atomic():
                services.host_update(actor=request.user, host_id=host_id, **form.cleaned_data)
            return redirect("host-detail", host_id=host_id)
        except AppError as error:
            show_refusal(form, error)
    return render_form(request, "hosts/host_update.html", {"section": "hosts", "host": host, "form": form})


@action
def host_enable(request: PageRequest, host_id: uuid.UUID) -> HttpResponse:
    """Open the host for new VMs, or close it. What runs there is left alone."""
    require_admin(request.user)
    said = request.POST.get("enabled")
    if said not in ("true", "false"):
        raise refused("enabled", "host.enabled", "A host is opened with true and closed with false.")
    enabled = said == "true"
    host = services.host_update(actor=request.user, host_id=host_id, enabled=enabled)
    messages.success(request, f"{host.name} is {'open' if enabled else 'closed'} for new virtual machines.")
    return back(request)


@action
def host_probe(request: PageRequest, host_id: uuid.UUID) -> HttpResponse:
    """Look at the host again."""
    host, _operation = services.host_probe(actor=request.user, host_id=host_id)
    messages.success(request, f"{host.name} is being looked at again.")
    return back(request)


@action
def host_delete(request: PageRequest, host_id: uuid.UUID) -> HttpResponse:
    """Forget the host; refused with the list while VMs of ours are on it."""
    host = services.host_delete(actor=request.user, host_id=host_id)
    messages.success(request, f"{host.name} was removed. It keeps running as plain libvirt.")
    return redirect("host-list")
