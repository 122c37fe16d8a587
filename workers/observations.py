"""What was seen on a host becomes rows. Used by the reconcile, by the watch and by operations alike.

Observations carry the time before the host was read, so an old look never overwrites a newer one.
"""

import uuid
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from apps.compute.models import VM, DesiredPower, Phase, Power
from apps.events.services import event_record
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
    """Write what was seen of one VM (None: its host does not know it). Returns whether anything changed.

    Where no operation of ours is active, a change of power was made beside us: the wish follows it, except
    after a crash or a reboot of the host.
    """
    with transaction.atomic():
        vm = (
            VM.objects.select_for_update()
            .filter(Q(observed_at__isnull=True) | Q(observed_at__lt=read_at), pk=vm_id, phase=Phase.READY)
            .first()
        )
        if vm is None:
            return False
        power = seen.power.value if seen else Power.SHUTOFF.value
        changed = vm.power != power or vm.missing != (seen is None)
        fields = {"observed_at": read_at, "power": power, "missing": seen is None}
        ours = Operation.objects.filter(target_id=vm.pk, status__in=ACTIVE).exists()
        if changed and not ours:
            wish = _wish(vm, seen)
            if wish is not None:
                fields["desired_power"] = wish
            _tell(vm, seen)
        VM.objects.filter(pk=vm.pk).update(**fields)
        if ours and changed:
            _wake(vm.pk)
        return changed


def _wish(vm: VM, seen: DomainSummary | None) -> str | None:
    if seen is None:
        return None
    if seen.power.value in (Power.RUNNING, Power.PAUSED):
        return DesiredPower.ON
    return DesiredPower.OFF if seen.reason in WANTED_OFF else None


def _tell(vm: VM, seen: DomainSummary | None) -> None:
    if seen is None:
        kind, message = "vm.missing", "Its host does not know it any more: it was undefined there"
    elif vm.missing:
        kind, message = "vm.found", "Its host knows it again"
    else:
        kind, message = EVENTS.get(Power(seen.power.value), ("vm.changed", "Changed"))
        message = f"{message} ({seen.reason or 'no reason given'})"
    event_record(kind=kind, target_type="vm", target=vm, message=message)


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


def _wake(vm_id: uuid.UUID) -> None:
    """An operation that waits for this guest (a shutdown) goes on at once."""
    waiting = Operation.objects.filter(target_id=vm_id, status=Status.QUEUED, deletes=False)
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
