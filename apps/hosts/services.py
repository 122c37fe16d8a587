"""Writing hosts on the side of people: add, trust, open and close, probe, remove."""

import re
import secrets
import uuid
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django.db.models.functions import Now

from apps.accounts.models import User
from apps.accounts.selectors import require_admin
from apps.errors import Conflict, refused
from apps.events.services import event_record
from apps.hosts.capacity import OURS, capacity_limits
from apps.hosts.models import Accelerator, Host, HostStatus, Installation, Transport
from apps.hosts.passwords import password_keep
from apps.hosts.selectors import host_for
from apps.hosts.uris import parse_uri
from apps.names import MAX_LENGTH, valid_name
from apps.operations import timeouts
from apps.operations.models import Operation
from apps.operations.selectors import operation_active
from apps.operations.services import operation_create

MOST_LABELS = 50
LEAST_INTERVAL, MOST_INTERVAL = 5, 3600
LABEL = re.compile(r"[a-z][a-z0-9_]{0,62}")


def installation_ensure() -> str:
    """The identity of this installation, made once."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('cloudsite installation'))")  # no row to lock yet
        known = Installation.objects.first()
        if known is None:
            known = Installation.objects.create(id=secrets.token_hex(4))
        return known.id


def host_create(*, actor: User, name: str, uri: str) -> tuple[Host, Operation]:
    """Know a new host. The local one is probed; others are asked for their key, which a person confirms."""
    require_admin(actor)
    valid_name("name", name)
    parts = parse_uri(uri)
    local = parts.transport == Transport.LOCAL
    host = Host(
        name=name,
        transport=parts.transport,
        address=parts.address,
        port=parts.port,
        user=parts.user,
        status=HostStatus.UNREACHABLE if local else HostStatus.PENDING_TRUST,
        reason="Not probed yet." if local else "Its identity has not been confirmed yet.",
    )
    _must_be_new(host)
    try:
        with transaction.atomic():
            host.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict("host.exists", "A host with this name or address was just added.") from error
    kind = "host.probe" if parts.transport != Transport.SSH else "host.identify"
    return host, _request(host, kind=kind, actor=actor)


def host_local_ensure(*, hostname: str) -> Host:
    """This machine as a host, added and probed once; a person may remove or rename it. A failed probe is repeated."""
    known = Host.objects.filter(transport=Transport.LOCAL).first()
    if known is not None:
        if known.enabled and not known.accelerator:
            _probe_again(known)
        return known
    name = re.sub(r"[^a-z0-9-]+", "-", hostname.lower().split(".")[0])[:MAX_LENGTH].strip("-") or "local"
    if Host.objects.filter(name=name).exists():
        name = f"local-{secrets.token_hex(3)}"
    host = Host.objects.create(
        name=name, transport=Transport.LOCAL, status=HostStatus.UNREACHABLE, reason="Not probed yet."
    )
    _request(host, kind="host.probe", actor=None)
    return host


def hosts_probe_again() -> int:
    """Ask for another probe of each open host whose first one failed a while ago. Returns how many."""
    before = Now() - timedelta(seconds=timeouts.probe_again())
    waiting = Host.objects.filter(enabled=True, status=HostStatus.UNREACHABLE, accelerator="", status_since__lt=before)
    return sum(_probe_again(host) for host in waiting)


def _probe_again(host: Host) -> bool:
    if operation_active(target_id=host.pk) is not None:
        return False
    try:
        _request(host, kind="host.probe", actor=None)
    except Conflict:
        return False  # somebody else was faster
    return True


def _must_be_new(host: Host) -> None:
    if Host.objects.filter(name=host.name).exists():
        raise refused("name", "host.name_taken", f"There is already a host named {host.name!r}.")
    same = Host.objects.filter(transport=host.transport, address=host.address)
    for other in same:
        if (other.port or 0) == (host.port or 0):
            raise refused("uri", "host.exists", f"This host is already known as {other.name!r}.")


def _request(host: Host, *, kind: str, actor: User | None, params: dict[str, Any] | None = None) -> Operation:
    return operation_create(kind=kind, target_type="host", target=host, actor=actor, params=params, host_id=host.pk)


def host_trust(
    *, actor: User, host_id: uuid.UUID, fingerprint: str, password: str | None = None
) -> tuple[Host, Operation]:
    """Confirm the identity of a host: the fingerprint must be the one that was seen. Then it is probed.

    With a password our key is installed first; it is used once and never stored. Whoever mistyped it confirms the
    pinned key once more.
    """
    require_admin(actor)
    host = host_for(actor=actor, host_id=host_id)
    if host.transport != Transport.SSH:
        raise Conflict("host.trust_not_needed", "Only a qemu+ssh host has a key to confirm.")
    key = host.offered_key or host.host_key
    if not key:
        raise Conflict("host.no_key_yet", "Its key has not been seen yet. Wait for host.identify, or repeat it.")
    if not secrets.compare_digest(fingerprint.strip().encode(), fingerprint_of(key).encode()):
        raise refused("fingerprint", "host.fingerprint", "This is not the fingerprint of the key that was seen.")
    host.host_key, host.offered_key = key, ""
    host.status, host.reason = HostStatus.UNREACHABLE, "Trusted; not probed yet."
    host.save(update_fields=["host_key", "offered_key", "status", "reason"])
    event_record(
        kind="host.trusted",
        target_type="host",
        target=host,
        actor=actor,
        message=f"Key {fingerprint} was confirmed",
    )
    operation = _request(host, kind="host.probe", actor=actor)
    if password:
        password_keep(operation_id=operation.pk, password=password)
    return host, operation


def fingerprint_of(host_key: str) -> str:
    """``SHA256:…`` of a key given as type and base64, as ssh-keygen prints it."""
    import base64
    import hashlib

    digest = hashlib.sha256(base64.b64decode(host_key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def host_probe(*, actor: User, host_id: uuid.UUID) -> tuple[Host, Operation]:
    """Look at a host again: its key where none is trusted, else what it has and can do."""
    require_admin(actor)
    host = host_for(actor=actor, host_id=host_id)
    unknown = host.transport == Transport.SSH and (not host.host_key or host.status == HostStatus.KEY_CHANGED)
    Host.objects.filter(pk=host.pk).update(retry_at=None)
    return host, _request(host, kind="host.identify" if unknown else "host.probe", actor=actor)


def host_update(
    *,
    actor: User,
    host_id: uuid.UUID,
    enabled: bool | None = None,
    accelerator: str | None = None,
    vcpu_ratio: float | None = None,
    memory_ratio: float | None = None,
    disk_ratio: float | None = None,
    labels: dict[str, str] | None = None,
    pull_interval_s: int | None = None,
) -> Host:
    """Open or close a host for new VMs; choose its accelerator (probed again), overcommit ratios, labels, and how
    often it is read.
    """
    require_admin(actor)
    host = host_for(actor=actor, host_id=host_id, lock=True)
    if enabled is not None and enabled != host.enabled:
        host.enabled = enabled
        word = "opened" if enabled else "closed"
        event_record(
            kind=f"host.{word}",
            target_type="host",
            target=host,
            actor=actor,
            message=f"{word.title()} for new VMs",
        )
    for name, value in (("vcpu", vcpu_ratio), ("memory", memory_ratio), ("disk", disk_ratio)):
        if value is not None:
            _check_ratio(f"{name}_ratio", value)
            setattr(host, f"{name}_ratio", value)
    if labels is not None:
        _check_labels(labels)
        host.labels = labels
    if pull_interval_s is not None:
        if not LEAST_INTERVAL <= pull_interval_s <= MOST_INTERVAL:
            detail = f"A host is read every {LEAST_INTERVAL} to {MOST_INTERVAL} seconds."
            raise refused("pull_interval_s", "host.pull_interval", detail)
        host.pull_interval_s, host.pull_at = pull_interval_s, None
    host_set_limits(host)
    if accelerator is not None and accelerator != host.accelerator_wanted:
        if accelerator not in Accelerator.values:
            raise refused("accelerator", "host.accelerator", "The accelerator is auto, kvm or tcg.")
        host.accelerator_wanted = accelerator
        _request(host, kind="host.probe", actor=actor)
    host.save()
    return host


def _check_labels(labels: dict[str, str]) -> None:
    if len(labels) > MOST_LABELS:
        raise refused("labels", "host.labels", f"A host has at most {MOST_LABELS} labels.")
    for name, value in labels.items():
        if not LABEL.fullmatch(name):
            raise refused("labels", "host.labels", f"A label is named by 1 to 63 of a-z, 0-9 and _, not {name[:63]!r}.")
        if not 1 <= len(value) <= 63 or not value.isprintable():
            raise refused("labels", "host.labels", f"The label {name} has 1 to 63 printable characters as its value.")


def _check_ratio(field: str, value: float) -> None:
    if not 0.1 <= value <= 64:
        raise refused(field, "host.ratio", "An overcommit ratio lies between 0.1 and 64.")


def host_set_limits(host: Host) -> None:
    """Derive what may be claimed from the host's size and ratios; the caller saves."""
    host.vcpus_limit, host.memory_limit_mib, host.disk_limit_gib = capacity_limits(host=host)


@transaction.atomic
def host_delete(*, actor: User, host_id: uuid.UUID) -> Host:
    """Forget a host that carries none of our VMs; it keeps running as plain libvirt. Raises ``Conflict``.

    The row's lock keeps claims out until it is gone.
    """
    require_admin(actor)
    host = host_for(actor=actor, host_id=host_id, lock=True)
    if (busy := operation_active(target_id=host.pk)) is not None:
        raise Conflict("host.busy", f"{host.name} is busy: {busy.kind} is {busy.status}.", operation=str(busy.pk))
    ours = list(host.allocations.filter(OURS).order_by("label").values_list("label", flat=True))
    if ours:
        shown = ", ".join(ours[:10]) + (f" and {len(ours) - 10} more" if len(ours) > 10 else "")
        raise Conflict("host.has_vms", f"{host.name} still carries {shown}. Delete these first.", vms=ours[:200])
    event_record(kind="host.removed", target_type="host", target=host, actor=actor, message="Removed")
    host.allocations.all().delete()
    try:
        with transaction.atomic():
            host.delete()
    except ProtectedError as error:
        raise Conflict("host.in_use", f"{host.name} is still used by volumes or networks.") from error
    return host


def host_status_set(*, host_id: uuid.UUID, status: str, reason: str) -> bool:
    """Write what was seen of a host, with an event when it changed. Returns whether it did."""
    with transaction.atomic():
        host = Host.objects.select_for_update().get(pk=host_id)
        if host.status == status:
            if host.reason != reason[:500]:
                Host.objects.filter(pk=host_id).update(reason=reason[:500])
            return False
        Host.objects.filter(pk=host_id).update(status=status, reason=reason[:500], status_since=Now())
        event_record(
            kind=f"host.{status}",
            target_type="host",
            target=host,
            message=reason or HostStatus(status).label,
        )
        return True
