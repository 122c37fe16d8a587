"""Statistics of measured times. Seconds in, milliseconds out in texts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Sample:
    """Some measured times, in seconds."""

    seconds: Sequence[float]

    def __post_init__(self) -> None:
        if not self.seconds:
            raise ValueError("nothing was measured")

    @property
    def median(self) -> float:
        return median(self.seconds)

    def percentile(self, percent: float) -> float:
        """By nearest rank: a time that was really measured, at or above which few others lie."""
        if not 0 < percent <= 100:
            raise ValueError("a percentile lies above 0 and at most at 100")
        rank = math.ceil(percent / 100 * len(self.seconds))
        return sorted(self.seconds)[rank - 1]

    @property
    def spread(self) -> float:
        """Between the quartiles: half of all times lie in so wide a range."""
        return self.percentile(75) - self.percentile(25)

    def __str__(self) -> str:
        return f"{milliseconds(self.median)} ± {milliseconds(self.spread / 2)} (n={len(self.seconds)})"

    def tail(self) -> str:
        """Median and p99, for what happens often."""
        p50, p99 = milliseconds(self.median), milliseconds(self.percentile(99))
        return f"p50 {p50}, p99 {p99} (n={len(self.seconds)})"


def milliseconds(seconds: float) -> str:
    """Three digits are enough to compare, and the rest is noise."""
    value = seconds * 1000
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f} ms"


def ratio(ours: Sample, peer: Sample) -> float:
    """How many times as long ours takes, by medians."""
    if peer.median <= 0:
        raise ValueError("the peer took no time")
    return ours.median / peer.median


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A target of the design and whether it is met. ``met`` None: it cannot be judged by this run."""

    text: str
    met: bool | None

    def __str__(self) -> str:
        word = {True: "met", False: "missed", None: "not measured"}[self.met]
        return f"{self.text}: {word}"


def at_most(value: float, limit: float, text: str) -> Limit:
    """A target that is met below or at a limit."""
    return Limit(text=text, met=value <= limit)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table."""

    work: str
    ours: str
    peer: str
    ratio: str
    must: Limit | None = None
    moonshot: Limit | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one benchmark found: lines of the table, remarks below it, and what was checked afterwards."""

    lines: Sequence[Line]
    notes: Sequence[str] = ()
    checked: Sequence[str] = ()
