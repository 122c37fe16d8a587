"""Large bodies, streamed to their file: Django would first write all of them into a directory of its own.

The request passes Django twice without its body. The first time decides: who asks, whether they may, whether it fits;
the view then opens the file. The body is written, and the second time says that it is here. So there is one
authentication, one set of rules, and not a byte is taken from somebody who may not.
"""

import asyncio
import re
from typing import Any

import structlog

from apps.storage.uploads import Upload
from cloudsite import problems
from cloudsite.body_limit import Application, Message, Receive, Send, Unread, problem_messages

log = structlog.get_logger(__name__)
PATH = re.compile(r"/api/v1/images/[0-9a-f-]{36}/file/")
PIECE = 1024 * 1024
SILENCE = 60.0
KEY = "cloudsite.upload"
ONLY_LATER = {b"idempotency-key"}


def is_upload(scope: Any) -> bool:
    """Whether the request carries the file of an image."""
    return bool(scope["type"] == "http" and scope["method"] == "PUT" and PATH.fullmatch(scope["path"]))


class UploadBody:
    """ASGI: see above. Everything else is passed on as it is."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if not is_upload(scope):
            await self.application(scope, receive, send)
            return
        upload = Upload()
        first: list[Message] = []
        body = Unread(receive)
        headers = [header for header in scope["headers"] if header[0] not in ONLY_LATER]
        try:
            await self.application({**scope, KEY: upload, "headers": headers}, _no_body(), _kept(first))
            if upload.file is None:
                await body.refuse(first, send)
                return
            whole = await _store(upload, body)
        except OSError as error:
            log.warning("upload.not_written", reason=str(error))
            detail = "The file could not be written; the disk of the control plane may be full."
            await body.refuse(problem_messages(problems.body(status=503, code="image.no_space", detail=detail)), send)
            return
        finally:
            upload.close()
        if whole:
            await self.application({**scope, KEY: upload}, _no_body(), send)


def _no_body() -> Receive:
    """A request whose body is empty and whose client stays: Django goes on listening, and takes nothing but its end."""
    coming: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if not coming:
            await asyncio.Event().wait()
        return coming.pop()

    return receive


async def _store(upload: Upload, receive: Receive) -> bool:
    """Write what comes. False: the client went away or fell silent; what has come stays for its next attempt."""
    assert upload.file is not None  # noqa: S101
    kept = bytearray()
    while True:
        try:
            message = await asyncio.wait_for(receive(), SILENCE)
        except TimeoutError:
            message = {"type": "http.disconnect"}
        kept += message.get("body", b"")
        ended = message["type"] == "http.disconnect" or not message.get("more_body")
        if kept and (ended or len(kept) >= PIECE):
            await asyncio.to_thread(_write, upload, bytes(kept))
            kept.clear()
        if ended:
            return bool(message["type"] != "http.disconnect")


def _write(upload: Upload, piece: bytes) -> None:
    assert upload.file is not None  # noqa: S101
    view = memoryview(piece)
    while view:
        view = view[upload.file.write(view) :]


def _kept(answer: list[Message]) -> Send:
    """What the first pass wants to say, until it is known whether it is the last word."""

    async def keep(message: Message) -> None:
        answer.append(message)

    return keep
