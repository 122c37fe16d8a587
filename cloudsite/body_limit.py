"""Bodies are bounded before anything reads them: Django would write one of any size to the disk first."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cloudsite import problems

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]


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
        content = json.dumps(refusal).encode()
        headers = [
            (b"content-type", problems.MEDIA_TYPE.encode()),
            (b"content-length", str(len(content)).encode()),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": refusal["status"], "headers": headers})
        await send({"type": "http.response.body", "body": content})

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
