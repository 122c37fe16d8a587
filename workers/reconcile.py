"""Reading a whole host: one bulk call, compared with our rows. All drift is an event, never a silent fix.

What was running when a host went down is started again by visible operations once the host has a new boot id.
"""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from apps.compute.models import VM, DesiredPower, Nic, Phase, Power
from apps.compute.services.vm import vm_start_after_boot
from apps.events.services import event_record
from apps.hosts.capacity import Foreign, foreign_record
from apps.hosts.models import AllocationKind, Host, HostStatus
from apps.hosts.selectors import installation_id
from apps.network.models import Network
from apps.operations import timeouts
from hypervisor.errors import HostBusy, HypervisorError
from hypervisor.interface import Hypervisor
from hypervisor.specs import DomainSummary
from workers.connections import connect
from workers.hosts import host_ensure_pool, network_spec
from workers.observations import host_found, host_lost, now, vm_observed

log = structlog.get_logger(__name__)


def hosts_due() -> list[uuid.UUID]:
    """Hosts that somebody should read now: probed to the end once, and not being read."""
    free = Q(reconcile_until__isnull=True) | Q(reconcile_until__lt=Now())
    known = Q(status__in=[HostStatus.UP, HostStatus.UNREACHABLE]) & ~Q(accelerator="")
    return list(Host.objects.filter(free, known).values_list("pk", flat=True))


def reconcile_host(host_id: uuid.UUID) -> bool:
    """Read one host and write what is there. False: another worker is at it, or the host did not answer.

    The lease makes a hanging host cost one worker child at a time.
    """
    free = Q(reconcile_until__isnull=True) | Q(reconcile_until__lt=Now())
    lease = Now() + timedelta(seconds=timeouts.lease())
    if not Host.objects.filter(free, pk=host_id).update(reconcile_until=lease):
        return False
    try:
        host = Host.objects.get(pk=host_id)
        with structlog.contextvars.bound_contextvars(host=host.name):
            _read(host)
        return True
    except HostBusy:
        return False
    except HypervisorError as error:
        host_lost(host_id, error)
        return False
    finally:
        Host.objects.filter(pk=host_id).update(reconcile_until=None)


def _read(host: Host) -> None:
    hypervisor = connect(host)
    read_at = now()
    domains = {domain.uuid: domain for domain in hypervisor.domains()}
    boot_id = str(hypervisor.boot_id())
    rebooted = bool(host.boot_id) and host.boot_id != boot_id
    if rebooted:
        _prepare_after_boot(host, hypervisor)
    host_found(host)
    compared = _compare(host, domains, read_at)
    _record_foreign(host, hypervisor, domains, compared)
    _record_addresses(host, hypervisor)
    with transaction.atomic():  # a worker that dies before this leaves the reboot to be noticed again
        Host.objects.filter(pk=host.pk).update(observed_at=read_at, boot_id=boot_id)
        if rebooted:
            event_record(kind="host.rebooted", target_type="host", target=host, message="Has been rebooted")
            _start_after_boot(host)


def _compare(host: Host, domains: Mapping[uuid.UUID, DomainSummary], read_at: datetime) -> set[uuid.UUID]:
    """Only what differs is written one by one; the rest gets its time in one statement. Returns whose rows we have."""
    same: list[uuid.UUID] = []
    rows = VM.objects.filter(host=host, phase=Phase.READY).values_list("pk", "power", "missing")
    compared: set[uuid.UUID] = set()
    for vm_id, power, missing in rows:
        compared.add(vm_id)
        seen = domains.get(vm_id)
        if seen is not None and seen.power.value == power and not missing:
            same.append(vm_id)
        else:
            vm_observed(vm_id=vm_id, seen=seen, read_at=read_at)
    _still_so(same, read_at)
    return compared


def _still_so(vm_ids: list[uuid.UUID], read_at: datetime) -> None:
    """One array instead of as many parameters: thousands of ids are written in the time of one statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE compute_vm SET observed_at = %(at)s"
            " WHERE id = ANY(%(ids)s) AND (observed_at IS NULL OR observed_at < %(at)s)",
            {"at": read_at, "ids": vm_ids},
        )


def _record_foreign(
    host: Host, hypervisor: Hypervisor, domains: Mapping[uuid.UUID, DomainSummary], compared: set[uuid.UUID]
) -> None:
    """Domains that no row of ours names. One of this installation without a row is told, and left alone."""
    rest = [domain_id for domain_id in domains if domain_id not in compared]
    ours = compared | set(VM.objects.filter(pk__in=rest).values_list("pk", flat=True))
    others = [domain for domain_id, domain in domains.items() if domain_id not in ours]
    known = {allocation.consumer_id: allocation for allocation in host.allocations.filter(kind=AllocationKind.FOREIGN)}
    unknown = [domain.uuid for domain in others if not _is_as_known(known.get(domain.uuid), domain)]
    if not unknown and len(known) == len(others):
        return
    states = hypervisor.describe(unknown)
    mine = installation_id()
    foreign: list[Foreign] = []
    for domain in others:
        state, row = states.get(domain.uuid), known.get(domain.uuid)
        if state is None and row is None:
            continue
        if state is not None and state.installation == mine and row is None:
            log.warning("reconcile.unknown_domain_of_ours", domain=domain.name, uuid=str(domain.uuid))
        foreign.append(
            Foreign(
                uuid=domain.uuid,
                name=domain.name,
                power=domain.power.value,
                vcpus=state.vcpus if state else (row.vcpus if row else 0),
                memory_mib=state.memory_mib if state else (row.memory_mib if row else 0),
            )
        )
    foreign_record(host_id=host.pk, domains=foreign)


def _is_as_known(row: object, domain: DomainSummary) -> bool:
    return row is not None and (getattr(row, "power", None), getattr(row, "label", None)) == (
        domain.power.value,
        domain.name[:100],
    )


def _record_addresses(host: Host, hypervisor: Hypervisor) -> None:
    """What the DHCP server handed out, on the VMs that asked. A VM that has none and had none is not read."""
    seen: dict[str, list[dict[str, str]]] = {}
    for network in Network.objects.filter(host=host):
        for lease in hypervisor.leases(network.name):
            seen.setdefault(lease.mac, []).append({"ip": str(lease.ip), "source": "lease"})
    concerned = Q(mac__in=list(seen)) | ~Q(vm__observed_addresses=[])
    cards = Nic.objects.filter(concerned, vm__host=host).order_by("vm_id", "mac")
    known: dict[uuid.UUID, list[dict[str, str]]] = {}
    found: dict[uuid.UUID, list[dict[str, str]]] = {}
    for vm_id, mac, addresses in cards.values_list("vm_id", "mac", "vm__observed_addresses"):
        known[vm_id] = addresses
        found.setdefault(vm_id, []).extend(seen.get(mac, []))
    for vm_id, addresses in found.items():
        if addresses != known[vm_id]:
            VM.objects.filter(pk=vm_id).update(observed_addresses=addresses)


def _prepare_after_boot(host: Host, hypervisor: Hypervisor) -> None:
    """A host that came up again: its pool and network first, then its guests."""
    host_ensure_pool(host, hypervisor)
    for network in Network.objects.filter(host=host):
        hypervisor.ensure_network(network_spec(network))


def _start_after_boot(host: Host) -> None:
    """One operation per guest that should run, oldest first."""
    wanted = VM.objects.filter(
        host=host, phase=Phase.READY, desired_power=DesiredPower.ON, start_on_boot=True, missing=False
    ).exclude(power=Power.RUNNING)
    for vm in wanted.order_by("created_at"):
        with transaction.atomic():
            vm_start_after_boot(vm=vm)
