"""Where nothing fits: the smallest changes after which something would."""

from dataclasses import dataclass

import numpy as np

from apps.placement.engine.decide import Decision
from apps.placement.engine.filters import FILTERS, RESOURCES, missing
from apps.placement.engine.snapshot import HostView

MOST_CHANGES = 3


@dataclass(frozen=True, kw_only=True)
class Change:
    """What would make one host fit: one sentence for each filter that rejects it now."""

    host: str
    filters: tuple[str, ...]
    words: str


def smallest_changes(decision: Decision, *, most: int = MOST_CHANGES) -> tuple[Change, ...]:
    """For the hosts that fail the fewest filters, and of those that lack the least. None where a host fits."""
    masks = decision.masks
    if decision.winner is not None or not masks or not len(decision.snapshot):
        return ()
    failed = np.sum([~mask for mask in masks.values()], axis=0)
    nearest = [int(index) for index in np.flatnonzero(failed == failed.min())]
    hosts = decision.snapshot.hosts
    nearest.sort(key=lambda index: (_lacks(decision, hosts[index]), hosts[index].name))
    return tuple(_change(decision, index) for index in nearest[:most])


def _lacks(decision: Decision, host: HostView) -> float:
    """How much of the demand the host has no room for; a closed door counts as much as half of it."""
    short = 0.0
    for resource in RESOURCES:
        lacking = missing(resource, host, decision.request, decision.policy)
        short += lacking / resource.needs(decision.request) if lacking else 0.0
    return short or 0.5


def _change(decision: Decision, index: int) -> Change:
    host = decision.snapshot.hosts[index]
    names = tuple(name for name, mask in decision.masks.items() if not mask[index])
    sentences = [item.change(host, decision.request, decision.policy) for item in FILTERS if item.name in names]
    return Change(host=host.name, filters=names, words="; and ".join(sentences))
