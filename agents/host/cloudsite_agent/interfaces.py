"""What the network interfaces of the host received and sent: /proc/net/dev."""

from __future__ import annotations

from pathlib import Path

from .counters import rates
from .kept_file import KeptFile

Traffic = dict[str, tuple[int, int]]
"""Bytes received and sent by each interface, as the host sees them."""
LOOK_AGAIN = 60.0
"""Seconds after which a name may have become another interface."""


class Interfaces:
    """``traffic`` is the last reading of all interfaces, the tap interfaces of guests among them."""

    def __init__(self, proc: Path, sys: Path) -> None:
        self.traffic: Traffic = {}
        self._file = KeptFile(proc / "net" / "dev")
        self._class = sys / "class" / "net"
        self._physical: dict[str, bool] = {}
        self._looked = float("-inf")

    def values(self, seconds: float, now: float) -> dict[str, int | None]:
        """Bytes per second since the last call, summed over the interfaces with a device behind them."""
        old, self.traffic = self.traffic, self._read()
        if now - self._looked > LOOK_AGAIN:
            self._looked = now
            self._physical.clear()
        receive, transmit = rates(self.physical(old), self.physical(self.traffic), seconds) or (None, None)
        return {"net_receive": receive, "net_transmit": transmit}

    def physical(self, traffic: Traffic) -> Traffic:
        """No bridge, no tap, no loopback; of a bond its members."""
        return {name: values for name, values in traffic.items() if self._is_physical(name)}

    def _is_physical(self, name: str) -> bool:
        known = self._physical.get(name)
        if known is None:
            known = self._physical[name] = "/" not in name and (self._class / name / "device").exists()
        return known

    def _read(self) -> Traffic:
        try:
            text = self._file.read()
        except OSError:
            return {}
        found = {}
        for line in text.split(b"\n"):
            name, colon, rest = line.partition(b":")
            fields = rest.split()
            if colon and len(fields) >= 9 and fields[0].isdigit() and fields[8].isdigit():
                found[name.strip().decode("utf-8", "replace")] = (int(fields[0]), int(fields[8]))
        return found
