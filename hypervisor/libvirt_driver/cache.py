"""The drivers of one process: one per host, shared by its threads, their connections closed when idle for
minutes.
"""

import os
import threading
from typing import Final

from hypervisor.libvirt_driver.driver import LibvirtHypervisor
from hypervisor.specs import ConnectionSettings, HostAddress

_TIDY_SECONDS: Final = 30.0


class DriverCache:
    """Ask it for every use; a changed address is another host."""

    def __init__(self, settings: ConnectionSettings, installation: str) -> None:
        self._settings = settings
        self._installation = installation
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._drivers: dict[HostAddress, LibvirtHypervisor] = {}
        self._tidying = False

    def get(self, address: HostAddress) -> LibvirtHypervisor:
        if self._pid != os.getpid():
            self._begin_after_fork()
        with self._lock:
            if address not in self._drivers:
                self._drivers[address] = LibvirtHypervisor(address, self._settings, self._installation)
            if not self._tidying:
                self._tidying = True
                threading.Thread(target=self._tidy, name="host-tidy", daemon=True).start()
            return self._drivers[address]

    def _begin_after_fork(self) -> None:
        """The parent's drivers keep their state; a driver notices the fork by itself, the thread and the
        lock do not.
        """
        drivers = self._drivers
        self._begin()
        self._drivers = drivers

    def forget(self, address: HostAddress) -> None:
        """The host was removed, or trust in it changed: whoever asks again connects anew."""
        with self._lock:
            driver = self._drivers.pop(address, None)
        if driver is not None:
            driver.close()

    def close_idle(self) -> None:
        with self._lock:
            drivers = list(self._drivers.values())
        for driver in drivers:
            driver.close_if_idle()

    def _tidy(self) -> None:
        pause = threading.Event()
        while not pause.wait(_TIDY_SECONDS):
            self.close_idle()
