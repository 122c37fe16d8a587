"""The serial console of one guest, over a stream on a link of its own.

The stream never blocks: what the guest prints and what is typed pass through callbacks of libvirt's event thread,
which alone uses the link while it is open (see `link`). What is typed waits here, up to a bound.
"""

import contextlib
import threading
from collections.abc import Callable
from typing import Final

import libvirt

from hypervisor.libvirt_driver.connection import Connection
from hypervisor.libvirt_driver.link import Link

MOST_PENDING: Final = 64 * 1024
_PIECE: Final = 64 * 1024
_PIECES_AT_ONCE: Final = 8  # then the other consoles of this process have their turn
_BROKEN: Final = libvirt.VIR_STREAM_EVENT_ERROR | libvirt.VIR_STREAM_EVENT_HANGUP
_LISTEN: Final = libvirt.VIR_STREAM_EVENT_READABLE | _BROKEN
_TALK: Final = _LISTEN | libvirt.VIR_STREAM_EVENT_WRITABLE

Open = Callable[[libvirt.virConnect, libvirt.virStream], None]


class LibvirtConsole:
    """`sink` gets what the guest prints, and `b""` once, when the console is over."""

    def __init__(self, connection: Connection, open_on: Open, sink: Callable[[bytes], None]) -> None:
        self._sink = sink
        self._lock = threading.Lock()
        self._pending = bytearray()
        self._over = False
        self._closed = False
        self._link, self._stream = connection.dedicate("open_console", lambda link: self._begin(link, open_on))

    def _begin(self, link: Link, open_on: Open) -> tuple[Link, libvirt.virStream]:
        stream = link.virt.newStream(libvirt.VIR_STREAM_NONBLOCK)
        open_on(link.virt, stream)
        stream.eventAddCallback(_LISTEN, self._ready, None)
        link.on_loss = lambda _why: self._end()
        return link, stream

    # --- in libvirt's event thread
    def _ready(self, stream: libvirt.virStream, events: int, _opaque: object) -> None:
        try:
            if events & libvirt.VIR_STREAM_EVENT_READABLE:
                self._receive(stream)
            if events & libvirt.VIR_STREAM_EVENT_WRITABLE:
                self._transmit(stream)
        except libvirt.libvirtError:
            self._end()
        if events & _BROKEN:
            self._end()

    def _receive(self, stream: libvirt.virStream) -> None:
        for _ in range(_PIECES_AT_ONCE):
            piece = stream.recv(_PIECE)
            if not isinstance(piece, bytes):
                return
            if not piece:
                self._end()
                return
            if not self._over:
                self._sink(piece)

    def _transmit(self, stream: libvirt.virStream) -> None:
        with self._lock:
            sent = stream.send(bytes(self._pending[:_PIECE])) if self._pending else 0
            del self._pending[: max(0, sent)]
            if not self._pending:
                stream.eventUpdateCallback(_LISTEN)

    def _end(self) -> None:
        """The guest, the host or another reader ended it; nobody is told twice."""
        with self._lock:
            first, self._over = not self._over, True
        if first:
            self._sink(b"")

    # --- in any thread
    def send(self, data: bytes) -> bool:
        with self._lock:
            if self._over:
                return True
            if len(self._pending) + len(data) > MOST_PENDING:
                return False
            self._pending += data
            with contextlib.suppress(libvirt.libvirtError):
                self._stream.eventUpdateCallback(_TALK)
        return True

    def close(self) -> None:
        with self._lock:
            first, self._closed, self._over = not self._closed, True, True
        if first:
            threading.Thread(target=self._close, name="console-close", daemon=True).start()

    def _close(self) -> None:
        """Ending the stream speaks to the host, so it may block, so nobody waits for it."""
        for act in (self._stream.eventRemoveCallback, self._stream.abort):
            with contextlib.suppress(libvirt.libvirtError):
                act()
        self._link.close()
