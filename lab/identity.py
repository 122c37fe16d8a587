"""Processes by identity: a pid with its start time, so that a reused pid is never mistaken for ours."""

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from lab.process import wait_until

KILL_SECONDS = 20


@dataclass(frozen=True)
class Identity:
    """One process, for as long as it lives."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "Identity":
        """The process that has `pid` now."""
        return cls(pid=pid, started=_start_time(pid) or 0)

    @classmethod
    def load(cls, path: Path) -> "Identity | None":
        """What `save` wrote, or None where nothing (complete) was written."""
        try:
            pid, started = path.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return cls(pid=int(pid), started=int(started))

    def save(self, path: Path) -> None:
        """Write it to a file."""
        path.write_text(f"{self.pid} {self.started}\n")

    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return self.started != 0 and _start_time(self.pid) == self.started

    def kill(self) -> None:
        """Kill it and wait until it is gone; the first process of a PID namespace takes all others along."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        wait_until(lambda: not self.alive(), timeout=KILL_SECONDS, what=f"the end of process {self.pid}")


def child_of(parent: int) -> int | None:
    """The pid of the first child of `parent`, if it has one yet."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) and int(fields[1]) == parent:
            return int(entry.name)
    return None


def _start_time(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[19]) if fields and fields[0] not in "ZX" else None


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third on (state, parent, ...); the name may contain anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
