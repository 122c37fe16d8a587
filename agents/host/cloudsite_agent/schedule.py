"""When to sample and what: changed by the backend while the agent runs, kept across its restarts."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

SHORTEST, LONGEST = 1, 300
MOST_VERSION = 2**53


class UnusableSchedule(ValueError):
    """Somebody sent a schedule that cannot be followed; the text says which field and why."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Version 0 is what an agent does that was never told anything."""

    version: int = 0
    interval: int = 5
    guests: bool = True
    cores: bool = True

    @classmethod
    def parse(cls, document: object) -> Schedule:
        """:raises UnusableSchedule: for anything but exactly these fields with values that make sense."""
        if not isinstance(document, dict):
            raise UnusableSchedule("a schedule is an object")
        names = {field.name for field in fields(cls)}
        if wrong := names.symmetric_difference(document):
            known = "missing" if wrong <= names else "unknown"
            raise UnusableSchedule(f"{known}: {', '.join(sorted(str(name)[:50] for name in wrong))}")
        _number(document, "version", 0, MOST_VERSION)
        _number(document, "interval", SHORTEST, LONGEST)
        for name in ("guests", "cores"):
            if not isinstance(document[name], bool):
                raise UnusableSchedule(f"{name} is true or false")
        return cls(**document)


def _number(document: dict[str, object], name: str, least: int, most: int) -> None:
    value = document[name]
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UnusableSchedule(f"{name} is a whole number from {least} to {most}")


class ScheduleFile:
    """The schedule in force, in a file that is always whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            self.current = Schedule.parse(json.loads(path.read_bytes()))
        except (OSError, ValueError):
            self.current = Schedule()

    def adopt(self, document: object) -> bool:
        """Follow this one from now on; says whether it is another than the one in force.

        :raises UnusableSchedule: and goes on with the one in force.
        :raises OSError: when it could not be stored; it is in force all the same.
        """
        wanted = Schedule.parse(document)
        with self._lock:
            if wanted == self.current:
                return False
            self.current = wanted
            part = self._path.with_suffix(".part")
            with part.open("w") as file:
                json.dump(asdict(wanted), file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)
        return True


class Ticker:
    """Moments that lie on multiples of the interval, as the wall clock stood at the start; then only the monotonic
    clock counts, so that neither a late sample nor a clock that is set moves the ones after it.
    """

    def __init__(
        self,
        interval: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._monotonic, self._wall = monotonic, wall
        self.start(interval)

    def start(self, interval: float) -> None:
        """Begin at the next multiple of this interval."""
        self.interval = interval
        self._next = self._monotonic() + interval - self._wall() % interval

    def seconds_left(self) -> float:
        """Until the next moment; 0 when it has come."""
        return max(0.0, self._next - self._monotonic())

    def advance(self) -> int:
        """Take the moment that has come; says how many more have passed in the meantime, which are skipped."""
        missed = int((self._monotonic() - self._next) // self.interval)
        self._next += (missed + 1) * self.interval
        return max(0, missed)
