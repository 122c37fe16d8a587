"""The ASGI application of the console process: who knocks, with which ticket, and what becomes of it.

Before the ticket is good nothing is accepted; after it every refusal has a close code and a reason, since a browser
shows its page neither status nor body of a refused handshake.
"""

import asyncio
import re
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog

from apps.compute.models import ConsoleKind, ConsoleTicket
from apps.compute.services.console import ticket_redeem
from console.caller import Caller, caller_of
from console.ending import Ended, Ending
from console.far_end import FarEnd, Serial
from console.opening import open_far_end
from console.session import Receive, Send, Session
from console.threads import in_database, on_host
from console.thumbnails import Thumbnails

log = structlog.get_logger(__name__)
PROTOCOL: Final = "cloudsite.console.v1"
TICKET: Final = "ticket."
MOST_OPEN: Final = 500
MOST_PER_USER: Final = 64
MOST_PER_SCREEN: Final = 4
CLOSE_SECONDS: Final = 5.0
_PATH: Final = re.compile(r"/console/([0-9a-f-]{36})/")
_THUMBNAIL: Final = re.compile(r"/thumbnail/([0-9a-f-]{36})/")
_TICKET: Final = re.compile(r"ticket\.[A-Za-z0-9_-]{20,100}")


class Gateway:
    def __init__(self) -> None:
        self._open: Counter[object] = Counter()
        self._thumbnails = Thumbnails()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self._answer_http(scope, send)
            return
        await receive()
        vm_id, caller = _vm_id(_PATH, scope["path"]), caller_of(scope)
        ticket = await self._admit(scope, vm_id, caller)
        if ticket is None or caller is None:
            await send({"type": "websocket.close", "code": 1008})
            return
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
        started = time.monotonic()
        ending = await self._serve(caller, ticket, receive, send)
        log.info("console.closed", **_named(ticket), ending=ending and ending.name, seconds=_since(started))
        if ending is not None:
            await _close(send, ending)

    async def _answer_http(self, scope: Any, send: Send) -> None:
        """There are no pages here: the web process rings for a picture, the supervisor asks whether somebody answers.

        Whoever may connect to the socket is Cloudsite itself; strangers' requests end in the web process.
        """
        vm_id = _vm_id(_THUMBNAIL, scope["path"]) if scope["method"] == "POST" else None
        if vm_id is not None:
            self._thumbnails.ring(vm_id)
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 404 if vm_id is None else 202, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _admit(self, scope: Any, vm_id: uuid.UUID | None, caller: Caller | None) -> ConsoleTicket | None:
        """The ticket of this handshake, consumed; None when anything about it is wrong."""
        offered = scope["subprotocols"]
        tickets = [word.removeprefix(TICKET) for word in offered if _TICKET.fullmatch(word)]
        if vm_id is None or caller is None or PROTOCOL not in offered or len(tickets) != 1:
            return None

        def redeem() -> ConsoleTicket | None:
            user = caller.user()
            if user is None:
                return None
            return ticket_redeem(actor=user, vm_id=vm_id, ticket=tickets[0], binding=caller.binding)

        return await in_database(redeem)

    async def _serve(self, caller: Caller, ticket: ConsoleTicket, receive: Receive, send: Send) -> Ending | None:
        far_end: FarEnd | None = None
        try:
            with self._counted(ticket):
                far_end = await _opened(ticket)
                log.info("console.opened", **_named(ticket), user=str(ticket.user_id))
                return await Session(caller=caller, ticket=ticket, far_end=far_end, receive=receive, send=send).run()
        except Ended as over:
            return over.ending
        finally:
            if far_end is not None:
                far_end.close()

    @contextmanager
    def _counted(self, ticket: ConsoleTicket) -> Iterator[None]:
        """Raises ``Ended`` where one more would be too many. A serial console needs no bound: it has one reader."""
        most: dict[object, int] = {"all": MOST_OPEN, ticket.user_id: MOST_PER_USER}
        if ticket.kind == ConsoleKind.VNC:
            most[ticket.vm_id] = MOST_PER_SCREEN
        if any(self._open[key] >= limit for key, limit in most.items()):
            raise Ended(Ending.TOO_MANY)
        self._open.update(most.keys())
        try:
            yield
        finally:
            self._open.subtract(most.keys())
            self._open += Counter()  # forgets what is at zero


async def _opened(ticket: ConsoleTicket) -> FarEnd:
    far_end = await on_host(lambda: open_far_end(ticket))
    if isinstance(far_end, Serial):
        far_end.bind()
    return far_end


def _vm_id(pattern: re.Pattern[str], path: str) -> uuid.UUID | None:
    match = pattern.fullmatch(path)
    try:
        return uuid.UUID(match[1]) if match else None
    except ValueError:
        return None


def _named(ticket: ConsoleTicket) -> dict[str, Any]:
    return {"vm": str(ticket.vm_id), "kind": ticket.kind}


def _since(started: float) -> float:
    return round(time.monotonic() - started, 1)


async def _close(send: Send, ending: Ending) -> None:
    """A client that takes nothing is not waited for either."""
    message = {"type": "websocket.close", "code": ending.code, "reason": ending.reason}
    try:
        await asyncio.wait_for(send(message), CLOSE_SECONDS)
    except (TimeoutError, OSError):
        log.info("console.not_closed", ending=ending.name)
