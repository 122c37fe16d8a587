"""One open libvirt connection, used by one call at a time.

libvirt before 10.3 lets a thread run into another's stack when two of them are inside calls on one connection
that breaks (CVE-2024-4418; the process dies, seen with 9.0). It also frees a connection that is closed under
a thread that still waits on it. So a link has one user, who alone may close it, and calls in parallel have a
link each.
"""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import libvirt

from hypervisor.errors import HostUnreachable
from hypervisor.libvirt_driver import event_loop
from hypervisor.libvirt_driver.faults import translate
from hypervisor.specs import ConnectionSettings, HostAddress
from hypervisor.ssh_files import ensure_ssh_files

log = logging.getLogger("hypervisor")
_TLS_PORT: Final = 16514
_NO_SUPPORT: Final = libvirt.VIR_ERR_NO_SUPPORT


class Link:
    """`on_loss`, when set, is told once from libvirt's event thread that the host closed the link or fell
    silent.
    """

    def __init__(self, virt: libvirt.virConnect) -> None:
        self.virt = virt
        self.used_at = time.monotonic()
        self.on_loss: Callable[[str], None] | None = None
        self._callbacks: list[int] = []

    def is_alive(self) -> bool:
        """Asks the socket, not the host."""
        with contextlib.suppress(libvirt.libvirtError):
            return self.virt.isAlive() == 1
        return False

    def listen(self, deliver: Callable[..., None], on_loss: Callable[[str], None]) -> None:
        """Deliver the lifecycle events of all domains."""
        self.on_loss = on_loss
        event = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
        self._callbacks.append(self.virt.domainEventRegisterAny(None, event, deliver, None))

    def lost(self, why: str) -> None:
        log.info("host connection lost", extra={"reason": why})
        if self.on_loss is not None:
            self.on_loss(why)

    def close(self) -> None:
        """Closing speaks to the host, so it may block, so nobody waits for it."""
        threading.Thread(target=self._close, name="host-close", daemon=True).start()

    def _close(self) -> None:
        """Callbacks hold references; left in place they would keep the socket open for ever."""
        for callback in self._callbacks:
            with contextlib.suppress(libvirt.libvirtError):
                self.virt.domainEventDeregisterAny(callback)
        with contextlib.suppress(libvirt.libvirtError):
            self.virt.unregisterCloseCallback()
        with contextlib.suppress(libvirt.libvirtError):
            self.virt.close()


def open_link(address: HostAddress, uri: str, settings: ConnectionSettings) -> Link:
    """Connect. Blocks as long as libvirt does, so it belongs into a call that can be abandoned."""
    event_loop.ensure_running()
    if address.transport == "ssh":
        ensure_ssh_files(settings)
    _knock(address, settings)
    started = time.monotonic()
    try:
        virt = libvirt.open(uri)
        link = Link(virt)
        with _tolerating_test_driver():
            virt.registerCloseCallback(lambda _virt, reason, _: link.lost(f"reason {reason}"), None)
        with _tolerating_test_driver():
            virt.setKeepAlive(settings.keepalive_interval, settings.keepalive_count)
    except libvirt.libvirtError as error:
        raise translate(error) from error
    seconds = round(time.monotonic() - started, 3)
    log.info("host connection opened", extra={"host": address.host, "seconds": seconds})
    return link


def _knock(address: HostAddress, settings: ConnectionSettings) -> None:
    """TLS: libvirt has no limit of its own on connecting; a host that is off would hold a thread for two
    minutes.
    """
    if address.transport != "tls":
        return
    endpoint = (address.host, address.port or _TLS_PORT)
    try:
        socket.create_connection(endpoint, timeout=settings.connect_timeout).close()
    except OSError as error:
        raise HostUnreachable(f"cannot connect to {endpoint[0]} port {endpoint[1]}: {error}") from error


@contextlib.contextmanager
def _tolerating_test_driver() -> Iterator[None]:
    """libvirt's in-process test driver has no socket that could die."""
    try:
        yield
    except libvirt.libvirtError as error:
        if error.get_error_code() != _NO_SUPPORT:
            raise
