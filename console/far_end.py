"""The side of the host: a serial console or a screen, as something to read from and to write to."""

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Final, Protocol

from console.ending import Ended, Ending
from hypervisor.interface import SerialConsole

MOST_KEPT: Final = 256 * 1024
"""What a serial console has said and nobody has fetched yet. What comes beyond it is skipped, never piled up."""
PIECE: Final = 32 * 1024
_TAKES_SECONDS: Final = 20.0
_RETRY_SECONDS: Final = 0.05


class FarEnd(Protocol):
    async def read(self) -> tuple[bytes, int]:
        """What came, and how many bytes were skipped before it. ``b""`` at the end."""

    async def write(self, data: bytes) -> None:
        """Raises ``Ended`` when the guest does not take it."""

    def close(self) -> None: ...


class Serial:
    """Filled from a thread of the driver; a guest that floods its console costs no more than one that is silent."""

    def __init__(self, open_console: Callable[[Callable[[bytes], None]], SerialConsole]) -> None:
        """Blocks while the host is asked, so it is made in a thread; ``bind`` follows in the event loop's."""
        self._lock = threading.Lock()
        self._kept = bytearray()
        self._skipped = 0
        self._over = False
        self._wake: Callable[[], None] = lambda: None
        self._console = open_console(self._arrived)

    def bind(self) -> None:
        loop, self._came = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._wake = lambda: _wake(loop, self._came)
            self._came.set()

    def _arrived(self, piece: bytes) -> None:
        with self._lock:
            quiet = not self._kept
            if not piece:
                self._over = quiet = True
            elif len(self._kept) + len(piece) > MOST_KEPT:
                self._skipped += len(piece)
            else:
                self._kept += piece
            if quiet:
                self._wake()

    async def read(self) -> tuple[bytes, int]:
        while True:
            await self._came.wait()
            with self._lock:
                piece, skipped = bytes(self._kept[:PIECE]), self._skipped
                del self._kept[:PIECE]
                self._skipped = 0
                if not self._kept and not self._over:
                    self._came.clear()
                if piece or self._over:
                    return piece, skipped

    async def write(self, data: bytes) -> None:
        for _ in range(int(_TAKES_SECONDS / _RETRY_SECONDS)):
            if self._console.send(data):
                return
            await asyncio.sleep(_RETRY_SECONDS)
        raise Ended(Ending.TOO_MUCH)

    def close(self) -> None:
        self._console.close()


def _wake(loop: asyncio.AbstractEventLoop, came: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(came.set)


class Screen:
    """A socket: whoever does not read holds up the guest's VNC server and nobody else."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection

    async def read(self) -> tuple[bytes, int]:
        try:
            return await asyncio.get_running_loop().sock_recv(self._socket, PIECE), 0
        except OSError:
            return b"", 0

    async def write(self, data: bytes) -> None:
        try:
            await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(self._socket, data), _TAKES_SECONDS)
        except TimeoutError as error:
            raise Ended(Ending.TOO_MUCH) from error
        except OSError as error:
            raise Ended(Ending.ENDED) from error

    def close(self) -> None:
        self._socket.close()
