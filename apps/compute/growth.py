"""What of a resize a running machine can have. Pure: services and workers ask it, with the rows' numbers."""

from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What a machine has. A maximum of None: there is no room beyond the number itself."""

    vcpus: int
    memory_mib: int
    disk_gib: int
    max_vcpus: int | None = None
    max_memory_mib: int | None = None

    @property
    def most_vcpus(self) -> int:
        """vCPUs that it can have without a restart."""
        return self.max_vcpus or self.vcpus

    @property
    def most_memory_mib(self) -> int:
        """Memory that it can have without a restart."""
        return self.max_memory_mib or self.memory_mib

    def as_params(self) -> dict[str, Any]:
        """As an operation keeps them."""
        return asdict(self)


def resized(now: Numbers, *, live: bool, **asked: int | None) -> Numbers:
    """The numbers after a resize; what was not asked for stays.

    A maximum that nobody chose follows its number while the machine is off, and stands while it runs: QEMU was
    started with it. One that was chosen is raised with its number and never lowered unasked.
    """
    new = replace(now, **{field: value for field, value in asked.items() if value is not None})
    for most, field in (("max_vcpus", "vcpus"), ("max_memory_mib", "memory_mib")):
        if asked.get(most) is not None:
            continue
        old_most: int | None = getattr(now, most)
        value: int = getattr(new, field)
        if live and value < (old_most or getattr(now, field)):
            old_most = old_most or getattr(now, field)
        if old_most is not None:
            new = replace(new, **{most: max(old_most, value)})
    return new


def needs_stop(now: Numbers, new: Numbers, *, paused: bool = False) -> dict[str, str]:
    """What of ``new`` a machine that runs with ``now`` cannot have before it was off, each with the reason."""
    reasons: dict[str, str] = {}
    if new.vcpus < now.vcpus:
        reasons["vcpus"] = "a running machine gives no vCPU back"
    elif new.vcpus > now.most_vcpus:
        reasons["vcpus"] = f"it was started with room for {now.most_vcpus}"
    if new.memory_mib > now.most_memory_mib:
        reasons["memory_mib"] = f"it was started with room for {now.most_memory_mib} MiB"
    for field, was, becomes in (
        ("max_vcpus", now.most_vcpus, new.most_vcpus),
        ("max_memory_mib", now.most_memory_mib, new.most_memory_mib),
    ):
        if was != becomes and field.removeprefix("max_") not in reasons:
            reasons[field] = "QEMU is started with it"
    if paused:
        for field in ("vcpus", "memory_mib"):
            if getattr(now, field) != getattr(new, field):
                reasons.setdefault(field, "a paused machine does not answer; resume it")
    return reasons
