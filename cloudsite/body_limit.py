"""Bodies are bounded before anything reads them: Django would write one of any size to the disk first."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from cloudsite import problems

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]
LINGER = 30.0
"""Seconds for which a refused body is read; what is still coming then learns no reason."""


class Unread:
    """The part of a body that has not been read yet; as ``receive`` it hands out the next piece."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.ended = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self.ended = message["type"] == "http.disconnect" or not message.get("more_body")
        return message

    async def refuse(self, messages: Sequence[Message], send: Send) -> None:
        """Answer somebody who is still sending, and end the connection.

        Closed over unread bytes it would be reset, and the answer lost with it: a proxy then says 502, a browser that
        nobody answers. So the rest is read and thrown away, until the other side has understood or for a while.
        """
        *others, last = messages
        for message in others:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)
        await send({**last, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while not self.ended:
                    await self()
        await send({"type": "http.response.body", "body": b""})


class BodyLimit:
    """ASGI: 413 for a body that says it is larger than allowed, 411 for one that does not say.

    ``most_of`` knows how many bytes the body of a request may have.
    """

    def __init__(self, application: Application, *, most_of: Callable[[Any], int]) -> None:
        self.application = application
        self.most_of = most_of

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        refusal = self._refusal(dict(scope["headers"]), self.most_of(scope)) if scope["type"] == "http" else None
        if refusal is None:
            await self.application(scope, receive, send)
            return
        await Unread(receive).refuse(problem_messages(refusal), send)

    def _refusal(self, headers: dict[bytes, bytes], most: int) -> dict[str, Any] | None:
        length = headers.get(b"content-length")
        if length is not None:
            if not length.isdigit() or len(length) > 18 or int(length) > most:
                detail = f"A body may have {most} bytes at most."
                return problems.body(status=413, code="request.too_large", detail=detail)
            return None
        if b"transfer-encoding" in headers:
            detail = "Send the body with its length (Content-Length), not in chunks."
            return problems.body(status=411, code="request.length_required", detail=detail)
        return None


def problem_messages(problem: Mapping[str, Any]) -> list[Message]:
    """A problem as an answer of its own, where no view gives one."""
    content = json.dumps(problem).encode()
    headers = [(b"content-type", problems.MEDIA_TYPE.encode()), (b"content-length", str(len(content)).encode())]
    return [
        {"type": "http.response.start", "status": problem["status"], "headers": headers},
        {"type": "http.response.body", "body": content},
    ]
