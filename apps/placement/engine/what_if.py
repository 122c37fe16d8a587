"""What if: the engine that places, on a copy of the cloud. Pure, like the engine; nothing is placed or written.

A question is a chain of small changes, each of which makes another cloud: ``grown``, ``joined``, ``left``. Machines
that lose their host are placed one after the other, the largest first, each by its own policy, as a worker would.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from apps.placement.engine.decide import decide
from apps.placement.engine.filters import RESOURCES, limit_of
from apps.placement.engine.group import Member
from apps.placement.engine.snapshot import HostView, Request, Room, Snapshot
from apps.placement.engine.terms import COLUMNS
from apps.placement.policy.model import Policy

NOTHING = Request(vcpus=0, memory_mib=0, disk_gib=0)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What is on a host and can be on another: a machine with its disks, or a volume. ``host`` is a name.

    Who is in a group is seen from the machines, not from the request.
    """

    id: str
    name: str
    host: str
    request: Request
    policy: Policy
    guest: bool = True


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Hosts, and what is on them. What the hosts carry beyond these machines is not ours, and stays."""

    hosts: tuple[HostView, ...]
    machines: tuple[Machine, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A cloud after machines were placed anew: where each went, and which found no room."""

    cloud: Cloud
    placed: tuple[tuple[Machine, str], ...]
    homeless: tuple[Machine, ...]


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What the loss of one host would do."""

    host: str
    machines: int
    homeless: tuple[Machine, ...]


@dataclass(frozen=True, kw_only=True)
class Over:
    """A resource of a host of which more is claimed than may be."""

    host: str
    resource: str
    unit: str
    excess: int


def left(cloud: Cloud, names: Iterable[str]) -> Moved:
    """These hosts are gone, and their machines look for others."""
    gone = frozenset(names)
    rest = tuple(host for host in cloud.hosts if host.name not in gone)
    staying = tuple(machine for machine in cloud.machines if machine.host not in gone)
    return _placed(Cloud(hosts=rest, machines=staying), [item for item in cloud.machines if item.host in gone])


def losses(cloud: Cloud) -> tuple[Loss, ...]:
    """For each host that carries something: whether the others could take it. The fullest of trouble first."""
    on: dict[str, list[Machine]] = {}
    for machine in cloud.machines:
        on.setdefault(machine.host, []).append(machine)
    grouped = [machine for machine in cloud.machines if machine.request.group]
    found = [_loss(cloud, host.name, on[host.name], grouped) for host in cloud.hosts if host.name in on]
    return tuple(sorted(found, key=lambda loss: (-len(loss.homeless), loss.host)))


def _loss(cloud: Cloud, name: str, machines: list[Machine], grouped: list[Machine]) -> Loss:
    """As ``left``, without the cloud that it would leave behind."""
    staying = [machine for machine in grouped if machine.host != name]
    draft = _Draft((host for host in cloud.hosts if host.name != name), staying)
    homeless = tuple(machine for machine in _largest_first(machines) if draft.place(machine) is None)
    return Loss(host=name, machines=len(machines), homeless=homeless)


def joined(cloud: Cloud, hosts: Sequence[HostView]) -> Cloud:
    """With these hosts as well."""
    return replace(cloud, hosts=(*cloud.hosts, *hosts))


def grown(cloud: Cloud, percent: int, *, overhead_mib: int) -> Cloud:
    """Every machine takes so much more where it is. vCPUs come whole: to the nearest number, never fewer than now."""
    bigger = [replace(item, request=_scaled(item, percent, overhead_mib)) for item in cloud.machines]
    more: dict[str, list[int]] = {}
    for old, new in zip(cloud.machines, bigger, strict=True):
        added = more.setdefault(old.host, [0, 0, 0])
        for number, resource in enumerate(RESOURCES):
            added[number] += resource.needs(new.request) - resource.needs(old.request)
    hosts = tuple(_claimed(host, *more.get(host.name, (0, 0, 0))) for host in cloud.hosts)
    return Cloud(hosts=hosts, machines=tuple(bigger))


def _scaled(machine: Machine, percent: int, overhead_mib: int) -> Request:
    request, factor = machine.request, 1 + percent / 100
    overhead = overhead_mib if machine.guest else 0
    memory = max(0, request.memory_mib - overhead)
    return replace(
        request,
        vcpus=max(request.vcpus, math.floor(request.vcpus * factor + 0.5)),
        memory_mib=request.memory_mib - memory + math.ceil(round(memory * factor, 6)),
        disk_gib=math.ceil(round(request.disk_gib * factor, 6)),
    )


def over(cloud: Cloud) -> tuple[Over, ...]:
    """Where more is claimed than a host's own limits allow."""
    return tuple(
        Over(host=host.name, resource=resource.called, unit=resource.unit, excess=room.claimed - room.limit)
        for host in cloud.hosts
        for resource in RESOURCES
        if (room := resource.room(host)).claimed > room.limit
    )


def room_for(hosts: Iterable[HostView], request: Request, policy: Policy) -> dict[str, int]:
    """How many more of the same each host could take; hosts that take none are left out.

    They do not stand in each other's way but for room, so this is the sum over the hosts whatever the policy prefers.
    """
    decision = decide(hosts=hosts, request=request, policy=policy)
    return {
        host.name: _times(host, request, policy) for host in sorted(decision.candidates, key=lambda host: host.name)
    }


def _times(host: HostView, request: Request, policy: Policy) -> int:
    counts = [
        (limit_of(resource.room(host), resource.ratio(policy)) - resource.room(host).claimed) // resource.needs(request)
        for resource in RESOURCES
        if resource.needs(request)
    ]
    if policy.filters.max_vms is not None:
        counts.append(policy.filters.max_vms - host.vms)
    return min(counts, default=0)


def replaced_by(cloud: Cloud, policy: Policy) -> Moved:
    """All machines placed anew from nothing, in the order that they came, by one policy."""
    claims: dict[str, list[int]] = {}
    for item in cloud.machines:
        taken = claims.setdefault(item.host, [0, 0, 0, 0])
        for number, resource in enumerate(RESOURCES):
            taken[number] += resource.needs(item.request)
        taken[3] += item.guest
    empty = tuple(_without(host, *claims.get(host.name, (0, 0, 0, 0))) for host in cloud.hosts)
    anew = [replace(item, policy=policy) for item in cloud.machines]
    return _placed(Cloud(hosts=empty), anew, largest_first=False)


def watts(hosts: Iterable[HostView], policy: Policy) -> float:
    """The power of the hosts that carry something, by the policy's power model; the others could be off."""
    busy = [host for host in hosts if host.vms or host.vcpus.claimed]
    return math.fsum(COLUMNS["watts"](Snapshot(busy), NOTHING, policy).tolist())


def hosts_in_use(hosts: Iterable[HostView]) -> int:
    """How many carry something."""
    return sum(1 for host in hosts if host.vms or host.vcpus.claimed)


def _placed(cloud: Cloud, machines: Sequence[Machine], *, largest_first: bool = True) -> Moved:
    """Place them one after the other; each sees what the ones before it took."""
    draft = _Draft(cloud.hosts, cloud.machines)
    order = _largest_first(machines) if largest_first else machines
    found: list[tuple[Machine, str]] = []
    homeless: list[Machine] = []
    for machine in order:
        host = draft.place(machine)
        if host is None:
            homeless.append(machine)
        else:
            found.append((replace(machine, host=host), host))
    after = Cloud(hosts=draft.result(), machines=(*cloud.machines, *(machine for machine, _ in found)))
    return Moved(cloud=after, placed=tuple(found), homeless=tuple(homeless))


def _largest_first(machines: Sequence[Machine]) -> list[Machine]:
    return sorted(machines, key=_size, reverse=True)


def _size(machine: Machine) -> tuple[int, int, int, str, str]:
    request = machine.request
    return request.memory_mib, request.vcpus, request.disk_gib, machine.name, machine.id


class _Draft(Snapshot):
    """A snapshot of its own in which room is taken. Only what a machine changes is written, so that thousands of
    machines are placed without reading all hosts again for each. Who joins a group sees those that have a place.
    """

    def __init__(self, hosts: Iterable[HostView], staying: Iterable[Machine]) -> None:
        super().__init__(hosts)
        self._index = {host.id: number for number, host in enumerate(self.hosts)}
        self._taken = [[0, 0, 0, 0] for _ in self.hosts]
        self._members: dict[str, tuple[Member, ...]] = {}
        ids = {host.name: host.id for host in self.hosts}
        for machine in staying:
            if machine.host in ids:
                self._join(machine, ids[machine.host], machine.host)

    def place(self, machine: Machine) -> str | None:
        """Take the room where the machine's policy wants it; the value is the host's name."""
        winner = decide(hosts=self, request=self._among(machine.request), policy=machine.policy).winner
        if winner is None:
            return None
        number = self._index[winner.id]
        taken = self._taken[number]
        for which, resource in enumerate(RESOURCES):
            needs = resource.needs(machine.request)
            resource.rooms(self).claimed[number] += needs
            taken[which] += needs
        if machine.guest:
            self.numbers("vms")[number] += 1
            taken[3] += 1
        self._join(machine, winner.id, winner.name)
        return winner.name

    def _join(self, machine: Machine, host_id: str, host: str) -> None:
        if group := machine.request.group:
            joined = Member(name=machine.name, host_id=host_id, host=host)
            self._members[group.id] = (*self._members.get(group.id, ()), joined)

    def _among(self, request: Request) -> Request:
        """With its group as it is in this draft."""
        group = request.group
        return replace(request, group=replace(group, members=self._members.get(group.id, ()))) if group else request

    def result(self) -> tuple[HostView, ...]:
        """The hosts with what was taken."""
        return tuple(
            _without(host, *(-part for part in taken)) for host, taken in zip(self.hosts, self._taken, strict=True)
        )


def _claimed(host: HostView, vcpus: int, memory_mib: int, disk_gib: int) -> HostView:
    """The host with so much more claimed."""

    def more(room: Room, by: int) -> Room:
        return replace(room, claimed=max(0, room.claimed + by))

    return replace(
        host,
        vcpus=more(host.vcpus, vcpus),
        memory=more(host.memory, memory_mib),
        disk=more(host.disk, disk_gib),
    )


def _without(host: HostView, vcpus: int, memory_mib: int, disk_gib: int, vms: int) -> HostView:
    return replace(_claimed(host, -vcpus, -memory_mib, -disk_gib), vms=max(0, host.vms - vms))
