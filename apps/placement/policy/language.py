"""The grammar of policy files, their reading, and the JSON Schema that editors use."""

from dataclasses import dataclass
from typing import Any

import yaml

from apps.placement.policy.expression import MOST_CHARACTERS, Expression, ExpressionError, parse
from apps.placement.policy.kinds import Choice, Flag, Listing, Named, Number, OneOrMore, Problems, Record, Text, Wrong
from apps.placement.policy.kinds import fail as fail_at
from apps.placement.policy.metrics import METRICS
from apps.placement.policy.model import Filters, LabelRule, Policy, PowerModel, Term
from apps.placement.policy.tree import PolicyError, Problem, compose, problem

OF_GROUPS = "that is the rule of a placement group, which a VM joins when it is created"
NAME = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
FEATURE = r"[a-z0-9][a-z0-9._-]{0,31}"
LABEL = Text(most=63, pattern=r"[a-z][a-z0-9_]{0,62}", says="the name of a label (a-z, 0-9, _)")
VALUES = OneOrMore(of=Text(most=63, says="the value of a label"), most=20)


@dataclass(frozen=True, kw_only=True)
class Formula:
    """A metric, or arithmetic over metrics."""

    meaning: str = ""

    def read(self, node: yaml.Node, path: str, problems: Problems) -> Expression:
        text = Text(most=MOST_CHARACTERS, says="a metric or a formula").read(node, path, problems)
        try:
            return parse(text)
        except ExpressionError as error:
            raise fail_at(node, path, problems, "metric", str(error)) from error

    def schema(self) -> dict[str, Any]:
        return {
            "type": "string",
            "maxLength": MOST_CHARACTERS,
            "description": self.meaning,
            "anyOf": [
                *(
                    {"const": metric.name, "description": f"{metric.meaning} ({metric.unit})"}
                    for metric in METRICS.values()
                ),
                {"pattern": r"^[A-Za-z0-9_.+\-*/(), ]+$", "description": "arithmetic over metrics, min, max, abs"},
            ],
        }


def _ratio(most: float, what: str) -> Record:
    number = Number(least=0.1, most=most, meaning=f"{what}; the host's own limit holds as well")
    return Record(fields={"ratio": number}, required=("ratio",), meaning=what)


LABELS = Record(
    fields={
        "require": Named(key=LABEL, of=VALUES, most=20, meaning="labels that a host must have, with one of the values"),
        "refuse": Named(key=LABEL, of=VALUES, most=20, meaning="labels that a host must not have with these values"),
    },
)
FILTERS = Record(
    fields={
        "vcpus": _ratio(64, "vCPUs that may be claimed for each real CPU"),
        "memory": _ratio(4, "memory that may be claimed, over the memory that guests can have"),
        "disk": _ratio(20, "disk that may be claimed, over the size of the pool"),
        "max_vms": Number(least=1, most=10000, whole=True, meaning="machines on a host at most"),
        "fresh_within_s": Number(
            least=10, most=86400, whole=True, meaning="how old the last look at a host may be, in seconds"
        ),
        "accelerator": Choice(
            values=("any", "proven", "kvm"), meaning="proven: seen to boot a kernel; kvm: that, with KVM"
        ),
        "native": Flag(meaning="true: only hosts whose CPU is of the guest's architecture"),
        "cpu_features": Listing(
            of=Text(most=32, pattern=FEATURE, says="a CPU feature such as avx2, or a level such as x86-64-v3"),
            least=1,
            most=20,
            meaning="CPU features that guests must have, or levels of x86-64",
        ),
        "image_cached": Flag(meaning="true: only hosts that have the image"),
        "labels": LABELS,
    },
    reasons={
        "network": "a VM names its network when it is created, which then is a filter by itself",
        "affinity": OF_GROUPS,
        "anti_affinity": OF_GROUPS,
        "group": OF_GROUPS,
        "pool": "a host has one pool, whose room the filter disk knows",
        "taints": "write labels with refuse",
        "cpu_load": "measured load needs metrics, which are not collected yet",
    },
    meaning="what a host must be, beyond up, open, of the architecture and with room",
)
TERM = Record(
    fields={
        "metric": Formula(meaning="a metric, or arithmetic over metrics"),
        "weight": Number(least=0.01, most=1000, meaning="how much this counts, 1 unless told"),
        "prefer": Choice(values=("high", "low"), meaning="whether more or less is better, high unless told"),
        "normalise": Choice(
            values=("range", "none"), meaning="range: worst candidate 0, best 1 (unless told); none: the number itself"
        ),
    },
    required=("metric",),
)
WATTS = Number(least=0, most=20000, meaning="watts")
POLICY = Record(
    fields={
        "name": Text(most=63, pattern=NAME, says="a name (a-z, 0-9, -)", meaning="how VMs refer to it"),
        "description": Text(most=500, says="a description", meaning="for people who choose"),
        "filters": FILTERS,
        "score": Listing(of=TERM, least=1, most=12, meaning="weighted terms; the highest sum wins"),
        "power": Record(
            fields={"idle_watts": WATTS, "max_watts": WATTS},
            required=("idle_watts", "max_watts"),
            meaning="the power of a host without the labels idle_watts and max_watts",
        ),
    },
    required=("name", "score"),
    meaning="Cloudsite placement policy",
)


def policy_read(text: str) -> Policy:
    """A policy from its text. Raises ``PolicyError`` with everything that is wrong, each with its line."""
    root = compose(text)
    problems: list[Problem] = []
    try:
        values = POLICY.read(root, "", problems)
        policy = _policy(text, values)
        _check_whole(root, policy, problems)
    except Wrong:
        pass
    if problems:
        raise PolicyError(tuple(sorted(problems, key=lambda item: (item.line, item.column))))
    return policy


def _policy(text: str, values: dict[str, Any]) -> Policy:
    filters = values.get("filters", {})
    labels = filters.get("labels", {})
    return Policy(
        name=values["name"],
        text=text,
        description=values.get("description", ""),
        filters=Filters(
            vcpus_ratio=filters.get("vcpus", {}).get("ratio"),
            memory_ratio=filters.get("memory", {}).get("ratio"),
            disk_ratio=filters.get("disk", {}).get("ratio"),
            max_vms=filters.get("max_vms"),
            fresh_within_s=filters.get("fresh_within_s"),
            accelerator=filters.get("accelerator", "any"),
            native=filters.get("native", False),
            cpu_features=filters.get("cpu_features", ()),
            image_cached=filters.get("image_cached", False),
            require_labels=_rules(labels.get("require", {})),
            refuse_labels=_rules(labels.get("refuse", {})),
        ),
        terms=tuple(Term(expression=term.pop("metric"), **term) for term in map(dict, values["score"])),
        power=PowerModel(**values.get("power", {})),
    )


def _rules(labels: dict[str, tuple[str, ...]]) -> tuple[LabelRule, ...]:
    return tuple(LabelRule(label=label, values=values) for label, values in labels.items())


def _check_whole(root: yaml.MappingNode, policy: Policy, problems: Problems) -> None:
    """What no single value can know."""
    nodes = {key.value: value for key, value in root.value}
    if policy.power.max_watts < policy.power.idle_watts:
        detail = "max_watts is less than idle_watts."
        problems.append(problem(nodes["power"], "power", "range", detail))
    refused = {(rule.label, value) for rule in policy.filters.refuse_labels for value in rule.values}
    for rule in policy.filters.require_labels:
        if all((rule.label, value) in refused for value in rule.values):
            detail = f"The label {rule.label} is required and refused with the same value: no host can be both."
            problems.append(problem(nodes["filters"], "filters.labels", "contradiction", detail))
    names = [term.name for term in policy.terms]
    for number, name in enumerate(names):
        if name in names[:number]:
            detail = f"{name} is weighed twice; write it once, with the sum of the weights."
            problems.append(problem(nodes["score"].value[number], f"score[{number}].metric", "duplicate", detail))


def policy_schema() -> dict[str, Any]:
    """JSON Schema for editors, generated from the grammar that is read with."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Cloudsite placement policy"}
    return {**head, **_without_empty(POLICY.schema())}


def _without_empty(schema: Any) -> Any:
    if isinstance(schema, dict):
        kept = {key: value for key, value in schema.items() if not (key in ("description", "required") and not value)}
        return {key: _without_empty(value) for key, value in kept.items()}
    return [_without_empty(item) for item in schema] if isinstance(schema, list) else schema


__all__ = ["PolicyError", "policy_read", "policy_schema"]
