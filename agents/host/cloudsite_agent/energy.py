"""The power the host draws, and who says so: RAPL, a sensor, or a model of two numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .counters import LEAST_SECONDS
from .kept_file import NumberFile
from .temperature import chip_name

PACKAGE = re.compile(r"intel-rapl:\d+")
PART = re.compile(r"intel-rapl:\d+:\d+")
MOST_WATTS = 2000.0
"""Of one RAPL zone. A counter that was reset looks like one that wrapped around, after an impossible feat."""
LONGEST_SECONDS = 600.0
"""Between two readings. A counter may wrap around in 20 minutes; after a longer pause it may have done so twice."""
CHIPS = ("power_meter", "fam15h_power", "ina2", "ibmpowernv", "corsairpsu", "occ", "pmbus")
"""Sensors of the machine, its power supply or its processors; that of a graphics card is not the host's power."""


class Source(Protocol):
    """One way to know the power; its name goes into every sample."""

    @property
    def name(self) -> str: ...

    def watts(self, *, now: float, cpu: float | None) -> float | None: ...


@dataclass(frozen=True, kw_only=True)
class Zone:
    """One RAPL counter, in microjoules, which begins at 0 again after ``limit``."""

    counter: NumberFile
    limit: int


class Rapl:
    """Processor packages and their memory. What else is in the box is not counted."""

    name = "rapl"

    def __init__(self, zones: list[Zone]) -> None:
        self._zones = zones
        self._last: list[int | None] = []
        self._at = 0.0

    @classmethod
    def find(cls, sys: Path) -> Rapl | None:
        """None where there are no counters or they cannot be read (they are root's alone)."""
        zones = []
        for directory in sorted((sys / "class" / "powercap").glob("intel-rapl:*")):
            if not _is_counted(directory):
                continue
            zone = Zone(
                counter=NumberFile(directory / "energy_uj"),
                limit=NumberFile(directory / "max_energy_range_uj").number() or 0,
            )
            if zone.limit > 0 and zone.counter.number() is not None:
                zones.append(zone)
        return cls(zones) if zones else None

    def watts(self, *, now: float, cpu: float | None) -> float | None:
        """The mean since the last call; None when a zone could not be compared, since a part is not the whole."""
        readings = [zone.counter.number() for zone in self._zones]
        last, self._last = self._last, readings
        seconds, self._at = now - self._at, now
        if not last or not LEAST_SECONDS <= seconds <= LONGEST_SECONDS:
            return None
        total = 0.0
        for zone, old, new in zip(self._zones, last, readings, strict=True):
            used = None if old is None or new is None else consumed(old, new, zone.limit)
            if used is None or used / 1e6 / seconds > MOST_WATTS:
                return None
            total += used / 1e6 / seconds
        return round(total, 2)


def consumed(old: int, new: int, limit: int) -> int | None:
    """Microjoules between two readings of a counter that counts from 0 to ``limit`` and begins again."""
    if not (0 <= old <= limit and 0 <= new <= limit):
        return None
    return new - old if new >= old else new - old + limit + 1


def _is_counted(directory: Path) -> bool:
    """Packages, and memory, which is beside them; cores and graphics are inside a package, psys is around it."""
    label = chip_name(directory)
    if PACKAGE.fullmatch(directory.name):
        return label.startswith("package")
    return PART.fullmatch(directory.name) is not None and label == "dram"


class Sensor:
    """A power meter that the kernel knows (hwmon). Its average is preferred over the reading of one moment."""

    name = "hwmon"

    def __init__(self, file: NumberFile) -> None:
        self._file = file

    @classmethod
    def find(cls, sys: Path) -> Sensor | None:
        for kind in ("power1_average", "power1_input"):
            for chip in sorted((sys / "class" / "hwmon").glob("hwmon*")):
                file = NumberFile(chip / kind)
                if chip_name(chip).startswith(CHIPS) and file.number() is not None:
                    return cls(file)
        return None

    def watts(self, *, now: float, cpu: float | None) -> float | None:
        reading = self._file.number()  # microwatts
        return None if reading is None or reading < 0 else round(reading / 1e6, 2)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A straight line between what the owner measured: at rest and at full load."""

    idle_watts: float
    max_watts: float
    name: str = "model"

    def watts(self, *, now: float, cpu: float | None) -> float | None:
        return None if cpu is None else round(self.idle_watts + cpu * (self.max_watts - self.idle_watts), 2)


class Energy:
    """The best source there is, chosen at the start: measured before modelled."""

    def __init__(self, sys: Path, *, idle_watts: float | None, max_watts: float | None) -> None:
        model = None
        if idle_watts is not None and max_watts is not None:
            model = Model(idle_watts=idle_watts, max_watts=max_watts)
        self._source: Source | None = Rapl.find(sys) or Sensor.find(sys) or model

    def values(self, *, now: float, cpu: float | None) -> dict[str, float | str | None]:
        if self._source is None:
            return {"watts": None, "energy_source": None}
        return {"watts": self._source.watts(now=now, cpu=cpu), "energy_source": self._source.name}
