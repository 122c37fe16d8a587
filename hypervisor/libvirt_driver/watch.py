"""Lifecycle events of one host, until closed or lost."""

import threading
from collections.abc import Callable
from uuid import UUID

import libvirt

from hypervisor import names
from hypervisor.libvirt_driver import states
from hypervisor.libvirt_driver.connection import Connection
from hypervisor.libvirt_driver.link import Link
from hypervisor.specs import EventKind, HostEvent


class Watch:
    """A subscription with a link of its own. Delivers `disconnected` once when the host is lost, and
    nothing after.
    """

    def __init__(self, connection: Connection, sink: Callable[[HostEvent], None]) -> None:
        self._sink = sink
        self._over = threading.Event()
        self._link = connection.dedicate("watch", self._begin)

    def _begin(self, link: Link) -> Link:
        link.listen(self._deliver, self._lost)
        return link

    def _deliver(
        self, _virt: libvirt.virConnect, domain: libvirt.virDomain, event: int, detail: int, _opaque: object
    ) -> None:
        known = states.event_of(event, detail)
        name = domain.name()
        if known is None or self._over.is_set() or name.startswith(names.PROBE_PREFIX):
            return
        self._sink(HostEvent(kind=known[0], detail=known[1], uuid=UUID(bytes=domain.UUID()), name=name))

    def _lost(self, why: str) -> None:
        if not self._over.is_set():
            self._over.set()
            self._sink(HostEvent(kind=EventKind.DISCONNECTED, detail=why))
            self._link.close()

    def close(self) -> None:
        if not self._over.is_set():
            self._over.set()
            self._link.close()
