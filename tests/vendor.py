"""A vendor's web server on loopback, as the imports see it."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Vendor:
    """What the server has, how it behaves, and what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.ranges = True
        self.most = 2**30  # bytes of one answer, then the connection ends
        self.port = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def answer(self, request: Any) -> None:
        path, wanted = request.path, request.headers.get("Range")
        self.asked.append((path, wanted))
        if path in self.redirects:
            request.send_response(302)
            request.send_header("Location", self.redirects[path])
            request.end_headers()
            return
        content = self.files.get(path)
        if content is None:
            request.send_error(404)
            return
        begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        request.send_response(206 if begin else 200)
        request.send_header("Content-Length", str(len(content) - begin))
        request.send_header("ETag", '"1"')
        request.end_headers()
        request.wfile.write(content[begin : begin + self.most])
        request.close_connection = True


@pytest.fixture
def vendor(settings: Any) -> Iterator[Vendor]:
    """Reachable because the settings of these tests say so, and by nothing else."""
    found = Vendor()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.answer(self)

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_address[1]
    settings.IMPORT_HTTP = True
    settings.IMPORT_PORTS = [found.port]
    settings.IMPORT_NETWORKS = ["127.0.0.0/8"]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join(5)
