"""One open console: what passes in both directions, and the guard that ends it."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from django.db import Error

from apps.compute.models import ConsoleTicket
from apps.compute.selectors.console import Standing, console_standing
from console.caller import Caller
from console.ending import Ended, Ending
from console.far_end import FarEnd
from console.opening import why_ended
from console.threads import in_database, on_host

CHECK_SECONDS: Final = 2.0
UNCHECKED_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 3600.0
SLOW_SECONDS: Final = 10.0
MOST_FRAME: Final = 64 * 1024
BYTES_PER_SECOND: Final = 2 * 1024 * 1024
"""Towards the client, for a serial console: a person reads less, and a screen is bounded by its own protocol."""

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
_ENDINGS: Final = {
    Standing.NO_RIGHT: Ending.NO_RIGHT,
    Standing.GONE: Ending.GONE,
    Standing.MOVED: Ending.MOVED,
}


class Session:
    def __init__(self, *, caller: Caller, ticket: ConsoleTicket, far_end: FarEnd, receive: Receive, send: Send) -> None:
        self._caller = caller
        self._ticket = ticket
        self._host_id = ticket.vm.host_id
        self._far_end = far_end
        self._receive = receive
        self._send = send
        self._typed_at = time.monotonic()
        self.sent = 0

    async def run(self) -> Ending | None:
        """Until something ends it. None when the client went away."""
        await self._tell({"event": "open"})
        tasks = [asyncio.ensure_future(part()) for part in (self._show, self._type, self._guard)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    return task.result()
            return None
        except Ended as over:
            return over.ending
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # --- the two directions
    async def _show(self) -> Ending:
        """What the host says. A client that takes nothing for a while is let go."""
        while True:
            piece, skipped = await self._far_end.read()
            if skipped:
                await self._tell({"event": "skipped", "bytes": skipped})
            if not piece:
                return await on_host(lambda: why_ended(self._ticket))
            await self._pass({"type": "websocket.send", "bytes": piece})
            self.sent += len(piece)
            if len(piece) > 1024:
                await asyncio.sleep(len(piece) / BYTES_PER_SECOND)

    async def _type(self) -> None:
        while (message := await self._receive())["type"] != "websocket.disconnect":
            data = message.get("bytes")
            if data is None or len(data) > MOST_FRAME:
                raise Ended(Ending.WRONG_FRAME)
            self._typed_at = time.monotonic()
            await self._far_end.write(data)

    async def _tell(self, event: dict[str, Any]) -> None:
        """What is about the console rather than from it, as text."""
        await self._pass({"type": "websocket.send", "text": json.dumps(event)})

    async def _pass(self, message: dict[str, Any]) -> None:
        try:
            await asyncio.wait_for(self._send(message), SLOW_SECONDS)
        except TimeoutError as error:
            raise Ended(Ending.TOO_SLOW) from error

    # --- the guard
    async def _guard(self) -> Ending:
        """Look every few seconds whether all is still as it was at the door. Not knowing is not a yes."""
        checked_at = time.monotonic()
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                ending = await in_database(self._check)
                checked_at = time.monotonic()
            except Error:
                ending = Ending.UNCHECKED if time.monotonic() - checked_at > UNCHECKED_SECONDS else None
            if ending is not None:
                return ending
            if time.monotonic() - self._typed_at > IDLE_SECONDS:
                return Ending.IDLE

    def _check(self) -> Ending | None:
        user = self._caller.user()
        if user is None or user.pk != self._ticket.user_id:
            return Ending.SIGNED_OUT
        standing = console_standing(actor=user, ticket=self._ticket, host_id=self._host_id)
        return None if standing is Standing.GOOD else _ENDINGS[standing]
