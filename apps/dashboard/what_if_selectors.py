"""What would happen: the cloud as it is, copied, changed, and asked. Nothing is placed or written."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from apps.accounts.models import User
from apps.accounts.selectors import require_admin
from apps.compute.models import VM, VolumeAttachment
from apps.compute.services.numbers import demand_wanted
from apps.errors import refused
from apps.hosts.capacity import VM_OVERHEAD_MIB, Demand
from apps.hosts.models import Allocation, AllocationKind
from apps.hosts.selectors import hosts_for
from apps.placement.engine import what_if
from apps.placement.engine.cpu import asked_for
from apps.placement.engine.group import Group
from apps.placement.engine.snapshot import Request
from apps.placement.engine.what_if import Cloud, Loss, Machine, Moved, Over
from apps.placement.explain import NewHost, host_imagined
from apps.placement.models import Policy
from apps.placement.policies import policy_in_force, policy_known
from apps.placement.policy import model
from apps.placement.policy.shipped import FOR_VOLUMES, shipped
from apps.placement.selectors import hosts_snapshot

MOST_MACHINES = 4000
"""More are not placed anew for one page; what is asked about them then is said to be unknown."""
HOURS_OF_A_YEAR = 8766


@dataclass(frozen=True, kw_only=True)
class Question:
    """How the cloud is different: machines grow first, then hosts come, then hosts go."""

    demand: Demand
    size: str
    policy: Policy | None = None
    grow_percent: int = 0
    added: Sequence[NewHost] = ()
    removed: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Power:
    """What one policy would need, were all machines placed anew by it."""

    policy: str
    hosts: int
    watts: float
    homeless: int


@dataclass(frozen=True, kw_only=True)
class Energy:
    """What ``energy`` saves against ``spread`` by the power model, with empty hosts switched off."""

    model: model.PowerModel
    modelled: int
    hosts: int
    now: float
    now_hosts: int
    energy: Power
    spread: Power

    @property
    def saves(self) -> float:
        return self.spread.watts - self.energy.watts

    @property
    def percent(self) -> int:
        return round(100 * self.saves / self.spread.watts) if self.spread.watts else 0

    @property
    def kwh_a_year(self) -> int:
        return round(self.saves * HOURS_OF_A_YEAR / 1000)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What would be. ``losses`` and ``energy`` are None where there are too many machines for one page."""

    hosts: int
    machines: int
    moved: Moved
    over: tuple[Over, ...]
    losses: tuple[Loss, ...] | None
    room: dict[str, int] = field(default_factory=dict)
    energy: Energy | None = None

    @property
    def survives(self) -> bool:
        """Whether any one host may be lost. What does not fit as it is survives nothing."""
        return self.losses is not None and not self.over and not any(loss.homeless for loss in self.losses)

    @property
    def fatal(self) -> int:
        """How many hosts carry something that would fit nowhere else."""
        return sum(1 for loss in self.losses or () if loss.homeless)

    @property
    def room_total(self) -> int:
        return sum(self.room.values())


def what_if_answer(*, actor: User, question: Question) -> Answer:
    """Ask it. For administrators: it names hosts and everybody's machines. Raises ``Forbidden``."""
    require_admin(actor)
    policy = policy_in_force(question.policy)[0]
    now = cloud_now()
    asked = features_asked(now)
    new = [host_imagined(host, asked=asked) for host in question.added]
    cloud = what_if.joined(what_if.grown(now, question.grow_percent, overhead_mib=VM_OVERHEAD_MIB), new)
    moved = what_if.left(cloud, question.removed)
    after = moved.cloud
    few = len(after.machines) <= MOST_MACHINES
    return Answer(
        hosts=len(after.hosts),
        machines=len(after.machines),
        moved=moved,
        over=what_if.over(after),
        losses=what_if.losses(after) if few else None,
        room=what_if.room_for(after.hosts, _request(question.demand), policy),
        energy=_energy(after) if few else None,
    )


def question_of(
    *,
    actor: User,
    size: str | None = None,
    vcpus: int | None = None,
    memory_mib: int | None = None,
    disk_gib: int | None = None,
    policy: str | None = None,
    grow_percent: int = 0,
    add_hosts: Sequence[Mapping[str, Any]] = (),
    remove_hosts: Sequence[str] = (),
) -> Question:
    """A question in names; the numbers say of what there shall be room. Raises ``Refused`` naming the field."""
    require_admin(actor)
    chosen, demand = demand_wanted(size=size, vcpus=vcpus, memory_mib=memory_mib, disk_gib=disk_gib)
    known = {host.name: str(host.pk) for host in hosts_for(actor=actor)}
    by_id = {host_id: name for name, host_id in known.items()}
    removed = [by_id.get(reference, reference) for reference in remove_hosts]
    for name in removed:
        if name not in known:
            raise refused("remove_hosts", "host.unknown", f"There is no host {name[:63]!r}.")
    added = [NewHost(**host) for host in add_hosts]
    names = [*known, *(host.name for host in added)]
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise refused("add_hosts", "host.name_taken", f"There is already a host named {twice!r}.")
    by = policy_known(reference=policy) if policy else chosen.policy if chosen else None
    name = chosen.name if chosen else "own numbers"
    return Question(demand=demand, size=name, policy=by, grow_percent=grow_percent, added=added, removed=removed)


def losses_now(*, actor: User) -> tuple[Loss, ...] | None:
    """Whether the cloud as it is survives the loss of any one host. None where that is no question: one host alone,
    nothing placed, or too much to say at once. Raises ``Forbidden``.
    """
    require_admin(actor)
    cloud = cloud_now()
    if len(cloud.hosts) < 2 or not 0 < len(cloud.machines) <= MOST_MACHINES:
        return None
    return what_if.losses(cloud)


def cloud_now() -> Cloud:
    """Hosts and what is on them. Images can be sent, so each counts as there."""
    machines = Cloud(hosts=(), machines=tuple(_machines()))
    seen = hosts_snapshot(cpu_features=features_asked(machines))
    return replace(machines, hosts=tuple(replace(host, image_cached=True) for host in seen))


def features_asked(cloud: Cloud) -> frozenset[str]:
    """The CPU features that any machine asks for."""
    return frozenset(name for machine in cloud.machines for name in asked_for(machine.request, machine.policy))


def _machines() -> list[Machine]:
    """What holds room, oldest first: VMs with the volumes attached to them, and volumes by themselves."""
    held = list(
        Allocation.objects.filter(kind__in=[AllocationKind.VM, AllocationKind.VOLUME])
        .order_by("created_at", "pk")
        .select_related("host")
    )
    known = VM.objects.filter(pk__in=[item.consumer_id for item in held]).select_related("image", "group")
    vms = {vm.pk: vm for vm in known}
    of = dict(VolumeAttachment.objects.filter(vm__in=vms).values_list("volume_id", "vm_id"))
    disks: dict[uuid.UUID, int] = {}
    for item in held:
        if item.consumer_id in of:
            disks[of[item.consumer_id]] = disks.get(of[item.consumer_id], 0) + item.disk_gib
    policy_of = _policies()
    return [
        _machine(item, vms.get(item.consumer_id), disks.get(item.consumer_id, 0), policy_of)
        for item in held
        if item.consumer_id not in of
    ]


def _policies() -> Callable[[uuid.UUID | None], model.Policy]:
    rows = {policy.pk: policy for policy in Policy.objects.all()}

    @cache
    def policy_of(policy_id: uuid.UUID | None) -> model.Policy:
        return policy_in_force(rows.get(policy_id) if policy_id else None)[0]

    return policy_of


def _machine(
    item: Allocation, vm: VM | None, disk_gib: int, policy_of: Callable[[uuid.UUID | None], model.Policy]
) -> Machine:
    is_guest = item.kind == AllocationKind.VM
    request = Request(
        vcpus=item.vcpus,
        memory_mib=item.memory_mib,
        disk_gib=item.disk_gib + disk_gib,
        architecture=vm.architecture if vm else "",
        firmware=vm.firmware if vm else "bios",
        cpu_features=vm.cpu_features_wanted if vm else (),
        group=Group(id=str(vm.group.pk), name=vm.group.name, rule=vm.group.rule) if vm and vm.group else None,
    )
    return Machine(
        id=str(item.consumer_id),
        name=vm.name if vm else item.label,
        host=item.host.name,
        request=request,
        policy=policy_of(vm.policy_id if vm else None) if is_guest else shipped(FOR_VOLUMES),
        guest=is_guest,
    )


def _request(demand: Demand) -> Request:
    return Request(vcpus=demand.vcpus, memory_mib=demand.claimed_memory_mib, disk_gib=demand.disk_gib)


def _energy(cloud: Cloud) -> Energy | None:
    """None while nothing is placed: there is nothing to save."""
    if not cloud.machines:
        return None
    judge = _kept("energy")
    labelled = sum(1 for host in cloud.hosts if {"idle_watts", "max_watts"} <= set(host.labels))
    return Energy(
        model=judge.power,
        modelled=len(cloud.hosts) - labelled,
        hosts=len(cloud.hosts),
        now=what_if.watts(cloud.hosts, judge),
        now_hosts=what_if.hosts_in_use(cloud.hosts),
        energy=_power(cloud, judge, judge),
        spread=_power(cloud, _kept("spread"), judge),
    )


def _kept(name: str) -> model.Policy:
    row = Policy.objects.filter(name=name, shipped=True).first()
    return policy_in_force(row)[0] if row else shipped(name)


def _power(cloud: Cloud, policy: model.Policy, judge: model.Policy) -> Power:
    moved = what_if.replaced_by(cloud, policy)
    hosts = moved.cloud.hosts
    return Power(
        policy=policy.name,
        hosts=what_if.hosts_in_use(hosts),
        watts=what_if.watts(hosts, judge),
        homeless=len(moved.homeless),
    )
