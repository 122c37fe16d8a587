"""The agent's own API, for the backend alone: what it sees now, and the schedule."""

from __future__ import annotations

import http.client
import http.server
import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, cast

from . import VERSION, openmetrics
from .identity import BACKEND, Credentials, names
from .schedule import UnusableSchedule
from .server import Bucket, Server
from .state import State

MOST_BODY = 16384
BURST, PER_SECOND = 40, 20.0
log = logging.getLogger("cloudsite_agent.api")


class Problem(Exception):
    """An answer that is not what was asked for (RFC 9457)."""

    def __init__(self, status: int, code: str, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class API(Server):
    """``origin`` is the one from which a browser's script may ask; None: none at all."""

    def __init__(self, address: tuple[str, int], credentials: Credentials, state: State, *, origin: str | None) -> None:
        self.state, self.origin = state, origin
        self.bucket = Bucket(burst=BURST, per_second=PER_SECOND)
        super().__init__(address, Handler, credentials)


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection. What a client without the right role wants is not even looked at."""

    protocol_version = "HTTP/1.1"
    server_version = f"cloudsite-agent/{VERSION}"
    sys_version = ""
    wbufsize = -1  # one packet for head and body
    disable_nagle_algorithm = True

    @property
    def api(self) -> API:
        return cast(API, self.server)

    def _answer(self) -> None:
        try:
            self._admit()
            body = self._body()
            content_type, content = self._route(body)
            self._send(200, content_type, content)
        except Problem as problem:
            self._send_problem(problem)

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = do_HEAD = _answer

    def do_OPTIONS(self) -> None:
        """A browser asks before it lets a script of another origin send something."""
        try:
            self._admit()
            self._body()
            allowed = {"Access-Control-Allow-Methods": "GET, PUT", "Access-Control-Allow-Headers": "Content-Type"}
            self._send(204, "", b"", allowed)
        except Problem as problem:
            self._send_problem(problem)

    # --- who may ask
    def _admit(self) -> None:
        """:raises Problem: for anybody but the backend, and for the backend when it asks too much."""
        certificate = self.connection.getpeercert()
        if not names(certificate, BACKEND):
            self.close_connection = True
            raise Problem(403, "wrong_role", "This certificate is not the backend's.")
        if not self.api.bucket.take():
            raise Problem(429, "throttled", "Too many requests.", Retry_After="1")
        origin = self.headers.get("Origin")
        if origin is not None and origin != self.api.origin:
            raise Problem(403, "wrong_origin", "Scripts of this origin may not ask.")

    def _body(self) -> bytes:
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True
            raise Problem(411, "length_required", "A Content-Length is wanted.")
        text = self.headers.get("Content-Length", "0")
        length = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
        if not 0 <= length <= MOST_BODY:
            self.close_connection = True
            raise Problem(413, "too_large", f"At most {MOST_BODY} bytes.")
        return self.rfile.read(length) if length else b""

    # --- what there is
    def _route(self, body: bytes) -> tuple[str, bytes]:
        methods = self._paths().get(self.path.partition("?")[0])
        if methods is None:
            raise Problem(404, "not_found", "There is nothing here.")
        answer = methods.get("GET" if self.command == "HEAD" else self.command)
        if answer is None:
            raise Problem(405, "method_not_allowed", "Not here.", Allow=", ".join(methods))
        return answer(body)

    def _paths(self) -> dict[str, dict[str, Callable[[bytes], tuple[str, bytes]]]]:
        state = self.api.state
        return {
            "/healthz": {"GET": lambda _: _json({"status": "ok"})},
            "/v1/status": {"GET": lambda _: _json(state.status())},
            "/v1/guests": {"GET": lambda _: _json(state.seen_guests())},
            "/v1/version": {"GET": lambda _: _json(state.version())},
            "/v1/schedule": {"GET": lambda _: _json(asdict(state.schedule.current)), "PUT": self._reschedule},
            "/metrics": {"GET": lambda _: (openmetrics.CONTENT_TYPE, openmetrics.page(state).encode())},
        }

    def _reschedule(self, body: bytes) -> tuple[str, bytes]:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Problem(400, "malformed", "The body is not JSON.") from error
        try:
            self.api.state.reschedule(document)
        except UnusableSchedule as error:
            raise Problem(422, "unusable_schedule", str(error)) from error
        return _json(asdict(self.api.state.schedule.current))

    # --- how it is said
    def _send(self, status: int, content_type: str, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.api.origin is not None:
            self.send_header("Vary", "Origin")
            if self.headers.get("Origin") == self.api.origin:
                self.send_header("Access-Control-Allow-Origin", self.api.origin)
        if content_type:
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _send_problem(self, problem: Problem) -> None:
        document = {
            "type": "about:blank",
            "title": http.server.BaseHTTPRequestHandler.responses[problem.status][0],
            "status": problem.status,
            "detail": problem.detail,
            "code": problem.code,
        }
        content = json.dumps(document).encode()
        self._send(problem.status, "application/problem+json", content, problem.headers)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the parent refuses by itself: lines too long, methods unknown, versions of the protocol."""
        self.close_connection = True
        self.request_version = "HTTP/1.1"  # whatever was asked for, an answer has a head
        self.command = getattr(self, "command", None) or "GET"
        self.headers = getattr(self, "headers", None) or http.client.HTTPMessage()
        self._send_problem(Problem(code, "malformed", message or "This is no request."))

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("request", extra={"fields": {"line": format % args, "address": self.client_address[0]}})


def _json(document: object) -> tuple[str, bytes]:
    return "application/json", json.dumps(document).encode()
