"""libvirt's event loop: one per process, in a thread of its own.

Without it no keepalive is sent and a frozen host blocks a call for ever (measured). It may only be started in
the process that uses it: its wake-up descriptor would be shared with a parent across a fork.
"""

import os
import threading

import libvirt

_lock = threading.Lock()
_owner: list[int] = []


def ensure_running() -> None:
    """Start it once. Has to come before the first connection of the process."""
    with _lock:
        if _owner and _owner[0] != os.getpid():
            raise RuntimeError("a connection to a host was opened before this process was forked")
        if _owner:
            return
        libvirt.registerErrorHandler(_ignore, None)
        libvirt.virEventRegisterDefaultImpl()
        _owner.append(os.getpid())
        threading.Thread(target=_run, name="libvirt-events", daemon=True).start()


def _ignore(_context: object, _error: object) -> None:
    """Errors arrive as exceptions; libvirt would print each to standard error too."""


def _run() -> None:
    """A timer that never ends keeps the loop from sleeping for ever on nothing."""
    libvirt.virEventAddTimeout(1000, lambda _timer, _opaque: None, None)
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            continue
