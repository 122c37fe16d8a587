"""Where a VM goes: a pure function ``(snapshot, request, policy) → decision with trace``. No Django, no I/O.

The same code places a VM, previews a placement and explains an old one.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class HostView:
    """One host as the decision sees it. Memory is MiB, disk GiB."""

    id: str
    name: str
    up: bool
    enabled: bool
    reason: str
    architectures: tuple[str, ...]
    vcpus_limit: int
    vcpus_claimed: int
    memory_limit_mib: int
    memory_claimed_mib: int
    disk_limit_gib: int
    disk_claimed_gib: int
    image_cached: bool = False
    uefi: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be placed. ``memory_mib`` includes the overhead; ``host_id`` is a person's choice."""

    vcpus: int
    memory_mib: int
    disk_gib: int
    architecture: str = "x86_64"
    firmware: str = "bios"
    host_id: str | None = None


Filter = Callable[[HostView, Request], str | None]
Score = Callable[[HostView, Request], float]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Filters by name, each giving the reason for a no, and one score: the highest wins."""

    name: str
    filters: tuple[tuple[str, Filter], ...]
    score: Score


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was thought of one host: the filter that rejected it and why, or its score."""

    host_id: str
    host: str
    rejected_by: str | None = None
    reason: str | None = None
    score: float | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The hosts in order of preference, and why each stands where it does."""

    policy: str
    candidates: tuple[str, ...]
    verdicts: tuple[Verdict, ...] = field(default_factory=tuple)

    def as_trace(self) -> dict[str, Any]:
        """As it is stored and shown."""
        return {
            "policy": self.policy,
            "winner": self.candidates[0] if self.candidates else None,
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
        }

    def summary(self) -> str:
        """Why no host fits, in one sentence."""
        reasons = [f"{verdict.host}: {verdict.reason}" for verdict in self.verdicts if verdict.reason]
        return "; ".join(reasons[:5]) + (f"; and {len(reasons) - 5} more" if len(reasons) > 5 else "")


def decide(*, hosts: Sequence[HostView], request: Request, policy: Policy) -> Decision:
    """Filter, then score. Ties go to the name that sorts first, so that a decision can be repeated."""
    verdicts = [_judge(host, request, policy) for host in hosts]
    fitting = [verdict for verdict in verdicts if verdict.score is not None]
    fitting.sort(key=lambda verdict: (-(verdict.score or 0.0), verdict.host))
    rejected = sorted((verdict for verdict in verdicts if verdict.score is None), key=lambda item: item.host)
    return Decision(
        policy=policy.name,
        candidates=tuple(verdict.host_id for verdict in fitting),
        verdicts=(*fitting, *rejected),
    )


def _judge(host: HostView, request: Request, policy: Policy) -> Verdict:
    for name, accepts in policy.filters:
        reason = accepts(host, request)
        if reason is not None:
            return Verdict(host_id=host.id, host=host.name, rejected_by=name, reason=reason)
    return Verdict(host_id=host.id, host=host.name, score=round(policy.score(host, request), 6))


def _chosen(host: HostView, request: Request) -> str | None:
    return None if request.host_id in (None, host.id) else "another host was asked for"


def _usable(host: HostView, _request: Request) -> str | None:
    if not host.up:
        return host.reason or "not reachable"
    return None if host.enabled else "closed for new VMs"


def _architecture(host: HostView, request: Request) -> str | None:
    if request.architecture in host.architectures:
        return None
    return f"cannot run {request.architecture} (has {', '.join(host.architectures) or 'none'})"


def _firmware(host: HostView, request: Request) -> str | None:
    if request.firmware != "uefi" or request.architecture in host.uefi:
        return None
    return f"has no UEFI firmware for {request.architecture} (install its package and probe the host)"


def _room(what: str, unit: str, needs: int, limit: int, claimed: int) -> str | None:
    free = limit - claimed
    if needs <= free:
        return None
    return f"{needs - free} {unit} short of {what} (needs {needs}, has {max(free, 0)} of {limit})"


def _vcpus(host: HostView, request: Request) -> str | None:
    return _room("vCPUs", "vCPU", request.vcpus, host.vcpus_limit, host.vcpus_claimed)


def _memory(host: HostView, request: Request) -> str | None:
    return _room("memory", "MiB", request.memory_mib, host.memory_limit_mib, host.memory_claimed_mib)


def _disk(host: HostView, request: Request) -> str | None:
    return _room("disk", "GiB", request.disk_gib, host.disk_limit_gib, host.disk_claimed_gib)


def _free_memory(host: HostView, _request: Request) -> float:
    return float(host.memory_limit_mib - host.memory_claimed_mib)


def _free_disk(host: HostView, _request: Request) -> float:
    return float(host.disk_limit_gib - host.disk_claimed_gib)


SPREAD = Policy(
    name="spread",
    filters=(
        ("host", _chosen),
        ("state", _usable),
        ("architecture", _architecture),
        ("firmware", _firmware),
        ("vcpus", _vcpus),
        ("memory", _memory),
        ("disk", _disk),
    ),
    score=_free_memory,
)
DISK_ROOM = Policy(
    name="disk-room",
    filters=(("host", _chosen), ("state", _usable), ("disk", _disk)),
    score=_free_disk,
)
