"""One guest: its QEMU process, and the tap interfaces that process holds."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .counters import LEAST_SECONDS, rates
from .interfaces import Traffic
from .kept_file import KeptFile

NAMES = (b"qemu", b"kvm")
"""How the program's name begins, at Debian's and at others. It is read first: to read the command line of any
process may block for as long as that process is stuck, and so may only be done for what may be a guest."""
MOST_COMMAND = 65536
MOST_DESCRIPTORS = 4096
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
USER_TIME, SYSTEM_TIME, RESIDENT = 11, 12, 21
"""Places in /proc/PID/stat, counted behind the name of the program."""
LOOK_AGAIN = 60.0
"""Seconds after which interfaces are looked for again: some are plugged in while a guest runs."""
FIRST_LOOKS = 3


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What the command line of QEMU says: our UUID, and libvirt's name, which only people need."""

    uuid: str
    name: str


def identify(process: Path) -> Identity | None:
    """The guest that this process is; None for every other process."""
    try:
        if not (process / "comm").read_bytes().startswith(NAMES):
            return None
        with (process / "cmdline").open("rb") as file:
            words = file.read(MOST_COMMAND).split(b"\0")
    except OSError:
        return None
    if not os.path.basename(words[0]).startswith(NAMES):  # noqa: PTH119  # bytes
        return None
    try:
        found = str(uuid.UUID(_option(words, b"-uuid")))
    except ValueError:
        return None
    return Identity(uuid=found, name=_name(_option(words, b"-name")))


def _option(words: list[bytes], option: bytes) -> str:
    """The word behind an option; empty where there is none."""
    position = words.index(option) + 1 if option in words else len(words)
    return words[position].decode("utf-8", "replace") if position < len(words) else ""


def _name(text: str) -> str:
    """Of ``guest=NAME,debug-threads=on`` the name."""
    first = text.split(",", 1)[0].removeprefix("guest=")
    return first[:255]


class Guest:
    """Descriptors stay open while the process lives; its number may then go to another one without harm.

    ``seconds_used``, ``resident``, ``storage`` and ``taps`` are the last readings.
    """

    def __init__(self, process: Path, identity: Identity) -> None:
        self.uuid, self.name = identity.uuid, identity.name
        self.seconds_used: float | None = None
        self.resident: int | None = None
        self.storage: dict[str, tuple[int, int]] = {}
        self.taps: Traffic = {}
        self._process = process
        self._stat = KeptFile(process / "stat")
        self._io: KeptFile | None = None
        self._tap_names: set[str] = set()
        self._looks = 0
        self._looked = float("-inf")
        self._at = float("-inf")

    def values(self, *, traffic: Traffic, now: float) -> dict[str, Any] | None:
        """What it used since the last call; None when the process has ended."""
        if self._looks < FIRST_LOOKS or now - self._looked >= LOOK_AGAIN:
            self._look(now)
        try:
            stat = self._stat.read()
        except OSError:
            return None
        seconds, self._at = now - self._at, now
        old_used, old_storage, old_taps = self.seconds_used, self.storage, self.taps
        self.seconds_used, self.resident = _usage(stat)
        self.storage = self._read_storage()
        self.taps = {name: traffic[name] for name in self._tap_names if name in traffic}
        disk_read, disk_write = rates(old_storage, self.storage, seconds) or (None, None)
        received_by_host, sent_by_host = rates(old_taps, self.taps, seconds) or (None, None)
        return {
            "cpu": _cores_used(old_used, self.seconds_used, seconds),
            "memory": self.resident,
            "disk_read": disk_read,
            "disk_write": disk_write,
            "net_receive": sent_by_host,  # what the host sends into a tap is what the guest receives
            "net_transmit": received_by_host,
        }

    def close(self) -> None:
        self._stat.close()
        if self._io is not None:
            self._io.close()

    def _look(self, now: float) -> None:
        """Find out what may change while the guest runs, or may only become readable later."""
        self._looks += 1
        self._looked = now
        self._tap_names = set(taps_of(self._process))
        if self._io is None:
            self._io = KeptFile(self._process / "io")

    def _read_storage(self) -> dict[str, tuple[int, int]]:
        """Bytes that really went from and to storage. Without the right to read it, it is tried again later."""
        if self._io is None:
            return {}
        try:
            lines = dict(line.split(b": ", 1) for line in self._io.read().splitlines())
            return {"storage": (int(lines[b"read_bytes"]), int(lines[b"write_bytes"]))}
        except (OSError, ValueError, KeyError):
            self._io.close()
            self._io = None
            return {}


def taps_of(process: Path) -> list[str]:
    """The names of the tap interfaces a process holds open, which the kernel tells beside the descriptor."""
    directory = process / "fd"
    try:
        descriptors = os.listdir(directory)[:MOST_DESCRIPTORS]  # noqa: PTH208  # often
    except OSError:
        return []
    names = []
    for descriptor in descriptors:
        try:
            if os.readlink(directory / descriptor).endswith("/net/tun"):  # noqa: PTH115  # often
                text = (process / "fdinfo" / descriptor).read_bytes()
                names += [line[4:].strip().decode() for line in text.splitlines() if line.startswith(b"iff:")]
        except (OSError, ValueError):
            continue
    return names


def _usage(stat: bytes) -> tuple[float | None, int | None]:
    """Processor seconds and resident bytes. The program's name is in brackets and may hold any byte, brackets too."""
    fields = stat[stat.rfind(b")") + 1 :].split()
    try:
        ticks = int(fields[USER_TIME]) + int(fields[SYSTEM_TIME])
        return ticks / TICKS, int(fields[RESIDENT]) * PAGE
    except (ValueError, IndexError):
        return None, None


def _cores_used(old: float | None, new: float | None, seconds: float) -> float | None:
    if old is None or new is None or new < old or seconds < LEAST_SECONDS:
        return None
    return round((new - old) / seconds, 4)
