"""A small real backend for agents: HTTPS with client certificates, which keeps every sample once."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import json
import socket
import ssl
import threading
from typing import Any

from agents.host.cloudsite_agent.identity import Credentials

SCHEDULE = {"version": 0, "interval": 5, "guests": True, "cores": True}
Script = list[int]
"""Statuses to answer with, one a request, before it works again. 0: hang up without an answer. HANG: after a while."""
HANG, HANG_SECONDS = -1, 2.2


class Backend(http.server.ThreadingHTTPServer):
    """``samples`` in the order in which they came first; ``bodies`` all that was ever sent."""

    daemon_threads = True

    def __init__(self, credentials: Credentials, *, port: int = 0) -> None:
        self.samples: dict[float, dict[str, Any]] = {}
        self.bodies: list[dict[str, Any]] = []
        self.duplicates = 0
        self.connections: list[Any] = []
        self.script: Script = []
        self.headers: dict[str, str] = {}
        self.schedule: object = SCHEDULE
        self.arrived = threading.Condition()
        super().__init__(("127.0.0.1", port), _Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(credentials.certificate, credentials.key)
        context.load_verify_locations(credentials.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def take(self, body: dict[str, Any]) -> dict[str, Any]:
        with self.arrived:
            self.bodies.append(body)
            new = [sample for sample in body["samples"] if sample["at"] not in self.samples]
            known = len(body["samples"]) - len(new)
            self.duplicates += known
            self.samples |= {sample["at"]: sample for sample in new}
            self.arrived.notify_all()
        return {"accepted": len(new), "duplicates": known, "refused": [], "schedule": self.schedule}

    def wait(self, count: int, *, seconds: float = 20.0) -> list[float]:
        """Until so many samples are here; when they were taken, in the order in which they came."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.samples) >= count, seconds), len(self.samples)
            return list(self.samples)

    def get_request(self) -> tuple[Any, Any]:
        request, address = super().get_request()
        self.connections.append(request)
        return request, address

    def close(self) -> None:
        """As when the process ends: the kept connections are gone, too."""
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A refused handshake is what some tests are about."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Backend

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.script.pop(0) if self.server.script else 200
        if status in (0, HANG):
            threading.Event().wait(HANG_SECONDS if status == HANG else 0)
            self.close_connection = True
            return
        if self.headers["Content-Encoding"] == "gzip":
            content = gzip.decompress(content)
        assert len(content) <= 2**20
        answer = self.server.take(json.loads(content)) if status == 200 else {"status": status}
        said = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""
