"""Consoles of a fake host: the serial one echoes like a terminal, the screen sends its banner and echoes too."""

import socket
import threading
from collections.abc import Callable
from typing import Final
from uuid import UUID, uuid4

from hypervisor.fake.host import FakeHost
from hypervisor.fake.store import State
from hypervisor.specs import Power, Screenshot

MOST_PENDING: Final = 64 * 1024
BANNER: Final = b"RFB 003.008\n"
_POLL_SECONDS: Final = 0.02
_UP: Final = (Power.RUNNING, Power.PAUSED)


class FakeConsole:
    """Ends when the guest stops, the host goes away, or somebody else opens it, also in another process."""

    def __init__(self, host: FakeHost, state: State, uuid: UUID, sink: Callable[[bytes], None]) -> None:
        self._host, self._uuid, self._sink = host, uuid, sink
        self._reader = uuid4().hex
        self._pending = bytearray(b"\r\nfake login: ")
        self._lock = threading.Lock()
        self._over = threading.Event()
        state.put("console", str(uuid), {"reader": self._reader})
        threading.Thread(target=self._run, name="fake-console", daemon=True).start()

    def _run(self) -> None:
        while not self._over.wait(_POLL_SECONDS):
            with self._lock:
                said, self._pending = bytes(self._pending), bytearray()
            if said:
                self._sink(said)
            if not self._is_ours():
                self._over.set()
                self._sink(b"")

    def _is_ours(self) -> bool:
        with self._host.store.transaction() as state:
            reader = (state.get("console", str(self._uuid)) or {}).get("reader")
            domain = state.get("domain", str(self._uuid)) or {}
            reachable = bool((state.get("host", "facts") or {})["reachable"])
        return reader == self._reader and domain.get("power") in _UP and reachable

    def send(self, data: bytes) -> bool:
        with self._lock:
            if len(self._pending) + len(data) > MOST_PENDING:
                return False
            self._pending += data
        return True

    def close(self) -> None:
        self._over.set()


def open_screen() -> socket.socket:
    ours, theirs = socket.socketpair()
    threading.Thread(target=_serve, args=(theirs,), name="fake-screen", daemon=True).start()
    return ours


def _serve(connection: socket.socket) -> None:
    with connection:
        connection.sendall(BANNER)
        while piece := connection.recv(4096):
            connection.sendall(piece)


def screenshot() -> Screenshot:
    return Screenshot(media_type="image/x-portable-pixmap", content=b"P6\n2 1\n255\n" + bytes([255, 0, 0, 0, 0, 255]))
