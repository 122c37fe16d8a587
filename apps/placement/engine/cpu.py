"""CPU features that a machine asks for: single ones, and the levels of x86-64 that distributions are built for."""

from collections.abc import Collection, Iterable

from apps.placement.engine.snapshot import HostView, Request
from apps.placement.policy.model import Policy

NATIVE = "x86_64"
MOST_NAMED = 6
_V2 = ("cx16", "lahf_lm", "pni", "popcnt", "sse4.1", "sse4.2", "ssse3")
_V3 = (*_V2, "abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave")
_V4 = (*_V3, "avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl")
LEVELS = {"x86-64-v2": _V2, "x86-64-v3": _V3, "x86-64-v4": _V4}
"""What each level stands for, by libvirt's names."""


def expanded(asked: Iterable[str]) -> frozenset[str]:
    """Features, with the levels written out."""
    return frozenset(feature for name in asked for feature in LEVELS.get(name, (name,)))


def asked_for(request: Request, policy: Policy) -> tuple[str, ...]:
    """What the machine and the policy ask for together, as it was written."""
    return tuple(sorted({*request.cpu_features, *policy.filters.cpu_features}))


def has_all(host: HostView, asked: tuple[str, ...]) -> bool:
    """Whether a guest on this host has them."""
    return host.cpu_features is not None and host.native == NATIVE and expanded(asked) <= {*host.cpu_features}


def lacking(
    asked: Iterable[str], *, features: Collection[str] | None, native: str = NATIVE, accelerator: str = "kvm"
) -> str:
    """Why a guest on such a host would not have what is asked for; nothing where it would."""
    names = sorted(asked)
    if not names:
        return ""
    if native != NATIVE:
        return f"which CPU features it can emulate is not known (its CPU is {native})"
    if features is None:
        return "its CPU features are not known yet (probe it)"
    missing = sorted(expanded(names) - {*features})
    if not missing:
        return ""
    named = ", ".join(missing[:MOST_NAMED]) + (f" and {len(missing) - MOST_NAMED} more" if missing[MOST_NAMED:] else "")
    whose = "its CPU" if accelerator == "kvm" else "the CPU that it emulates"
    levels = [name for name in names if name in LEVELS and not {*LEVELS[name]} <= {*features}]
    return f"{whose} has no {named}" + (f" (asked for: {', '.join(levels)})" if levels else "")
