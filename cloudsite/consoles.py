"""WebSockets of the one web port, passed on to the console process on its Unix socket.

Here stands the door for strangers: the address, and the origin of the page that opens it. Who is asking and with
which ticket is the console process's business, which alone reaches hosts.
"""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.http.request import split_domain_port
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from apps.compute.services.console import socket_path
from cloudsite.middleware import is_known

log = structlog.get_logger(__name__)
Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[Any]]
MOST_FRAME = 64 * 1024
MOST_FROM_HOST = 1024 * 1024
FRAMES_KEPT = 4
OPEN_SECONDS = 10.0
SLOW_SECONDS = 15.0  # the console process loses its patience a little earlier
PATH = re.compile(r"/console/[0-9a-f-]{36}/")
PASSED_ON = (b"cookie", b"authorization")
AWAY = 1013, "The console process does not answer. Connect again in a while."
TOO_SLOW = 4508, "The connection is too slow for what the machine shows."
TOO_BIG = 1009, "Only frames of at most 64 KiB are taken."


class Consoles:
    """ASGI: WebSockets go to the console process, everything else to the application."""

    def __init__(self, application: Callable[..., Awaitable[None]]) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self.application(scope, receive, send)
            return
        await receive()
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if not PATH.fullmatch(scope["path"]):
            await _refuse(send)
        elif not is_same_origin(headers):
            log.info("console.wrong_origin", origin=headers.get(b"origin", "")[:100])
            await _refuse(send)
        else:
            await _relay(scope, headers, receive, send)


def is_same_origin(headers: dict[bytes, str]) -> bool:
    """A page may open consoles of the site it came from. Programs send no origin, and no cookie by accident."""
    host = headers.get(b"host", "")
    name, _port = split_domain_port(host)
    if not is_known(name):
        return False
    origin = headers.get(b"origin")
    if origin is None:
        return b"authorization" in headers
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


async def _relay(scope: Any, headers: dict[bytes, str], receive: Receive, send: Send) -> None:
    """Nothing is kept here but a few frames: who does not read holds up the other side."""
    passed = {name.decode(): headers[name] for name in PASSED_ON if name in headers}
    connecting = unix_connect(
        str(socket_path()),
        uri=f"ws://localhost{scope['path']}",
        additional_headers=passed,
        subprotocols=[Subprotocol(word) for word in scope["subprotocols"]] or None,
        user_agent_header=None,
        compression=None,
        open_timeout=OPEN_SECONDS,
        close_timeout=2.0,
        ping_interval=None,
        max_size=MOST_FROM_HOST,
        max_queue=FRAMES_KEPT,
    )
    try:
        async with connecting as far:
            await send({"type": "websocket.accept", "subprotocol": far.subprotocol})
            await _pump(far, receive, send)
    except InvalidStatus:
        await _refuse(send)
    except (InvalidHandshake, OSError, TimeoutError) as error:
        log.warning("console.away", reason=str(error))
        await _refuse(send)


async def _pump(far: ClientConnection, receive: Receive, send: Send) -> None:
    tasks = [asyncio.ensure_future(_to_client(far, send)), asyncio.ensure_future(_from_client(far, receive))]
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    ended = [task.result() for task in done if task.exception() is None]
    code, reason = next((end for end in ended if end is not None), (None, ""))
    if code is not None:
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(send({"type": "websocket.close", "code": code, "reason": reason}), 2.0)


async def _to_client(far: ClientConnection, send: Send) -> tuple[int, str]:
    """Until the console process ends it; its code and reason."""
    try:
        while True:
            said = await far.recv()
            kind = "text" if isinstance(said, str) else "bytes"
            await asyncio.wait_for(send({"type": "websocket.send", kind: said}), SLOW_SECONDS)
    except TimeoutError:
        return TOO_SLOW
    except ConnectionClosed as closed:
        return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd is not None else AWAY


async def _from_client(far: ClientConnection, receive: Receive) -> tuple[int, str] | None:
    """Until the client goes away, or sends what no console takes."""
    while (message := await receive())["type"] != "websocket.disconnect":
        said = message.get("bytes")
        said = said if said is not None else message.get("text") or ""
        if len(said) > MOST_FRAME:
            return TOO_BIG
        try:
            await far.send(said)
        except ConnectionClosed:
            await asyncio.Event().wait()  # the other direction knows why
    return None


async def _refuse(send: Send) -> None:
    """A 403 without a word: a browser would not show it to its page, and a stranger needs none."""
    await send({"type": "websocket.close", "code": 1008})
