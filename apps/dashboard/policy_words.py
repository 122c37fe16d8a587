"""Policies, metrics and differences in words. Pure; what has no word yet is shown as it is written."""

import re
from dataclasses import dataclass, fields
from typing import Any

from apps.placement.policy.metrics import LABEL_PREFIX, METRICS
from apps.placement.policy.model import Filters, LabelRule, Policy, Term

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PLACE = re.compile(r"@@ -\S+ \+(\d+)")
METRIC_WORDS = {
    "vcpus_free": "free vCPUs",
    "vcpus_free_share": "free vCPUs",
    "vcpus_per_cpu": "vCPUs for each real CPU",
    "memory_free": "free memory",
    "memory_free_share": "free memory",
    "disk_free": "free disk",
    "disk_free_share": "free disk",
    "imbalance": "imbalance of memory and vCPUs",
    "vms": "machines on the host",
    "group_vms": "machines of its group on the host",
    "image_cached": "has the image already",
    "native": "needs no emulation",
    "kvm": "runs guests with KVM",
    "watts": "power of the host",
    "watts_added": "added power",
    "watts_per_vcpu": "power for each vCPU",
}
FILTER_WORDS = {
    "host": "not the host that was asked for",
    "state": "not up, or closed for new VMs",
    "fresh": "data too old",
    "architecture": "another architecture",
    "firmware": "no such firmware",
    "affinity": "its group is on another host",
    "anti-affinity": "has one of its group already",
    "accelerator": "accelerator not as asked",
    "native": "would emulate",
    "labels": "labels not as asked",
    "image": "has no copy of the image",
    "vms": "too many machines",
    "vcpus": "too few vCPUs free",
    "memory": "too little memory free",
    "disk": "too little disk free",
}
ASKS = {
    "vcpus_ratio": "at most {} vCPUs claimed for each real CPU",
    "memory_ratio": "memory claimed up to {} times what guests can have",
    "disk_ratio": "disk claimed up to {} times the pool",
    "max_vms": "at most {} machines on it",
    "fresh_within_s": "seen within the last {} s",
    "accelerator": "its accelerator is {}",
    "native": "no emulation",
    "image_cached": "it has the image already",
}


def metric_words(name: str) -> str:
    """``memory_free_share`` → ``free memory``; a formula stays one, of such words."""
    return IDENTIFIER.sub(lambda found: _metric(found[0]), name)


def _metric(name: str) -> str:
    if name.startswith(LABEL_PREFIX):
        return f"label {name.removeprefix(LABEL_PREFIX)}"
    return METRIC_WORDS.get(name) or (name.replace("_", " ") if name in METRICS else name)


def value_words(name: str, value: float) -> str:
    """A metric's number with its unit, as people read it: ``66 %``, ``5.2 GiB``, ``yes``."""
    unit = METRICS[name].unit if name in METRICS else ""
    if unit == "share":
        return f"{100 * value:.0f} %"
    if unit == "0 or 1":
        return "yes" if value else "no"
    if unit == "MiB" and abs(value) >= 1024:
        return f"{value / 1024:.1f} GiB".replace(".0 ", " ")
    number = f"{value:.4g}" if abs(value) < 10000 else f"{value:.0f}"
    return f"{number} {unit}" if unit in ("MiB", "GiB", "W") else number


def filter_words(name: str) -> str:
    """Why a filter rejects hosts, in a few words."""
    return FILTER_WORDS.get(name, name.replace("_", " "))


def asks_of(policy: Policy) -> list[str]:
    """What a host must be, beyond what always holds: one phrase for each filter that asks anything."""
    asked = []
    for item in fields(Filters):
        value = getattr(policy.filters, item.name)
        if value != item.default:
            asked += _ask(item.name, value)
    return asked


def _ask(name: str, value: Any) -> list[str]:
    if name in ("require_labels", "refuse_labels"):
        word = "has the label" if name == "require_labels" else "does not have the label"
        return [f"{word} {_rule(rule)}" for rule in value]
    return [ASKS[name].format(_plain(value)) if name in ASKS else f"{name.replace('_', ' ')}: {_plain(value)}"]


def _rule(rule: LabelRule) -> str:
    return f"{rule.label}={' or '.join(rule.values)}" if rule.values else rule.label


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def wants_of(policy: Policy) -> list[dict[str, str]]:
    """What makes a host better, the heaviest first: what is looked at, which way, and how it counts."""
    return [_want(term) for term in sorted(policy.terms, key=lambda term: -term.weight)]


def _want(term: Term) -> dict[str, str]:
    way = "more is better" if term.prefer == "high" else "less is better"
    how = "the number itself" if term.normalise == "none" else "from the worst candidate (0) to the best (1)"
    return {"what": metric_words(term.name), "way": way, "weight": f"{term.weight:g}", "how": how}


@dataclass(frozen=True, kw_only=True)
class DiffLine:
    """A line of a difference: ``mark`` is +, -, @ or nothing."""

    mark: str
    text: str


def diff_lines(diff: str) -> list[DiffLine]:
    """A unified difference without its two headings; ``@`` marks the number of the line where a part begins."""
    return [_diff_line(line) for line in diff.splitlines()[2:]]


def _diff_line(line: str) -> DiffLine:
    place = PLACE.match(line)
    if place:
        return DiffLine(mark="@", text=f"From line {place[1]}")
    return DiffLine(mark=line[:1].strip(), text=line[1:])
