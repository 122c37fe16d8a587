"""The shipped nginx configuration, in a real nginx in front of a real upstream."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Origin, Subprotocol

from bootstrap.commands import run
from bootstrap.settings import CODE_DIR
from bootstrap.waiting import wait_until

CONFIGURATION = CODE_DIR / "deploy" / "nginx" / "cloudsite.conf"


class Echo(BaseHTTPRequestHandler):
    """Answers with the headers and the number of body bytes it was sent."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        size = len(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        body = json.dumps({"size": size, **{key.lower(): value for key, value in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class Proxy:
    plain_port: int
    secure_port: int

    def ask(
        self, path: str, *, method: str = "GET", body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.secure_port, timeout=10, context=context)
        try:
            connection.request(method, path, body=body, headers={"Host": "cloud.example.org", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def filled_in(text: str, directory: Path, *, upstream: int, plain: int, secure: int) -> str:
    """The shipped file with what its reader is told to change, and ports that need no root."""
    for old, new in {
        "server 127.0.0.1:8420;": f"server 127.0.0.1:{upstream};",
        "/etc/ssl/cloudsite": str(directory),
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{secure} ssl http2;",
        "listen [::]:80;": "",
        "listen [::]:443 ssl http2;": "",
    }.items():
        assert old in text, f"the shipped file has no {old!r}"
        text = text.replace(old, new)
    return text


@pytest.fixture
def proxy(short_dir: Path) -> Iterator[Proxy]:
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    with nginx(short_dir, upstream.server_port) as running:
        yield running
    upstream.shutdown()
    upstream.server_close()


@contextmanager
def nginx(short_dir: Path, upstream: int) -> Iterator[Proxy]:
    """A real one with the shipped configuration, before an upstream on this port."""
    plain, secure = free_ports(2)
    key, certificate = short_dir / "privkey.pem", short_dir / "fullchain.pem"
    openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    run([*openssl, "-keyout", str(key), "-out", str(certificate)], timeout=60)
    site = filled_in(CONFIGURATION.read_text(), short_dir, upstream=upstream, plain=plain, secure=secure)
    (short_dir / "cloudsite.conf").write_text(site)
    temporary = "".join(
        f"{kind}_temp_path {short_dir}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    (short_dir / "nginx.conf").write_text(
        f"{user}daemon off;\nworker_processes 1;\npid {short_dir}/nginx.pid;\nerror_log {short_dir}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}include {short_dir}/cloudsite.conf;\n}}\n"
    )
    process = subprocess.Popen(
        ["/usr/sbin/nginx", "-p", str(short_dir), "-c", str(short_dir / "nginx.conf")],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert wait_until(lambda: process.poll() is not None or listens(secure), timeout=15)
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        yield Proxy(plain_port=plain, secure_port=secure)
    finally:
        process.terminate()
        process.communicate(timeout=15)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_websocket_passes_in_both_directions(short_dir: Path) -> None:
    def echo(socket: ServerConnection) -> None:
        seen = socket.request.headers if socket.request else {}
        socket.send(f"{seen['Host']} {seen['Origin']} {seen['X-Forwarded-For']}")
        for message in socket:
            socket.send(message)

    def agree(_socket: ServerConnection, offered: list[Subprotocol]) -> Subprotocol | None:
        return offered[0]

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    console = "cloudsite.console.v1"
    with serve(echo, "127.0.0.1", 0, select_subprotocol=agree, compression=None) as upstream:
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        with (
            nginx(short_dir, upstream.socket.getsockname()[1]) as proxy,
            connect(
                "wss://cloud.example.org/console/00000000-0000-0000-0000-000000000000/",
                sock=socket.create_connection(("127.0.0.1", proxy.secure_port)),
                ssl=context,
                origin=Origin("https://cloud.example.org"),
                subprotocols=[Subprotocol(console), Subprotocol("ticket.x")],
            ) as client,
        ):
            assert client.subprotocol == console
            assert client.recv(timeout=10) == "cloud.example.org https://cloud.example.org 127.0.0.1"
            client.send(bytes(range(256)) * 256)
            assert client.recv(timeout=10) == bytes(range(256)) * 256
        upstream.shutdown()


def test_only_what_nginx_saw_is_handed_on(proxy: Proxy) -> None:
    lies = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "evil.example", "Forwarded": "for=203.0.113.9"}
    status, headers, body = proxy.ask("/vms/", headers={**lies, "X-Forwarded-Proto": "http"})
    seen = json.loads(body)
    assert status == 200
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "https"
    assert seen["host"] == "cloud.example.org"
    assert "x-forwarded-host" not in seen and "forwarded" not in seen
    assert headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize("path", ["/sign-in/", "/admin/login/", "/api/v1/token/"])
def test_trying_passwords_is_slowed_down(proxy: Proxy, path: str) -> None:
    statuses = Counter(proxy.ask(path, method="POST", body=b"x")[0] for _ in range(20))
    assert statuses[200] in (6, 7), "one request and a burst of five (and one more if the run was slow)"
    assert statuses[429] == 20 - statuses[200]
    assert proxy.ask("/vms/")[0] == 200, "whoever is slowed down there can still use the rest"


def test_other_pages_allow_what_a_page_that_polls_needs(proxy: Proxy) -> None:
    assert {proxy.ask("/api/v1/token/refresh/")[0] for _ in range(20)} == {200}


def test_bodies_are_limited_except_for_files_of_images(proxy: Proxy) -> None:
    large = bytes(3 * 1024 * 1024)
    for path in ("/api/v1/vms/", "/api/v1/images/", "/images/new/"):
        assert proxy.ask(path, method="POST", body=large)[0] == 413
    file = "/api/v1/images/00000000-0000-0000-0000-000000000000/file/"
    status, _, body = proxy.ask(file, method="PUT", body=large)
    assert (status, json.loads(body)["size"]) == (200, len(large))


def test_plain_http_leads_to_https(proxy: Proxy) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.plain_port, timeout=10)
    connection.request("GET", "/vms/?page=2", headers={"Host": "cloud.example.org"})
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Location")) == (301, "https://cloud.example.org/vms/?page=2")
    connection.close()
