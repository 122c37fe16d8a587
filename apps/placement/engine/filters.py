"""Who may take the VM. Each filter is one column of yes and no, and a sentence with the numbers for a no.

What a host must have in any case (up, open, the architecture, room) stands beside what a policy asks for; no policy
can switch the former off.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from apps.placement.engine import cpu
from apps.placement.engine.group import AFFINITY, ANTI_AFFINITY, Group
from apps.placement.engine.snapshot import Bools, HostView, Label, Request, Room, Rooms, Snapshot
from apps.placement.policy.model import LabelRule, Policy

Mask = Callable[[Snapshot, Request, Policy], Bools | None]
Reason = Callable[[HostView, Request, Policy], str]


@dataclass(frozen=True, kw_only=True)
class Filter:
    """``passes`` is None where it has nothing to ask of any host. ``change`` says what would satisfy it."""

    name: str
    passes: Mask
    reason: Reason
    change: Reason


def _one_of(snapshot: Snapshot, host_id: str) -> Bools:
    return snapshot.truths(f"id {host_id}", lambda host: host.id == host_id)


def _usable(snapshot: Snapshot) -> Bools:
    return snapshot.truths("usable", lambda host: host.up and host.enabled)


def _not_usable(host: HostView) -> str:
    return "closed for new VMs" if host.up else host.reason or "not reachable"


def _runs(snapshot: Snapshot, architecture: str) -> Bools:
    return snapshot.truths(f"runs {architecture}", lambda host: architecture in host.architectures)


def _has_uefi(snapshot: Snapshot, request: Request) -> Bools | None:
    if request.firmware != "uefi":
        return None
    return snapshot.truths(f"uefi {request.architecture}", lambda host: request.architecture in host.uefi)


def _has_features(snapshot: Snapshot, request: Request, policy: Policy) -> Bools | None:
    asked = cpu.asked_for(request, policy)
    return snapshot.truths(f"cpu {asked}", lambda host: cpu.has_all(host, asked)) if asked else None


def _network(request: Request) -> str:
    return request.network.name if request.network else ""


def _elsewhere(request: Request) -> str:
    return (
        f"does not have the network {request.network.name}, which is on {request.network.host} alone"
        if request.network
        else ""
    )


def _fresh(snapshot: Snapshot, policy: Policy) -> Bools | None:
    most = policy.filters.fresh_within_s
    if most is None:
        return None
    return snapshot.truths(f"fresh {most}", lambda host: host.age_s is not None and host.age_s <= most)


def _stale(host: HostView, policy: Policy) -> str:
    seen = "never" if host.age_s is None else f"{host.age_s:.0f} s ago"
    return f"its data is too old (read {seen}, may be {policy.filters.fresh_within_s} s{_too_rarely(host, policy)})"


def _too_rarely(host: HostView, policy: Policy) -> str:
    """Where no reading can be as fresh as the policy asks for, most of the time."""
    rarely = host.pull_interval_s > (policy.filters.fresh_within_s or 0)
    return f", and it is read every {host.pull_interval_s} s only" if rarely else ""


def _refresh(host: HostView, policy: Policy) -> str:
    rarely = _too_rarely(host, policy)
    return (
        f"read {host.name} every {policy.filters.fresh_within_s} s or more often"
        if rarely
        else f"read {host.name} again"
    )


def _accelerated(host: HostView, wanted: str) -> bool:
    return host.proven and (wanted != "kvm" or host.accelerator == "kvm")


def _accelerator(snapshot: Snapshot, policy: Policy) -> Bools | None:
    wanted = policy.filters.accelerator
    return None if wanted == "any" else snapshot.truths(f"accel {wanted}", lambda host: _accelerated(host, wanted))


def _native(snapshot: Snapshot, request: Request, policy: Policy) -> Bools | None:
    if not policy.filters.native or not request.architecture:
        return None
    return snapshot.truths(f"native {request.architecture}", lambda host: host.native == request.architecture)


def label_text(value: Label) -> str:
    """A label's value as it is compared: ``true`` for a truth, ``2`` for 2.0."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _has_label(host: HostView, rule: LabelRule) -> bool:
    return rule.label in host.labels and (not rule.values or label_text(host.labels[rule.label]) in rule.values)


def _label_fault(host: HostView, policy: Policy) -> str | None:
    for rule in policy.filters.require_labels:
        if not _has_label(host, rule):
            has = label_text(host.labels[rule.label]) if rule.label in host.labels else "no such label"
            return f"needs the label {rule.label}={' or '.join(rule.values)} (has {has})"
    for rule in policy.filters.refuse_labels:
        if _has_label(host, rule):
            return f"has the label {rule.label}={label_text(host.labels[rule.label])}, which is refused"
    return None


def _labelled(snapshot: Snapshot, policy: Policy) -> Bools | None:
    rules = (policy.filters.require_labels, policy.filters.refuse_labels)
    if rules == ((), ()):
        return None
    return snapshot.truths(f"labels {rules}", lambda host: _label_fault(host, policy) is None)


def _has_image(snapshot: Snapshot, policy: Policy) -> Bools | None:
    return snapshot.truths("image", lambda host: host.image_cached) if policy.filters.image_cached else None


def _few_vms(snapshot: Snapshot, policy: Policy) -> Bools | None:
    most = policy.filters.max_vms
    return None if most is None else snapshot.numbers("vms") < most


def _ruled(request: Request, rule: str) -> Group | None:
    """The group, where it has this rule and somebody in it is placed: the first may go anywhere."""
    return request.group if request.group and request.group.rule == rule and request.group.members else None


def _holds(snapshot: Snapshot, group: Group) -> Bools:
    there = group.host_ids
    return np.fromiter((host.id in there for host in snapshot.hosts), dtype=np.bool_, count=len(snapshot))


def _together(snapshot: Snapshot, request: Request) -> Bools | None:
    group = _ruled(request, AFFINITY)
    return _holds(snapshot, group) if group else None


def _apart(snapshot: Snapshot, request: Request) -> Bools | None:
    group = _ruled(request, ANTI_AFFINITY)
    return ~_holds(snapshot, group) if group else None


def _group_filter(name: str, mask: Callable[[Snapshot, Request], Bools | None], says: str) -> Filter:
    def passes(snapshot: Snapshot, request: Request, _: Policy) -> Bools | None:
        return mask(snapshot, request)

    def reason(host: HostView, request: Request, _: Policy) -> str:
        group = request.group
        return says.format(on=group.on(host.id), group=group.name, hosts=group.hosts, rule=name) if group else ""

    def change(host: HostView, request: Request, _: Policy) -> str:
        group = request.group.name if request.group else ""
        return f"have {host.name} take it outside of group {group}"

    return Filter(name=name, passes=passes, reason=reason, change=change)


@dataclass(frozen=True, kw_only=True)
class Resource:
    """What a filter for room needs to know of its resource."""

    name: str
    called: str
    unit: str
    rooms: Callable[[Snapshot], Rooms]
    room: Callable[[HostView], Room]
    needs: Callable[[Request], int]
    ratio: Callable[[Policy], float | None]


RESOURCES = (
    Resource(
        name="vcpus",
        called="vCPUs",
        unit="vCPU",
        rooms=lambda snapshot: snapshot.vcpus,
        room=lambda host: host.vcpus,
        needs=lambda request: request.vcpus,
        ratio=lambda policy: policy.filters.vcpus_ratio,
    ),
    Resource(
        name="memory",
        called="memory",
        unit="MiB",
        rooms=lambda snapshot: snapshot.memory,
        room=lambda host: host.memory,
        needs=lambda request: request.memory_mib,
        ratio=lambda policy: policy.filters.memory_ratio,
    ),
    Resource(
        name="disk",
        called="disk",
        unit="GiB",
        rooms=lambda snapshot: snapshot.disk,
        room=lambda host: host.disk,
        needs=lambda request: request.disk_gib,
        ratio=lambda policy: policy.filters.disk_ratio,
    ),
)


def limit_of(room: Room, ratio: float | None) -> int:
    """What may be claimed of one host under a policy's ratio."""
    return room.limit if ratio is None else min(room.limit, int(room.size * ratio))


def missing(resource: Resource, host: HostView, request: Request, policy: Policy) -> int:
    """How much the host lacks; 0 where it has enough, or nothing is asked of it."""
    room, needs = resource.room(host), resource.needs(request)
    free = limit_of(room, resource.ratio(policy)) - room.claimed
    return max(0, needs - free) if needs else 0


def _room_filter(resource: Resource) -> Filter:
    def passes(snapshot: Snapshot, request: Request, policy: Policy) -> Bools | None:
        if not resource.needs(request):
            return None
        rooms = resource.rooms(snapshot)
        fits: Bools = rooms.claimed + resource.needs(request) <= rooms.limit_under(resource.ratio(policy))
        return fits

    def reason(host: HostView, request: Request, policy: Policy) -> str:
        room, needs = resource.room(host), resource.needs(request)
        limit = limit_of(room, resource.ratio(policy))
        ratio = round(limit / room.size, 2) if room.size else 0.0
        numbers = f"needs {needs}, has {max(limit - room.claimed, 0)} of {room.size} × {ratio}"  # noqa: RUF001
        short = missing(resource, host, request, policy)
        return f"{short} {resource.unit} short of {resource.called} ({numbers})"

    def change(host: HostView, request: Request, policy: Policy) -> str:
        short = missing(resource, host, request, policy)
        return f"ask for {short} {resource.unit} less of {resource.called}, or free as much on {host.name}"

    return Filter(name=resource.name, passes=passes, reason=reason, change=change)


FILTERS: tuple[Filter, ...] = (
    Filter(
        name="host",
        passes=lambda snapshot, request, _: _one_of(snapshot, request.host_id) if request.host_id else None,
        reason=lambda *_: "another host was asked for",
        change=lambda host, *_: f"allow {host.name} too",
    ),
    Filter(
        name="state",
        passes=lambda snapshot, *_: _usable(snapshot),
        reason=lambda host, *_: _not_usable(host),
        change=lambda host, *_: f"open {host.name} for new VMs" if host.up else f"bring {host.name} back",
    ),
    Filter(
        name="fresh",
        passes=lambda snapshot, _, policy: _fresh(snapshot, policy),
        reason=lambda host, _, policy: _stale(host, policy),
        change=lambda host, _, policy: _refresh(host, policy),
    ),
    Filter(
        name="architecture",
        passes=lambda snapshot, request, _: _runs(snapshot, request.architecture) if request.architecture else None,
        reason=lambda host, request, _: (
            f"cannot run {request.architecture} (has {', '.join(host.architectures) or 'none'})"
        ),
        change=lambda host, request, _: f"install QEMU for {request.architecture} on {host.name}",
    ),
    Filter(
        name="firmware",
        passes=lambda snapshot, request, _: _has_uefi(snapshot, request),
        reason=lambda _, request, __: (
            f"has no UEFI firmware for {request.architecture} (install its package and probe the host)"
        ),
        change=lambda host, request, _: f"install UEFI firmware for {request.architecture} on {host.name}",
    ),
    Filter(
        name="cpu_features",
        passes=_has_features,
        reason=lambda host, request, policy: cpu.lacking(
            cpu.asked_for(request, policy),
            features=host.cpu_features,
            native=host.native,
            accelerator=host.accelerator,
        ),
        change=lambda host, *_: f"ask for no CPU features that {host.name} lacks",
    ),
    Filter(
        name="network",
        passes=lambda snapshot, request, _: _one_of(snapshot, request.network.host_id) if request.network else None,
        reason=lambda _, request, __: _elsewhere(request),
        change=lambda host, request, _: f"add a network on {host.name} in place of {_network(request)}",
    ),
    _group_filter(AFFINITY, _together, "group {group} is on {hosts} ({rule})"),
    _group_filter(ANTI_AFFINITY, _apart, "already runs {on} of group {group} ({rule})"),
    Filter(
        name="accelerator",
        passes=lambda snapshot, _, policy: _accelerator(snapshot, policy),
        reason=lambda host, _, policy: (
            f"its accelerator is {host.accelerator or 'unknown'}{'' if host.proven else ', not proven'}"
            f" (the policy asks for {policy.filters.accelerator})"
        ),
        change=lambda host, _, policy: f"have {host.name} prove {policy.filters.accelerator.replace('proven', 'it')}",
    ),
    Filter(
        name="native",
        passes=_native,
        reason=lambda host, request, _: f"would emulate {request.architecture} (its CPU is {host.native})",
        change=lambda host, *_: f"allow emulation on {host.name}",
    ),
    Filter(
        name="labels",
        passes=lambda snapshot, _, policy: _labelled(snapshot, policy),
        reason=lambda host, _, policy: _label_fault(host, policy) or "",
        change=lambda host, *_: f"change the labels of {host.name}",
    ),
    Filter(
        name="image",
        passes=lambda snapshot, _, policy: _has_image(snapshot, policy),
        reason=lambda *_: "has no copy of the image",
        change=lambda host, *_: f"send the image to {host.name}",
    ),
    Filter(
        name="vms",
        passes=lambda snapshot, _, policy: _few_vms(snapshot, policy),
        reason=lambda host, _, policy: f"has {host.vms} VMs (may have {policy.filters.max_vms})",
        change=lambda host, _, policy: f"remove {host.vms + 1 - (policy.filters.max_vms or 0)} VMs from {host.name}",
    ),
    *(_room_filter(resource) for resource in RESOURCES),
)
