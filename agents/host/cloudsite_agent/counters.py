"""Counters that only grow, and how fast they did between two readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Counters = Mapping[str, Sequence[int]]
"""By name of the device; every device has the same counters in the same order."""
LEAST_SECONDS = 0.05
"""Two readings closer together than this say nothing about a rate."""


def rates(old: Counters, new: Counters, seconds: float) -> list[int] | None:
    """Each counter's growth per second, summed over the devices that are in both readings.

    A device that came or went, and one whose counters went back (it was replaced), count from the next reading on.
    None when there is nothing to compare.
    """
    if seconds < LEAST_SECONDS:
        return None
    sums: list[int] | None = None
    for name, values in new.items():
        before = old.get(name)
        if before is None:
            continue
        grown = [now - then for now, then in zip(values, before, strict=True)]
        if min(grown) < 0:
            continue
        sums = grown if sums is None else [total + value for total, value in zip(sums, grown, strict=True)]
    return None if sums is None else [round(total / seconds) for total in sums]
