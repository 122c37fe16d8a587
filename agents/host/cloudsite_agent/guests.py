"""All guests of the host in one go: each costs two reads of /proc, and nobody else is asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .guest import Guest, identify
from .interfaces import Traffic

FIND_AGAIN = 60.0
"""Seconds after which every process is looked at again, since its number may belong to another one now."""
LOOKS = 3
"""So often a new process is looked at: libvirt's child becomes QEMU a moment after it was born."""


class Guests:
    """QEMU processes with ``-uuid``, found in /proc and kept by descriptor until they end."""

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._guests: dict[int, Guest] = {}
        self._others: dict[int, int] = {}
        self._found_all = float("-inf")

    def __iter__(self) -> Iterator[Guest]:
        return iter(list(self._guests.values()))

    def values(self, *, traffic: Traffic, now: float) -> dict[str, dict[str, Any]]:
        """By UUID. A process that ended in the meantime is left out."""
        self._find(now)
        found: dict[str, dict[str, Any]] = {}
        for pid, guest in sorted(self._guests.items()):
            values = guest.values(traffic=traffic, now=now)
            if values is None:
                self._guests.pop(pid).close()
            else:
                found.setdefault(guest.uuid, values)  # of two that claim one name, the older
        return found

    def close(self) -> None:
        for guest in self._guests.values():
            guest.close()
        self._guests.clear()
        self._others.clear()

    def _find(self, now: float) -> None:
        """Look at the processes that are new; the known ones cost nothing."""
        try:
            pids = {int(name) for name in os.listdir(self._proc) if name.isdecimal()}  # noqa: PTH208  # often
        except OSError:
            return
        for pid in self._guests.keys() - pids:
            self._guests.pop(pid).close()
        if now - self._found_all >= FIND_AGAIN:
            self._found_all = now
            self._others.clear()
        others = {pid: looks for pid, looks in self._others.items() if pid in pids}
        for pid in pids - self._guests.keys():
            looks = others.get(pid, 0)
            if looks >= LOOKS:
                continue
            others[pid] = looks + 1
            identity = identify(self._proc / str(pid))
            if identity is not None:
                self._guests[pid] = Guest(self._proc / str(pid), identity)
                del others[pid]
        self._others = others
