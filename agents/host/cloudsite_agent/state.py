"""What the agent knows at the moment, for those who ask: the sampler writes it, the API reads it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import VERSION
from .buffer import Buffer
from .guests import Guests
from .host import Host
from .push import Progress
from .schedule import ScheduleFile


@dataclass(kw_only=True)
class State:
    """``sample`` is replaced whole and never changed, so a reader needs no lock."""

    host: Host
    guests: Guests
    buffer: Buffer
    progress: Progress
    schedule: ScheduleFile
    reschedule: Callable[[object], None]
    boot_id: str | None
    machine_id: str | None
    sample: dict[str, Any] | None = None
    samples: int = 0
    missed: int = 0
    sampling_seconds: float = 0.0

    def version(self) -> dict[str, Any]:
        return {"agent": VERSION, "protocol": 1, "boot_id": self.boot_id, "machine_id": self.machine_id}

    def status(self) -> dict[str, Any]:
        """The newest sample of the host, and how the agent itself does."""
        sample = self.sample or {}
        return self.version() | {
            "time": round(time.time(), 3),
            "at": sample.get("at"),
            "host": sample.get("host"),
            "schedule": asdict(self.schedule.current),
            "sampling": {
                "samples": self.samples,
                "missed": self.missed,
                "last_milliseconds": round(self.sampling_seconds * 1000, 2),
            },
            "buffer": self.buffer.figures(),
            "push": asdict(self.progress),
        }

    def seen_guests(self) -> dict[str, Any]:
        sample = self.sample or {}
        return {"at": sample.get("at"), "guests": sample.get("guests", {})}


def machine_id(path: Path) -> str | None:
    """The machine's identity, hashed, since the plain one is nobody else's business (machine-id(5))."""
    try:
        text = path.read_bytes().strip()
    except OSError:
        return None
    return hashlib.sha256(text).hexdigest() if text else None
