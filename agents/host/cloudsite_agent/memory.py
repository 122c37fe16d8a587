"""The memory of the host: /proc/meminfo."""

from __future__ import annotations

from pathlib import Path

from .kept_file import KeptFile

KEYS = (b"MemTotal", b"MemAvailable", b"SwapTotal", b"SwapFree")


class Memory:
    """In bytes."""

    def __init__(self, proc: Path) -> None:
        self._file = KeptFile(proc / "meminfo")

    def values(self) -> dict[str, int | None]:
        found = self._read()
        total, free = found.get(b"SwapTotal"), found.get(b"SwapFree")
        return {
            "memory_total": found.get(b"MemTotal"),
            "memory_available": found.get(b"MemAvailable"),
            "swap_total": total,
            "swap_used": None if total is None or free is None else max(0, total - free),
        }

    def _read(self) -> dict[bytes, int]:
        try:
            text = self._file.read()
        except OSError:
            return {}
        found = {}
        for line in text.split(b"\n"):
            key, _, rest = line.partition(b":")
            number, _, unit = rest.strip().partition(b" ")
            if key in KEYS and number.isdigit() and unit == b"kB":
                found[key] = int(number) * 1024
        return found
