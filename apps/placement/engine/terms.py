"""Who is better: the metrics as columns, and formulas over them."""

from collections import Counter
from collections.abc import Callable

import numpy as np

from apps.placement.engine.group import SOFT_AFFINITY, SOFT_ANTI_AFFINITY
from apps.placement.engine.snapshot import Bools, Floats, HostView, Request, Rooms, Snapshot, nothing_is_nothing
from apps.placement.policy.expression import Expression, Node, calculate
from apps.placement.policy.metrics import LABEL_PREFIX
from apps.placement.policy.model import Policy, Term

BEYOND = 1e15
GROUP = Node(operation="metric", name="group_vms")
Column = Callable[[Snapshot, Request, Policy], Floats]


def _free(rooms: Rooms, needs: int, ratio: float | None) -> Floats:
    return rooms.limit_under(ratio) - (rooms.claimed + needs)


def _free_share(rooms: Rooms, needs: int, ratio: float | None) -> Floats:
    return _free(rooms, needs, ratio) / rooms.divisor(ratio)


def _vcpus(snapshot: Snapshot, request: Request, policy: Policy) -> Floats:
    return _free(snapshot.vcpus, request.vcpus, policy.filters.vcpus_ratio)


def _vcpus_share(snapshot: Snapshot, request: Request, policy: Policy) -> Floats:
    return _free_share(snapshot.vcpus, request.vcpus, policy.filters.vcpus_ratio)


def _vcpus_per_cpu(snapshot: Snapshot, request: Request, _policy: Policy) -> Floats:
    return (snapshot.vcpus.claimed + request.vcpus) / snapshot.cpus_divisor


def _memory(snapshot: Snapshot, request: Request, policy: Policy) -> Floats:
    return _free(snapshot.memory, request.memory_mib, policy.filters.memory_ratio)


def _memory_share(snapshot: Snapshot, request: Request, policy: Policy) -> Floats:
    return _free_share(snapshot.memory, request.memory_mib, policy.filters.memory_ratio)


def _disk(snapshot: Snapshot, request: Request, policy: Policy) -> Floats:
    return _free(snapshot.disk, request.disk_gib, policy.filters.disk_ratio)


def _disk_share(snapshot: Snapshot, request: Request, policy: Policy) -> Floats:
    return _free_share(snapshot.disk, request.disk_gib, policy.filters.disk_ratio)


def _imbalance(snapshot: Snapshot, request: Request, policy: Policy) -> Floats:
    return np.abs(_vcpus_share(snapshot, request, policy) - _memory_share(snapshot, request, policy))


def _label(snapshot: Snapshot, name: str, otherwise: float) -> Floats:
    """A label as a number; a host without it, or with words in it, has the other value."""

    def number(host: HostView) -> float:
        value = host.labels.get(name, otherwise)
        try:
            found = float(value)
        except ValueError:
            return otherwise
        return min(max(found, -BEYOND), BEYOND) if np.isfinite(found) else otherwise

    column: Floats = snapshot.column(
        ("label", name, otherwise), lambda: np.array([number(host) for host in snapshot.hosts], dtype=np.float64)
    )
    return column


def _power(snapshot: Snapshot, policy: Policy) -> tuple[Floats, Floats]:
    """Watts when idle, and what each reserved CPU adds."""
    idle = _label(snapshot, "idle_watts", policy.power.idle_watts)
    full = np.maximum(_label(snapshot, "max_watts", policy.power.max_watts), idle)
    return idle, (full - idle) / snapshot.cpus_divisor


def _busy_cpus(snapshot: Snapshot, request: Request) -> Floats:
    """CPUs that the reserved vCPUs can keep busy, at most all there are."""
    return np.minimum(snapshot.vcpus.claimed + request.vcpus, snapshot.vcpus.size)


def _watts(snapshot: Snapshot, request: Request, policy: Policy) -> Floats:
    idle, each = _power(snapshot, policy)
    return idle + each * _busy_cpus(snapshot, request)


def _watts_added(snapshot: Snapshot, request: Request, policy: Policy) -> Floats:
    idle, each = _power(snapshot, policy)
    before = np.minimum(snapshot.vcpus.claimed, snapshot.vcpus.size)
    woken = np.where(snapshot.numbers("vms") == 0, idle, 0.0)
    return woken + each * (_busy_cpus(snapshot, request) - before)


def _watts_per_vcpu(snapshot: Snapshot, request: Request, policy: Policy) -> Floats:
    return _watts(snapshot, request, policy) / nothing_is_nothing(snapshot.vcpus.claimed + request.vcpus)


def _native(snapshot: Snapshot, request: Request, _policy: Policy) -> Floats:
    same = snapshot.truths(f"native {request.architecture}", lambda host: host.native == request.architecture)
    return same.astype(np.float64)


def _group_vms(snapshot: Snapshot, request: Request, _policy: Policy) -> Floats:
    members = request.group.members if request.group else ()
    on = Counter(member.host_id for member in members)
    return np.array([on[host.id] for host in snapshot.hosts], dtype=np.float64)


COLUMNS: dict[str, Column] = {
    "vcpus_free": _vcpus,
    "vcpus_free_share": _vcpus_share,
    "vcpus_per_cpu": _vcpus_per_cpu,
    "memory_free": _memory,
    "memory_free_share": _memory_share,
    "disk_free": _disk,
    "disk_free_share": _disk_share,
    "imbalance": _imbalance,
    "vms": lambda snapshot, *_: snapshot.numbers("vms"),
    "group_vms": _group_vms,
    "image_cached": lambda snapshot, *_: snapshot.numbers("image_cached"),
    "native": _native,
    "kvm": lambda snapshot, *_: snapshot.truths("kvm", lambda host: host.accelerator == "kvm").astype(np.float64),
    "watts": _watts,
    "watts_added": _watts_added,
    "watts_per_vcpu": _watts_per_vcpu,
}


def _operate(operation: str, values: tuple[Floats, ...]) -> Floats:
    """Arithmetic that is always finite: a division by nothing is nothing, and no number grows beyond bounds."""
    first, *others = values
    if operation == "negative":
        return -first
    if operation == "abs":
        return np.abs(first)
    result = first
    for other in others:
        if operation == "/":
            first, other = np.broadcast_arrays(result, other)
            result = np.divide(first, other, out=np.zeros(first.shape), where=np.abs(other) > 1e-12)
        else:
            result = _BINARY[operation](result, other)
    return np.clip(result, -BEYOND, BEYOND)


_BINARY: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
}


def terms_of(request: Request, policy: Policy) -> tuple[Term, ...]:
    """The policy's, and that of a soft rule: each machine of the group counts more than all terms that spread the
    candidates over 0 to 1 do together, so that the policy decides between hosts which are equal for the group.
    """
    rule = request.group.rule if request.group else None
    if rule not in (SOFT_AFFINITY, SOFT_ANTI_AFFINITY):
        return policy.terms
    weight = 1 + sum(term.weight for term in policy.terms)
    prefer = "high" if rule == SOFT_AFFINITY else "low"
    soft = Term(expression=Expression(text=rule, root=GROUP), weight=weight, prefer=prefer, normalise="none")
    return (*policy.terms, soft)


def raw(term: Term, snapshot: Snapshot, request: Request, policy: Policy) -> Floats:
    """What a term looks at, for every host."""

    def metric(name: str) -> Floats:
        if name in COLUMNS:
            return COLUMNS[name](snapshot, request, policy)
        return _label(snapshot, name.removeprefix(LABEL_PREFIX), 0.0)

    found: Floats = calculate(term.expression.root, metric, lambda value: np.full(len(snapshot), value), _operate)
    return found


def weighed(term: Term, values: Floats, fits: Bools) -> Floats:
    """What a term adds to the score of every host; ``range`` looks at the candidates only.

    Every sum is made host by host in the order of the file, so neither the order of the hosts nor the machine
    changes a bit of it.
    """
    sign = term.weight if term.prefer == "high" else -term.weight
    if term.normalise == "none":
        return values * sign
    least = float(np.where(fits, values, np.inf).min(initial=np.inf))
    most = float(np.where(fits, values, -np.inf).max(initial=-np.inf))
    if not most > least:
        return np.zeros(len(values))
    worst = least if term.prefer == "high" else most
    return (values - worst) * (sign / (most - least))
