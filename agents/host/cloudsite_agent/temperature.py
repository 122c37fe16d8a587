"""The hottest sensor of the processors: /sys/class/hwmon and /sys/class/thermal."""

from __future__ import annotations

from pathlib import Path

from .kept_file import NumberFile

CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", "scpi_sensors")
"""Drivers of processors. Disks and graphics cards have sensors too, some of which are slow to ask."""
PLAUSIBLE = range(-50_000, 150_000)
"""Millidegrees. A sensor that is not connected says 255 degrees, or minus 273."""


class Temperature:
    """The sensors are looked for once, at the start."""

    def __init__(self, sys: Path) -> None:
        found = [NumberFile(path) for path in sorted((sys / "class" / "thermal").glob("thermal_zone*/temp"))]
        for chip in sorted((sys / "class" / "hwmon").glob("hwmon*")):
            if chip_name(chip) in CHIPS:
                found += [NumberFile(path) for path in sorted(chip.glob("temp*_input"))]
        self._sensors = found

    def value(self) -> float | None:
        """Degrees Celsius."""
        readings = [sensor.number() for sensor in self._sensors]
        plausible = [reading for reading in readings if reading is not None and reading in PLAUSIBLE]
        return max(plausible) / 1000 if plausible else None


def chip_name(directory: Path) -> str:
    """What a hwmon device calls itself."""
    try:
        return (directory / "name").read_text(errors="replace").strip()
    except OSError:
        return ""
