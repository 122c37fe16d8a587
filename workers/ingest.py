"""The ingest: takes samples from host agents, on a port of its own that asks for a certificate.

Run as ``python -m workers.ingest``. Who sends is what the certificate says, never what the body says. The protocol is
in ``docs/agents.md``; what is kept, and how, is the business of ``apps.metrics``.
"""

import asyncio
import contextlib
import json
import os
import ssl
import time
import uuid
import zlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cloudsite.settings")
django.setup()

import structlog  # noqa: E402  # Django must be set up before models are imported
import uvicorn  # noqa: E402
from django.db import DatabaseError, close_old_connections, connections  # noqa: E402
from pydantic import ValidationError  # noqa: E402
from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: E402

from apps.envelope.problem import body_of  # noqa: E402
from apps.errors import AppError, Forbidden, Refused, Unavailable  # noqa: E402
from apps.hosts.certificates import AGENT_URI, pki_dir  # noqa: E402
from apps.metrics.batch import Batch  # noqa: E402
from apps.metrics.services import samples_store  # noqa: E402
from cloudsite.config import load  # noqa: E402
from workers.observations import now  # noqa: E402

log = structlog.get_logger(__name__)
PATH = "/v1/samples"
MOST_BYTES = 1024 * 1024
MOST_CONNECTIONS = 1000
MOST_WAITING = 64
WRITERS = 4
BODY_SECONDS = 20.0
BURST = 30.0
PER_SECOND = 2.0
"""Requests of one host: one each few seconds is usual, and a backlog of two days is 300 full batches."""

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class Malformed(AppError):
    status = 400
    title = "Malformed"


class NotHere(AppError):
    status = 404
    title = "Not found"


class TooLarge(AppError):
    status = 413
    title = "Too large"


class WrongType(AppError):
    status = 415
    title = "Unsupported media type"


class TooMany(AppError):
    status = 429
    title = "Too many requests"


class Protocol(H11Protocol):
    """Uvicorn's, which also tells the application whose certificate it was."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "host_id": host_of(transport.get_extra_info("peercert"))}


def host_of(certificate: dict[str, Any] | None) -> uuid.UUID | None:
    """The host that a checked certificate names; None for one of ours that is not an agent's."""
    names = [value for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "URI"]
    for name in names:
        if name.startswith(AGENT_URI):
            with contextlib.suppress(ValueError):
                return uuid.UUID(name.removeprefix(AGENT_URI))
    return None


class Bucket:
    """How many requests a host may still make; fills up again by itself."""

    def __init__(self) -> None:
        self.tokens = BURST
        self.at = time.monotonic()

    def take(self) -> bool:
        at = time.monotonic()
        self.tokens = min(BURST, self.tokens + (at - self.at) * PER_SECOND)
        self.at = at
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Ingest:
    """The ASGI application. Few requests are worked on at a time; beyond that the agents keep what they have."""

    def __init__(self) -> None:
        self.writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="writer")
        self.buckets: dict[uuid.UUID, Bucket] = {}
        self.waiting = 0

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self.waiting += 1
        try:
            status, content = 200, await self.answer(scope, receive)
        except AppError as error:
            status, content = error.status, body_of(error)
            if status != TooMany.status:
                log.info("ingest.refused", host_id=str(scope["state"].get("host_id")), code=error.code)
        finally:
            self.waiting -= 1
        await respond(send, status, content)

    async def answer(self, scope: dict[str, Any], receive: Receive) -> dict[str, Any]:
        host_id = scope["state"].get("host_id")
        if host_id is None:
            raise Forbidden("metrics.no_agent", "The certificate is not one of a host's agent.")
        if (scope["method"], scope["path"]) != ("POST", PATH):
            raise NotHere("request.not_found", f"There is nothing here but POST {PATH}.")
        if self.waiting > MOST_WAITING:
            raise Unavailable("metrics.busy", "Too many batches are being worked on. Try again.")
        if not self.buckets.setdefault(host_id, Bucket()).take():
            raise TooMany("metrics.too_fast", f"A host may send {PER_SECOND:g} batches each second. Try again.")
        headers = dict(scope["headers"])
        if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
            raise WrongType("request.media_type", "The body has to be application/json.")
        content = await read(headers, receive)
        return await asyncio.get_running_loop().run_in_executor(self.writers, store, host_id, content)


async def read(headers: dict[bytes, bytes], receive: Receive) -> bytes:
    """The whole body, unpacked, and never more than is allowed of either form."""
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"identity", b"gzip"):
        raise WrongType("request.encoding", "The body may be plain or gzip.")
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while (message := await receive())["type"] == "http.request":
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > MOST_BYTES:
                    raise TooLarge("request.too_large", f"A body has at most {MOST_BYTES} bytes.")
                if not message.get("more_body"):
                    break
    except TimeoutError:
        raise Malformed("request.slow", f"The body did not come within {BODY_SECONDS:g} s.") from None
    content = b"".join(parts)
    return unpack(content) if encoding == b"gzip" else content


def unpack(content: bytes) -> bytes:
    """Stops where there would be too much, so that a small body cannot become a large one."""
    unpacking = zlib.decompressobj(wbits=31)
    try:
        plain = unpacking.decompress(content, MOST_BYTES + 1)
    except zlib.error:
        raise Malformed("request.gzip", "The body is not what gzip makes.") from None
    if len(plain) > MOST_BYTES:
        raise TooLarge("request.too_large", f"A body has at most {MOST_BYTES} bytes when it is unpacked.")
    if not unpacking.eof or unpacking.unused_data:
        raise Malformed("request.gzip", "The body is not one whole piece of gzip.")
    return plain


def store(host_id: uuid.UUID, content: bytes) -> dict[str, Any]:
    """In a thread of its own: check the batch and keep it."""
    close_old_connections()
    try:
        stored = samples_store(host_id=host_id, batch=Batch.model_validate_json(content), now=now())
    except ValidationError as error:
        raise wrong(error) from None
    except DatabaseError as error:
        log.warning("ingest.database", host_id=str(host_id), reason=str(error))
        connections["default"].close()
        raise Unavailable("unavailable.database", "The samples could not be kept. Send them again.") from None
    return {
        "accepted": stored.accepted,
        "duplicates": stored.duplicates,
        "refused": stored.refused,
        "schedule": stored.schedule,
    }


def wrong(error: ValidationError) -> AppError:
    """What is wrong first, without repeating what was sent."""
    first = error.errors(include_input=False, include_url=False)[0]
    if first["type"] == "json_invalid":
        return Malformed("request.unparsable", "The body is not JSON.")
    place = ".".join(map(str, first["loc"]))[:100]
    return Refused("metrics.batch", f"{place}: {first['msg']}")


async def respond(send: Send, status: int, content: dict[str, Any]) -> None:
    kind = b"application/json" if status == 200 else b"application/problem+json"
    body = json.dumps(content, default=str).encode()
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    if status in (TooMany.status, Unavailable.status):
        headers.append((b"retry-after", b"2"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def tls_context() -> ssl.SSLContext:
    """TLS 1.3, and nobody without a certificate of our authority gets so far as to send a byte of HTTP."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(pki_dir() / "ingest.crt", pki_dir() / "ingest.key")
    context.load_verify_locations(pki_dir() / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def server(*, host: str, port: int) -> uvicorn.Server:
    """The server, not yet started."""
    config = uvicorn.Config(
        Ingest(),
        host=host,
        port=port,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=120,
        timeout_graceful_shutdown=5,
    )
    config.load()
    config.ssl = tls_context()
    return uvicorn.Server(config)


def main() -> None:
    """Take samples until told to stop: on the LAN where the dashboard is on it, else on loopback alone."""
    given = load()
    host = "0.0.0.0" if given.lan == "on" else "127.0.0.1"  # noqa: S104 - the LAN
    server(host=host, port=given.ingest_port).run()


if __name__ == "__main__":
    main()
