"""One sample of the host, put together from its parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .disks import Disks
from .energy import Energy
from .interfaces import Interfaces
from .memory import Memory
from .processor import Processor
from .temperature import Temperature


class Host:
    """The parts keep their last reading, from which the next sample's rates come."""

    def __init__(
        self, *, proc: Path, sys: Path, idle_watts: float | None = None, max_watts: float | None = None
    ) -> None:
        self.processor = Processor(proc)
        self.memory = Memory(proc)
        self.disks = Disks(proc, sys)
        self.interfaces = Interfaces(proc, sys)
        self.temperature = Temperature(sys)
        self.energy = Energy(sys, idle_watts=idle_watts, max_watts=max_watts)
        self._at = float("inf")

    def values(self, *, now: float, cores: bool) -> dict[str, Any]:
        """``now`` is of the monotonic clock."""
        seconds, self._at = now - self._at, now
        found = self.processor.values(cores=cores)
        found |= self.memory.values()
        found |= self.disks.values(seconds)
        found |= self.interfaces.values(seconds, now)
        found["temperature"] = self.temperature.value()
        return found | self.energy.values(now=now, cpu=found["cpu"])


def boot_id(proc: Path) -> str | None:
    """Changes with every start of the host."""
    try:
        return (proc / "sys/kernel/random/boot_id").read_text(errors="replace").strip()[:64]
    except OSError:
        return None
