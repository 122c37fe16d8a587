"""A small HTTPS server that a stranger cannot wear down: few threads, short times, small requests."""

from __future__ import annotations

import http.server
import logging
import socket
import socketserver
import ssl
import threading
import time
from typing import Any

from .identity import Credentials

THREADS = 16
THREADS_PER_ADDRESS = 4
SECONDS_IDLE = 10.0
"""For each read; a kept connection is closed when nothing came for so long."""
SECONDS_HANDSHAKE = 5.0
SECONDS_IN_ALL = 300.0
"""A connection may be as lively as it wants, at some time it has to begin anew."""
LOOK_EVERY = 2.0
log = logging.getLogger("cloudsite_agent.server")


class Bucket:
    """A rate limit: so many at once, and so many a second in the long run."""

    def __init__(self, *, burst: int, per_second: float) -> None:
        self._burst, self._per_second = burst, per_second
        self._left, self._at = float(burst), time.monotonic()
        self._lock = threading.Lock()

    def take(self) -> bool:
        with self._lock:
            now = time.monotonic()
            self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """The TLS handshake is done in the connection's own thread, so that a slow stranger blocks nobody else."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 32

    def __init__(
        self, address: tuple[str, int], handler: type[http.server.BaseHTTPRequestHandler], credentials: Credentials
    ) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self._credentials = credentials
        self._stamp: tuple[int, ...] = ()
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        self._ends: dict[socket.socket, tuple[str, float]] = {}
        self.context()  # certificates that cannot be read are said at the start
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Without asking a name server who we are, as the parent does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def context(self) -> ssl.SSLContext:
        """Made anew when the files of the certificate change."""
        with self._lock:
            stamp = self._credentials.stamp()
            if self._context is None or stamp != self._stamp:
                self._context, self._stamp = self._credentials.server(), stamp
            return self._context

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is a thread left for this one."""
        address = str(client_address[0])
        with self._lock:
            theirs = sum(other == address for other, _ in self._ends.values())
            if len(self._ends) >= THREADS or theirs >= THREADS_PER_ADDRESS:
                return False
            self._ends[request] = (address, time.monotonic() + SECONDS_HANDSHAKE)
        return True

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own. A stranger's handshake fails here, and is no error of ours."""
        try:
            request.settimeout(SECONDS_HANDSHAKE)
            with self.context().wrap_socket(request, server_side=True, do_handshake_on_connect=False) as secure:
                try:
                    self._watch(secure, instead_of=request, seconds=SECONDS_HANDSHAKE)
                    secure.do_handshake()
                    self._watch(secure, instead_of=secure, seconds=SECONDS_IN_ALL)
                    secure.settimeout(SECONDS_IDLE)
                    super().finish_request(secure, client_address)
                finally:
                    with self._lock:
                        self._ends.pop(secure, None)
        except OSError as error:
            log.debug("a connection failed: %s", error)

    def _watch(self, connection: socket.socket, *, instead_of: socket.socket, seconds: float) -> None:
        with self._lock:
            address, _ = self._ends.pop(instead_of)
            self._ends[connection] = (address, time.monotonic() + seconds)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._ends.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Hang up on connections whose time is over, however slowly they go on sending."""
        now = time.monotonic()
        with self._lock:
            over = [connection for connection, (_, end) in self._ends.items() if end < now]
        for connection in over:
            try:
                socket.socket.shutdown(connection, socket.SHUT_RDWR)  # beside the TLS that another thread uses
            except OSError:
                continue  # it hung up itself

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.exception("a request failed in an unforeseen way")

    def start(self) -> threading.Thread:
        thread = threading.Thread(target=self.serve_forever, args=(LOOK_EVERY,), name="api", daemon=True)
        thread.start()
        return thread
