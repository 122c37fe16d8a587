"""What the physical disks of the host read and write: /proc/diskstats."""

from __future__ import annotations

from pathlib import Path

from .counters import rates
from .kept_file import KeptFile

SECTOR = 512
"""Bytes in what /proc/diskstats calls a sector, whatever the disk's own is."""
MOST_NAMES = 4096


class Disks:
    """Whole disks with a device behind them: no partition, no loop device, nothing that is made of other disks."""

    def __init__(self, proc: Path, sys: Path) -> None:
        self.counters: dict[str, tuple[int, int, int, int]] = {}
        self._file = KeptFile(proc / "diskstats")
        self._block = sys / "block"
        self._physical: dict[str, bool] = {}

    def values(self, seconds: float) -> dict[str, int | None]:
        """Bytes and requests per second since the last call."""
        old, self.counters = self.counters, self._read()
        read, write, reads, writes = rates(old, self.counters, seconds) or (None, None, None, None)
        return {"disk_read": read, "disk_write": write, "disk_read_ops": reads, "disk_write_ops": writes}

    def _read(self) -> dict[str, tuple[int, int, int, int]]:
        try:
            text = self._file.read()
        except OSError:
            return {}
        found = {}
        for line in text.split(b"\n"):
            fields = line.split()
            try:
                name = fields[2].decode("ascii")
                reads, sectors_read, writes, sectors_written = (int(fields[index]) for index in (3, 5, 7, 9))
            except (ValueError, IndexError):
                continue
            if self._is_physical(name):
                found[name] = (sectors_read * SECTOR, sectors_written * SECTOR, reads, writes)
        return found

    def _is_physical(self, name: str) -> bool:
        known = self._physical.get(name)
        if known is None:
            if len(self._physical) >= MOST_NAMES:
                self._physical.clear()
            known = self._physical[name] = "/" not in name and (self._block / name / "device").exists()
        return known
