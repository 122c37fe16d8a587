"""Claiming capacity: one conditional UPDATE on the database, never read, think, then write.

The host's counters and the allocation row change in one transaction, so their sums are always equal.
"""

import uuid
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet

from apps.hosts.models import Allocation, AllocationKind, Host

VM_OVERHEAD_MIB = 64
OURS = Q(kind__in=[AllocationKind.VM, AllocationKind.VOLUME, AllocationKind.RESERVATION])
MACHINES = Q(kind__in=[AllocationKind.VM, AllocationKind.RESERVATION]) | Q(kind=AllocationKind.FOREIGN, vcpus__gt=0)
HOST_RESERVE_MIB = 1024
HOST_RESERVE_SHARE = 0.10


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a VM or a volume takes. ``memory_mib`` is the guest's; the claim adds QEMU's own share."""

    vcpus: int
    memory_mib: int
    disk_gib: int
    overhead_mib: int = VM_OVERHEAD_MIB

    @property
    def claimed_memory_mib(self) -> int:
        return self.memory_mib + self.overhead_mib


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """What a policy lets be claimed of one host, where that is less than the host's own limits."""

    vcpus: int
    memory_mib: int
    disk_gib: int
    vms: int | None = None


def guest_memory_mib(memory_mib: int) -> int:
    """What guests can have of a host's memory: it keeps the larger of 1 GiB and 10 % for itself."""
    return max(0, memory_mib - max(HOST_RESERVE_MIB, int(memory_mib * HOST_RESERVE_SHARE)))


def capacity_limits(*, host: Host) -> tuple[int, int, int]:
    """vCPUs, memory (MiB) and disk (GiB) that may be claimed on this host: its size times its ratios."""
    return (
        int(host.cpus * host.vcpu_ratio),
        int(guest_memory_mib(host.memory_mib) * host.memory_ratio),
        int(host.pool_total_gib * host.disk_ratio),
    )


def disk_demand(disk_gib: int) -> Demand:
    """What a volume takes: disk alone."""
    return Demand(vcpus=0, memory_mib=0, disk_gib=disk_gib, overhead_mib=0)


def capacity_claim(
    *,
    host_id: uuid.UUID,
    consumer_id: uuid.UUID,
    label: str,
    demand: Demand,
    kind: AllocationKind = AllocationKind.VM,
    ceiling: Ceiling | None = None,
    group_id: uuid.UUID | None = None,
) -> bool:
    """Claim room for a VM or a volume. True: it has it now (also when it had it before). False: the host has no room.

    The guard is part of the UPDATE, so parallel claims cannot overcommit. One that already holds room on
    another host cannot get a second one (``allocation_one_host_per_vm``).
    """
    named = {"host_id": host_id, "consumer_id": consumer_id, "label": label, "kind": kind, "group_id": group_id}
    try:
        return _claim(Allocation(**named), demand, ceiling)
    except _NoRoom:
        return False
    except IntegrityError:  # the same one was given room in parallel
        return Allocation.objects.filter(OURS, consumer_id=consumer_id, host_id=host_id).exists()


class _NoRoom(Exception):
    """Rolls the allocation back."""


def _claim(wanted: Allocation, demand: Demand, ceiling: Ceiling | None) -> bool:
    """First the allocation, then the counters: a release takes the same order, so the two cannot deadlock."""
    memory = demand.claimed_memory_mib
    with transaction.atomic():
        held = Allocation.objects.filter(OURS, consumer_id=wanted.consumer_id).first()
        if held is not None:
            return held.host_id == wanted.host_id
        wanted.vcpus, wanted.memory_mib, wanted.disk_gib = demand.vcpus, memory, demand.disk_gib
        wanted.save(force_insert=True)
        claimed = _with_room(wanted.host_id, demand, ceiling).update(
            vcpus_claimed=F("vcpus_claimed") + demand.vcpus,
            memory_claimed_mib=F("memory_claimed_mib") + memory,
            disk_claimed_gib=F("disk_claimed_gib") + demand.disk_gib,
        )
        if not claimed or _too_many(wanted.host_id, ceiling):
            raise _NoRoom
        return True


def _with_room(host_id: uuid.UUID, demand: Demand, ceiling: Ceiling | None) -> QuerySet[Host]:
    """The host, if it is open and has room. What is not asked for is not guarded, as a volume asks for disk alone."""
    rooms = Host.objects.filter(pk=host_id, enabled=True)
    if demand.vcpus:
        rooms = rooms.filter(vcpus_limit__gte=F("vcpus_claimed") + demand.vcpus)
    if memory := demand.claimed_memory_mib:
        rooms = rooms.filter(memory_limit_mib__gte=F("memory_claimed_mib") + memory)
    if demand.disk_gib:
        rooms = rooms.filter(disk_limit_gib__gte=F("disk_claimed_gib") + demand.disk_gib)
    if ceiling is None:
        return rooms
    return rooms.filter(
        vcpus_claimed__lte=ceiling.vcpus - demand.vcpus if demand.vcpus else F("vcpus_claimed"),
        memory_claimed_mib__lte=ceiling.memory_mib - memory if memory else F("memory_claimed_mib"),
        disk_claimed_gib__lte=ceiling.disk_gib - demand.disk_gib if demand.disk_gib else F("disk_claimed_gib"),
    )


def _too_many(host_id: uuid.UUID, ceiling: Ceiling | None) -> bool:
    """Whether the host now has more machines than the policy lets it. The UPDATE before has locked the host's row, so
    claims are counted one after the other.
    """
    if ceiling is None or ceiling.vms is None:
        return False
    return Allocation.objects.filter(MACHINES, host_id=host_id).count() > ceiling.vms


def capacity_resize(*, consumer_id: uuid.UUID, demand: Demand) -> bool:
    """Have a claim be this much. False: what it takes more does not fit on its host, and nothing changed.

    Only what grows is guarded, in the UPDATE itself, so that a full host still lets its VMs become smaller; and a
    closed host lets those grow that it has. Raises ``LookupError`` where the VM holds nothing.
    """
    try:
        _resize(consumer_id, demand)
    except _NoRoom:
        return False
    return True


def _resize(consumer_id: uuid.UUID, demand: Demand) -> None:
    """The allocation is locked first, as by a release."""
    wanted = (demand.vcpus, demand.claimed_memory_mib, demand.disk_gib)
    with transaction.atomic():
        held = Allocation.objects.select_for_update().filter(OURS, consumer_id=consumer_id).first()
        if held is None:
            raise LookupError(f"{consumer_id} holds nothing")
        vcpus, memory, disk = (new - old for new, old in zip(wanted, claim_of(held), strict=True))
        if (vcpus, memory, disk) == (0, 0, 0):
            return
        held.vcpus, held.memory_mib, held.disk_gib = wanted
        held.save(update_fields=["vcpus", "memory_mib", "disk_gib"])
        rooms = Host.objects.filter(pk=held.host_id)
        if vcpus > 0:
            rooms = rooms.filter(vcpus_limit__gte=F("vcpus_claimed") + vcpus)
        if memory > 0:
            rooms = rooms.filter(memory_limit_mib__gte=F("memory_claimed_mib") + memory)
        if disk > 0:
            rooms = rooms.filter(disk_limit_gib__gte=F("disk_claimed_gib") + disk)
        claimed = rooms.update(
            vcpus_claimed=F("vcpus_claimed") + vcpus,
            memory_claimed_mib=F("memory_claimed_mib") + memory,
            disk_claimed_gib=F("disk_claimed_gib") + disk,
        )
        if not claimed:
            raise _NoRoom


def claim_of(held: Allocation) -> tuple[int, int, int]:
    """vCPUs, memory with the overhead (MiB) and disk (GiB) that a VM holds."""
    return held.vcpus, held.memory_mib, held.disk_gib


def capacity_missing(*, consumer_id: uuid.UUID, demand: Demand) -> dict[str, tuple[int, str]]:
    """What a VM's host lacks now for this claim: by the name of the number, how much of which unit. A guess: the
    claim itself decides.
    """
    held = Allocation.objects.select_related("host").filter(consumer_id=consumer_id, kind=AllocationKind.VM).first()
    if held is None:
        return {}
    host, (vcpus, memory, disk) = held.host, claim_of(held)
    wanted = (
        ("vcpus", "vCPU", demand.vcpus - vcpus, host.vcpus_limit - host.vcpus_claimed),
        ("memory_mib", "MiB", demand.claimed_memory_mib - memory, host.memory_limit_mib - host.memory_claimed_mib),
        ("disk_gib", "GiB", demand.disk_gib - disk, host.disk_limit_gib - host.disk_claimed_gib),
    )
    return {name: (more - free, unit) for name, unit, more, free in wanted if more > 0 and more > free}


def capacity_take_over(*, consumer_id: uuid.UUID, label: str, demand: Demand) -> Host:
    """Make a reservation the claim of the VM with its id, which takes no more than was reserved.

    Raises ``LookupError`` where nothing is reserved.
    """
    with transaction.atomic():
        reserved = Allocation.objects.filter(consumer_id=consumer_id, kind=AllocationKind.RESERVATION)
        if not reserved.update(kind=AllocationKind.VM, label=label):
            raise LookupError(f"{consumer_id} reserved nothing")
        capacity_resize(consumer_id=consumer_id, demand=demand)
        return Host.objects.get(allocations__consumer_id=consumer_id)


def capacity_release(*, consumer_id: uuid.UUID) -> None:
    """Give back what this VM or volume holds; nothing held is fine."""
    with transaction.atomic():
        held = Allocation.objects.select_for_update().filter(OURS, consumer_id=consumer_id)
        for allocation in held:
            _give_back(allocation)


def _give_back(allocation: Allocation) -> None:
    allocation.delete()
    Host.objects.filter(pk=allocation.host_id).update(
        vcpus_claimed=F("vcpus_claimed") - allocation.vcpus,
        memory_claimed_mib=F("memory_claimed_mib") - allocation.memory_mib,
        disk_claimed_gib=F("disk_claimed_gib") - allocation.disk_gib,
    )


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """A domain on the host that no row of ours names: shown and counted, never touched.

    ``ours``: it carries our installation's mark all the same, as after an old backup was restored.
    """

    uuid: uuid.UUID
    name: str
    power: str
    vcpus: int
    memory_mib: int
    ours: bool = False


def foreign_record(*, host_id: uuid.UUID, domains: list[Foreign]) -> None:
    """Make the foreign allocations of a host equal to what was seen on it.

    They count without a guard: they are there, whether they fit or not. A domain that is off claims nothing.
    """
    seen = {domain.uuid: domain for domain in domains}
    with transaction.atomic():
        known = Allocation.objects.select_for_update().filter(host_id=host_id, kind=AllocationKind.FOREIGN)
        for allocation in known:
            domain = seen.get(allocation.consumer_id)
            if domain is not None and _same(allocation, domain):
                del seen[domain.uuid]
            else:
                _give_back(allocation)
        for domain in seen.values():
            _count_foreign(host_id, domain)


def _taken(domain: Foreign) -> tuple[int, int]:
    return (domain.vcpus, domain.memory_mib) if domain.power in ("running", "paused") else (0, 0)


def _same(allocation: Allocation, domain: Foreign) -> bool:
    wanted = (domain.name[:100], domain.power, domain.ours, *_taken(domain))
    return (allocation.label, allocation.power, allocation.ours, allocation.vcpus, allocation.memory_mib) == wanted


def _count_foreign(host_id: uuid.UUID, domain: Foreign) -> None:
    vcpus, memory = _taken(domain)
    Allocation.objects.create(
        host_id=host_id,
        consumer_id=domain.uuid,
        label=domain.name[:100],
        kind=AllocationKind.FOREIGN,
        power=domain.power,
        ours=domain.ours,
        vcpus=vcpus,
        memory_mib=memory,
        disk_gib=0,
    )
    Host.objects.filter(pk=host_id).update(
        vcpus_claimed=F("vcpus_claimed") + vcpus, memory_claimed_mib=F("memory_claimed_mib") + memory
    )
