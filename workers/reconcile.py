"""Reading a whole host: one bulk call, compared with our rows. All drift is an event, never a silent fix.

What was running when a host went down is started again by visible operations once the host has a new boot id.
"""

import uuid
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import Q

from apps.compute.models import VM, DesiredPower, Nic, Phase, Power
from apps.compute.services.vm import vm_start_after_boot
from apps.events.services import event_record
from apps.hosts.capacity import Foreign, foreign_record
from apps.hosts.models import AllocationKind, Host
from apps.hosts.selectors import installation_id
from apps.network.models import Network, NetworkKind, NetworkPhase
from apps.network.services import address_release, addresses_hold
from hypervisor.errors import HostBusy, HypervisorError
from hypervisor.interface import Hypervisor
from hypervisor.specs import DomainState, DomainSummary, mac_for
from workers.compute.snapshot_seen import snapshots_read
from workers.connections import connect
from workers.hosts import cpu_record, host_ensure_pool
from workers.network import network_spec
from workers.observations import host_found, host_lost, now, vms_observed
from workers.pulls import pull_begin

log = structlog.get_logger(__name__)
FACTS_EVERY = timedelta(days=1)


def reconcile_host(host_id: uuid.UUID) -> bool:
    """Read one host and write what is there. False: another worker is at it, or the host did not answer.

    The lease makes a hanging host cost one worker child at a time.
    """
    if not pull_begin(host_id):
        return False
    was_read = False
    try:
        host = Host.objects.get(pk=host_id)
        with structlog.contextvars.bound_contextvars(host=host.name):
            _read(host)
        was_read = True
    except HostBusy:
        log.info("reconcile.host_busy")
    except HypervisorError as error:
        host_lost(host_id, error)
    finally:
        if not was_read:  # whoever read it to the end has given the lease back, and it may be another's by now
            Host.objects.filter(pk=host_id).update(reconcile_until=None)
    return was_read


def _read(host: Host) -> None:
    hypervisor = connect(host)
    read_at = now()
    domains = hypervisor.domains()
    boot_id = str(hypervisor.boot_id())
    rebooted = bool(host.boot_id) and host.boot_id != boot_id
    if rebooted:
        _prepare_after_boot(host, hypervisor)
    if not host.is_up or host.reason:
        host_found(host)
    rest = _compare(host, domains, read_at)
    _record_foreign(host, hypervisor, rest)
    _record_addresses(host, hypervisor)
    snapshots_read(host, hypervisor)
    with transaction.atomic():  # a worker that dies before this leaves the reboot to be noticed again
        Host.objects.filter(pk=host.pk).update(observed_at=read_at, boot_id=boot_id, reconcile_until=None)
        if rebooted:
            event_record(kind="host.rebooted", target_type="host", target=host, message="Has been rebooted")
            _start_after_boot(host)
    _refresh_facts(host, hypervisor, read_at, rebooted=rebooted)


def _refresh_facts(host: Host, hypervisor: Hypervisor, read_at: datetime, *, rebooted: bool) -> None:
    """What its CPU gives to guests changes with a boot and with another QEMU. Asked last, since it can take long; a
    host that cannot say goes on as it was.
    """
    if not rebooted and host.facts_read_at and host.facts_read_at > read_at - FACTS_EVERY:
        return
    Host.objects.filter(pk=host.pk).update(facts_read_at=read_at)
    try:
        cpu_record(host, hypervisor.facts())
    except HypervisorError as error:
        log.warning("reconcile.no_facts", reason=str(error))


def _compare(host: Host, domains: list[DomainSummary], read_at: datetime) -> list[DomainSummary]:
    """Only what differs is written; that the others were seen says the host's own time. Returns the domains
    for which the host has no row that is ready.

    The keys are the plain numbers of the ids: hashing thousands of ``UUID`` takes as long as reading the host.
    """
    rest = {domain.uuid.int: domain for domain in domains}
    differs: dict[uuid.UUID, DomainSummary | None] = {}
    rows = VM.objects.filter(host=host, phase=Phase.READY).values_list("pk", "power", "missing")
    for vm_id, power, missing in rows.order_by():
        seen = rest.pop(vm_id.int, None)
        if seen is None or missing or seen.power != power:
            differs[vm_id] = seen
    if differs:
        vms_observed(differs, read_at=read_at)
    return list(rest.values())


def _record_foreign(host: Host, hypervisor: Hypervisor, rest: list[DomainSummary]) -> None:
    """Domains that no row of ours names. One of this installation without a row is told, and left alone."""
    ids = [domain.uuid for domain in rest]
    ours = set(VM.objects.filter(pk__in=ids).values_list("pk", flat=True)) if rest else set()
    others = [domain for domain in rest if domain.uuid not in ours]
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
        marked = state.installation == mine if state else bool(row and row.ours)
        if state is not None and marked:
            _keep_identity(host, state)
            if row is None:
                log.warning("reconcile.unknown_domain_of_ours", domain=domain.name, uuid=str(domain.uuid))
        foreign.append(
            Foreign(
                uuid=domain.uuid,
                name=domain.name,
                power=domain.power.value,
                vcpus=state.vcpus if state else (row.vcpus if row else 0),
                memory_mib=state.memory_mib if state else (row.memory_mib if row else 0),
                ours=marked,
            )
        )
    foreign_record(host_id=host.pk, domains=foreign)
    for consumer_id in {row.consumer_id for row in known.values() if row.ours} - {item.uuid for item in foreign}:
        if not VM.objects.filter(pk=consumer_id).exists():
            address_release(consumer_id=consumer_id)


def _keep_identity(host: Host, state: DomainState) -> None:
    """A machine of ours that no row names goes on using its address: no new machine may be given the same."""
    addresses_hold(host=host, consumer_id=state.uuid, hostname=state.name, macs=state.macs, mac_of=mac_for)


def _is_as_known(row: object, domain: DomainSummary) -> bool:
    return row is not None and (getattr(row, "power", None), getattr(row, "label", None)) == (
        domain.power.value,
        domain.name[:100],
    )


def _record_addresses(host: Host, hypervisor: Hypervisor) -> None:
    """What the DHCP server handed out, on the VMs that asked. A VM that has none and had none is not read."""
    seen: dict[str, list[dict[str, str]]] = {}
    for network in Network.objects.filter(host=host, phase=NetworkPhase.READY).exclude(kind=NetworkKind.LAN):
        for lease in hypervisor.leases(network.libvirt_name):
            seen.setdefault(lease.mac, []).append({"ip": str(lease.ip), "source": "lease"})
    concerned = Q(mac__in=list(seen)) | ~Q(vm__observed_addresses=[])
    cards = Nic.objects.filter(concerned, vm__host=host).order_by("vm_id", "mac")
    known: dict[uuid.UUID, list[dict[str, str]]] = {}
    found: dict[uuid.UUID, list[dict[str, str]]] = {}
    for vm_id, mac, addresses in cards.values_list("vm_id", "mac", "vm__observed_addresses"):
        known[vm_id] = addresses
        found.setdefault(vm_id, []).extend(seen.get(mac or "", []))
    for vm_id, addresses in found.items():
        if addresses != known[vm_id]:
            VM.objects.filter(pk=vm_id).update(observed_addresses=addresses)


def _prepare_after_boot(host: Host, hypervisor: Hypervisor) -> None:
    """A host that came up again: its pool and network first, then its guests."""
    host_ensure_pool(host, hypervisor)
    for network in Network.objects.filter(host=host, phase=NetworkPhase.READY):
        hypervisor.ensure_network(network_spec(network))


def _start_after_boot(host: Host) -> None:
    """One operation per guest that should run, in boot order; each waits for those of a lower order."""
    wanted = VM.objects.filter(
        host=host, phase=Phase.READY, desired_power=DesiredPower.ON, start_on_boot=True, missing=False
    ).exclude(power=Power.RUNNING)
    for vm in wanted.order_by("boot_order", "created_at"):
        with transaction.atomic():
            vm_start_after_boot(vm=vm)
