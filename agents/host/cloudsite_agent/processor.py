"""How busy the processors of the host are: /proc/stat, /proc/loadavg and /proc/pressure."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from .kept_file import KeptFile

MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
"""The order of /proc/stat. Time in guests is in ``user`` already."""
IDLE, IOWAIT, STEAL = MODES.index("idle"), MODES.index("iowait"), MODES.index("steal")
PRESSURES = ("cpu", "memory", "io")
SOME = re.compile(rb"^some avg10=(\d+(?:\.\d+)?)", re.MULTILINE)

Times = list[int]
"""Ticks per mode."""


class Processor:
    """Reads and compares; ``times`` is the last reading, with the whole machine under the name ``cpu``."""

    def __init__(self, proc: Path) -> None:
        self.times: dict[str, Times] = {}
        self._stat = KeptFile(proc / "stat")
        self._load = KeptFile(proc / "loadavg")
        self._pressures = {name: KeptFile(proc / "pressure" / name) for name in PRESSURES}

    def values(self, *, cores: bool) -> dict[str, Any]:
        """Shares of the time since the last call, 0..1; none at the first."""
        old, self.times = self.times, self._read()
        found: dict[str, Any] = {"cpu": None, "iowait": None, "steal": None, "load1": self._load_average()}
        if whole := shares(old.get("cpu"), self.times.get("cpu")):
            found |= {"cpu": busy(whole), "iowait": round(whole[IOWAIT], 4), "steal": round(whole[STEAL], 4)}
        for name, file in self._pressures.items():
            found[f"psi_{name}"] = _pressure(file)
        if cores:
            found["cores"] = self._cores(old)
        return found

    def _cores(self, old: dict[str, Times]) -> list[float | None] | None:
        names = sorted((name for name in self.times if name != "cpu"), key=lambda name: int(name[3:]))
        compared = [shares(old.get(name), self.times[name]) for name in names]
        return [busy(share) if share else None for share in compared] if any(compared) else None

    def _read(self) -> dict[str, Times]:
        try:
            text = self._stat.read()
        except OSError:
            return {}
        found = {}
        for line in text.split(b"\n"):
            if not line.startswith(b"cpu"):
                break  # the processors come first; interrupts below are long
            name, *numbers = line.split()
            try:
                times = [int(number) for number in numbers[: len(MODES)]]
            except ValueError:
                continue
            label = name.decode("ascii", "replace")
            if len(times) == len(MODES) and (label == "cpu" or label[3:].isdecimal()):
                found[label] = times
        return found

    def _load_average(self) -> float | None:
        try:
            average = float(self._load.read().split()[0])
        except (OSError, ValueError, IndexError):
            return None
        return average if math.isfinite(average) else None


def shares(old: Times | None, new: Times | None) -> list[float] | None:
    """What part of the time passed in each mode. The kernel lets idle times go back a little now and then."""
    if old is None or new is None:
        return None
    grown = [max(0, now - then) for now, then in zip(new, old, strict=True)]
    total = sum(grown)
    return [value / total for value in grown] if total else None


def busy(share: list[float]) -> float:
    """The part that was neither idle nor waiting for a disk."""
    return round(1 - share[IDLE] - share[IOWAIT], 4)


def _pressure(file: KeptFile) -> float | None:
    try:
        found = SOME.search(file.read())
    except OSError:  # a kernel without it, or with it switched off
        return None
    return float(found[1]) if found else None
