"""What was seen on a host becomes rows. Used by the reconcile, by the watch and by operations alike.

Observations carry the time before the host was read, so an old look never overwrites a newer one.
"""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from apps.compute.models import VM, DesiredPower, Phase, Power
from apps.events.models import Event
from apps.events.services import event_of, event_record, events_record
from apps.hosts.models import Host, HostStatus, Transport
from apps.hosts.services import host_status_set
from apps.operations.doorbell import ring_on_commit
from apps.operations.models import ACTIVE, Operation, Status
from hypervisor import ssh
from hypervisor.errors import CertificateRejected, HostKeyChanged, HypervisorError
from hypervisor.specs import DomainSummary
from workers.connections import address_of, connection_settings

# Reasons (libvirt's) after which the guest is off because somebody or the guest itself wanted it.
WANTED_OFF = {"shutdown", "destroyed", "saved"}
EVENTS = {
    Power.RUNNING: ("vm.started", "Runs now"),
    Power.PAUSED: ("vm.paused", "Is paused"),
    Power.SHUTOFF: ("vm.stopped", "Is off"),
    Power.CRASHED: ("vm.crashed", "Crashed"),
}


def now() -> datetime:
    """The database's clock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (value,) = cursor.fetchone()
    assert isinstance(value, datetime)  # noqa: S101  # for the type checker
    return value


def vm_observed(*, vm_id: uuid.UUID, seen: DomainSummary | None, read_at: datetime) -> bool:
    """Write what was seen of one VM (None: its host does not know it). Returns whether anything changed."""
    return vms_observed({vm_id: seen}, read_at=read_at) > 0


def vms_observed(seen: Mapping[uuid.UUID, DomainSummary | None], *, read_at: datetime) -> int:
    """Write what was seen of VMs, all in one transaction. Returns how many changed.

    Where no operation of ours is active, a change of power was made beside us: the wish follows it, except
    after a crash or a reboot of the host.
    """
    with transaction.atomic():
        vms = _older_than(read_at, list(seen))
        changed = [vm for vm in vms if _differs(vm, seen[vm.pk])]
        active = Operation.objects.filter(target_id__in=[vm.pk for vm in changed], status__in=ACTIVE)
        ours = set(active.values_list("target_id", flat=True)) if changed else set()
        beside = [vm for vm in changed if vm.pk not in ours]
        wishes = {vm.pk: _wish(seen[vm.pk]) for vm in beside}
        _write([(vm, seen[vm.pk], wishes.get(vm.pk)) for vm in vms], read_at)
        events_record([_event(vm, seen[vm.pk]) for vm in beside])
        _wake(ours)
        return len(changed)


def _older_than(read_at: datetime, vm_ids: list[uuid.UUID]) -> list[VM]:
    """Those of these VMs, locked, that nobody has seen since: neither they alone nor with their whole host."""
    alone = Q(observed_at__isnull=True) | Q(observed_at__lt=read_at)
    with_host = Q(host__observed_at__isnull=True) | Q(host__observed_at__lt=read_at)
    found = VM.objects.select_for_update(of=("self",)).filter(alone, with_host, pk__in=vm_ids, phase=Phase.READY)
    return list(found.only("name", "owner_id", "power", "missing").order_by("pk"))


def _power(seen: DomainSummary | None) -> str:
    return seen.power.value if seen else Power.SHUTOFF.value


def _differs(vm: VM, seen: DomainSummary | None) -> bool:
    return vm.power != _power(seen) or vm.missing != (seen is None)


def _write(rows: list[tuple[VM, DomainSummary | None, str | None]], read_at: datetime) -> None:
    """Arrays instead of a statement for each: thousands are written in the time of one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE compute_vm SET observed_at = %s, power = found.power, missing = found.missing,"
            " desired_power = coalesce(found.wish, desired_power)"
            " FROM unnest(%s::uuid[], %s::text[], %s::boolean[], %s::text[]) AS found (id, power, missing, wish)"
            " WHERE compute_vm.id = found.id",
            [
                read_at,
                [vm.pk for vm, _seen, _wish in rows],
                [_power(seen) for _vm, seen, _wish in rows],
                [seen is None for _vm, seen, _wish in rows],
                [wish for _vm, _seen, wish in rows],
            ],
        )


def _wish(seen: DomainSummary | None) -> str | None:
    if seen is None:
        return None
    if seen.power.value in (Power.RUNNING, Power.PAUSED):
        return DesiredPower.ON.value
    return DesiredPower.OFF.value if seen.reason in WANTED_OFF else None


def _event(vm: VM, seen: DomainSummary | None) -> Event:
    if seen is None:
        kind, message = "vm.missing", "Its host does not know it any more: it was undefined there"
    elif vm.missing:
        kind, message = "vm.found", "Its host knows it again"
    else:
        kind, message = EVENTS.get(Power(seen.power.value), ("vm.changed", "Changed"))
        message = f"{message} ({seen.reason or 'no reason given'})"
    return event_of(kind=kind, target_type="vm", target=vm, message=message)


def vm_edited(*, vm_id: uuid.UUID, seconds_ago: float) -> bool:
    """Somebody changed a VM's definition on its host: an event, no fix. Returns whether it was beside us.

    Our own definitions come from operations, so one that was made while an operation was at work is ours.
    """
    vm = VM.objects.filter(pk=vm_id, phase=Phase.READY).first()
    if vm is None:
        return False
    then = now() - timedelta(seconds=seconds_ago)
    at_work = Q(finished_at__isnull=True) | Q(finished_at__gte=then)
    if Operation.objects.filter(at_work, target_id=vm_id, started_at__lte=then).exists():
        return False
    event_record(kind="vm.edited", target_type="vm", target=vm, message="Its definition was changed on its host")
    return True


def _wake(vm_ids: set[uuid.UUID]) -> None:
    """An operation that waits for its guest (a shutdown) goes on at once."""
    if not vm_ids:
        return
    waiting = Operation.objects.filter(target_id__in=vm_ids, status=Status.QUEUED, deletes=False)
    for operation_id in waiting.values_list("pk", flat=True):
        Operation.objects.filter(pk=operation_id, status=Status.QUEUED).update(run_after=Now())
        ring_on_commit(operation_id)


def host_lost(host_id: uuid.UUID, error: HypervisorError) -> None:
    """A call to a host failed: say so on its row, so that nobody else runs into it."""
    status = HostStatus.UNREACHABLE
    if isinstance(error, HostKeyChanged | CertificateRejected):
        known = Host.objects.filter(pk=host_id).exclude(accelerator="").exists()
        status = HostStatus.KEY_CHANGED if known else HostStatus.PENDING_TRUST
    reason = _shown_key(host_id, error) if isinstance(error, HostKeyChanged) else error.detail
    host_status_set(host_id=host_id, status=status, reason=reason)


def _shown_key(host_id: uuid.UUID, error: HostKeyChanged) -> str:
    """The fingerprint that the host shows now. What libvirt passes on of ssh's own warning is cut anywhere."""
    host = Host.objects.get(pk=host_id)
    if host.transport != Transport.SSH:
        return error.detail
    try:
        key = ssh.fetch_host_key(address_of(host), connection_settings())
    except HypervisorError:
        return "The host shows another SSH key than the one that was confirmed."
    return f"The host shows another SSH key than the one that was confirmed: {key.fingerprint}"


def host_found(host: Host) -> None:
    """A host answers: whatever waited for it goes on at once."""
    if host_status_set(host_id=host.pk, status=HostStatus.UP, reason=""):
        with transaction.atomic():
            unplaced = Q(host_id__isnull=True, kind="vm.create")
            waiting = Operation.objects.filter(Q(host_id=host.pk) | unplaced, status=Status.QUEUED)
            for operation_id in waiting.values_list("pk", flat=True):
                Operation.objects.filter(pk=operation_id, status=Status.QUEUED).update(run_after=Now())
                ring_on_commit(operation_id)
