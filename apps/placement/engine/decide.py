"""Filter, weigh, choose. Ties go to the name that sorts first, so a decision can be repeated."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from apps.placement.engine.filters import FILTERS
from apps.placement.engine.snapshot import Bools, Floats, HostView, Request, Snapshot
from apps.placement.engine.terms import raw, terms_of, weighed
from apps.placement.policy.model import Policy

NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one term saw at a host, and what it added to its score."""

    term: str
    value: float
    adds: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was thought of one host: the filter that rejected it and why, or its score and where that is from."""

    host_id: str
    host: str
    rejected_by: str | None = None
    reason: str | None = None
    score: float | None = None
    shares: tuple[Share, ...] = ()


@dataclass(frozen=True, eq=False)
class Decision:
    """The outcome for every host, as columns; sentences are made when somebody asks."""

    snapshot: Snapshot
    request: Request
    policy: Policy
    fits: Bools
    scores: Floats

    @cached_property
    def _best_first(self) -> list[int]:
        order = np.argsort(-self.scores, kind="stable")
        return [int(index) for index in order[: int(self.fits.sum())]]

    @cached_property
    def winner(self) -> HostView | None:
        """The best host, or None. Cheaper than to order them all."""
        if not len(self.scores):
            return None
        best = int(np.argmax(self.scores))
        return self.snapshot.hosts[best] if self.fits[best] else None

    @property
    def best(self) -> HostView:
        """The winner of a decision that is known to have one."""
        assert self.winner is not None  # noqa: S101  # for the type checker
        return self.winner

    @property
    def candidates(self) -> tuple[HostView, ...]:
        """All hosts that fit, the best first."""
        return tuple(self.snapshot.hosts[index] for index in self._best_first)

    @property
    def runner_up(self) -> HostView | None:
        return self.snapshot.hosts[self._best_first[1]] if len(self._best_first) > 1 else None

    @property
    def margin(self) -> float | None:
        """By how much the winner is ahead."""
        if len(self._best_first) < 2:
            return None
        first, second = self._best_first[:2]
        return float(self.scores[first] - self.scores[second])

    def verdicts(self, *, most: int | None = None) -> tuple[Verdict, ...]:
        """Candidates best first, then the rejected by name; at most so many of each."""
        shown = self._best_first[:most]
        shares = self._shares(shown)
        fitting = [
            self._verdict(index, score=round(float(self.scores[index]), 6), shares=shares[index]) for index in shown
        ]
        return (*fitting, *(self._rejected(int(index)) for index in np.flatnonzero(~self.fits)[:most]))

    def _verdict(self, index: int, **more: Any) -> Verdict:
        host = self.snapshot.hosts[index]
        return Verdict(host_id=host.id, host=host.name, **more)

    def _shares(self, indices: list[int]) -> dict[int, tuple[Share, ...]]:
        terms = terms_of(self.request, self.policy)
        columns = [(term.name, raw(term, self.snapshot, self.request, self.policy), term) for term in terms]
        added = [(name, values, weighed(term, values, self.fits)) for name, values, term in columns]
        return {
            index: tuple(
                Share(term=name, value=round(float(values[index]), 6), adds=round(float(adds[index]), 6) + 0.0)
                for name, values, adds in added
            )
            for index in indices
        }

    @cached_property
    def masks(self) -> dict[str, Bools]:
        """What each filter said, for those that asked anything."""
        asked = ((item.name, item.passes(self.snapshot, self.request, self.policy)) for item in FILTERS)
        return {name: mask for name, mask in asked if mask is not None}

    def _rejected(self, index: int) -> Verdict:
        name = next(name for name, mask in self.masks.items() if not mask[index])
        host = self.snapshot.hosts[index]
        reason = next(item.reason for item in FILTERS if item.name == name)
        return self._verdict(index, rejected_by=name, reason=reason(host, self.request, self.policy))

    @cached_property
    def removed(self) -> dict[str, int]:
        """How many hosts each filter rejected, each host counted at the first filter that did."""
        left, counted = np.ones(len(self.snapshot), dtype=np.bool_), {}
        for name, mask in self.masks.items():
            if count := int((left & ~mask).sum()):
                counted[name] = count
            left &= mask
        return counted

    def summary(self) -> str:
        """Why no host fits, in one sentence."""
        indices = np.flatnonzero(~self.fits)
        reasons = [self._rejected(int(index)) for index in indices[:NAMED]]
        named = "; ".join(f"{verdict.host}: {verdict.reason}" for verdict in reasons)
        return named + (f"; and {len(indices) - NAMED} more" if len(indices) > NAMED else "")


def decide(*, hosts: Snapshot | Iterable[HostView], request: Request, policy: Policy) -> Decision:
    """Who may, and who is best. The same input gives the same decision, in whatever order the hosts come."""
    snapshot = hosts if isinstance(hosts, Snapshot) else Snapshot(hosts)
    fits = np.ones(len(snapshot), dtype=np.bool_)
    for item in FILTERS:
        mask = item.passes(snapshot, request, policy)
        if mask is not None:
            fits &= mask
    scores = np.zeros(len(snapshot))
    for term in terms_of(request, policy):
        scores += weighed(term, raw(term, snapshot, request, policy), fits)
    scores[~fits] = -np.inf
    return Decision(snapshot=snapshot, request=request, policy=policy, fits=fits, scores=scores)
