"""Bodies are bounded before they are read."""

import asyncio
import json
from typing import Any

import pytest

from cloudsite import body_limit
from cloudsite.body_limit import BodyLimit, Unread, problem_messages


def answer(headers: dict[str, str], kind: str = "http") -> tuple[int, dict[str, Any] | None]:
    """Status and problem of a request with these headers; 200 and None if the application was called."""
    sent: list[Any] = []

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Any:
        assert len(sent) == 2, "nothing of the body is read before the whole answer is out"
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": kind, "headers": [(k.encode(), v.encode()) for k, v in headers.items()]}
    asyncio.run(BodyLimit(application, most_of=lambda _scope: 100)(scope, receive, send))
    status = int(sent[0]["status"])
    if len(sent) == 1:
        return status, None
    assert dict(sent[0]["headers"])[b"content-type"] == b"application/problem+json"
    assert dict(sent[0]["headers"])[b"content-length"] == str(len(sent[1]["body"])).encode()
    return status, json.loads(sent[1]["body"])


@pytest.mark.parametrize("headers", [{}, {"content-length": "0"}, {"content-length": "100"}])
def test_small_bodies_pass(headers: dict[str, str]) -> None:
    assert answer(headers) == (200, None)


@pytest.mark.parametrize("length", ["101", "9" * 18, "9" * 5000, "-1", "1e3", "", "٣"])
def test_large_ones_and_lies_do_not(length: str) -> None:
    status, problem = answer({"content-length": length})
    assert status == 413 and problem is not None
    assert problem["code"] == "request.too_large"


def test_a_body_without_a_length_is_refused() -> None:
    status, problem = answer({"transfer-encoding": "chunked"})
    assert status == 411 and problem is not None
    assert problem["code"] == "request.length_required"


def refuse(pieces: list[dict[str, Any]]) -> list[Any]:
    """Refuse a body that comes in these pieces, and then no more; what was sent, and None for each piece read."""
    seen: list[Any] = []
    coming = iter(pieces)

    async def receive() -> Any:
        if (piece := next(coming, None)) is None:
            await asyncio.Event().wait()
        seen.append(None)
        return piece

    async def send(message: Any) -> None:
        seen.append(message)

    asyncio.run(Unread(receive).refuse(problem_messages({"status": 413}), send))
    return seen


def test_the_rest_is_read_after_the_answer_so_that_the_answer_arrives() -> None:
    seen = refuse([{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.request", "body": b"x"}])
    assert (b"connection", b"close") in seen[0]["headers"]
    assert (json.loads(seen[1]["body"]), seen[1]["more_body"]) == ({"status": 413}, True)
    assert seen[2:] == [None, None, {"type": "http.response.body", "body": b""}]


def test_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_limit, "LINGER", 0.01)
    seen = refuse([{"type": "http.request", "body": b"x", "more_body": True}])
    assert seen[2:] == [None, {"type": "http.response.body", "body": b""}]


def test_the_web_process_has_it(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # The web process pools its connections; the tests go on with the one that they have.
    monkeypatch.setitem(settings.DATABASES["default"], "OPTIONS", {})
    from cloudsite.asgi import application

    limit = application.application
    assert isinstance(limit, BodyLimit)
    small, large = settings.DATA_UPLOAD_MAX_MEMORY_SIZE, settings.UPLOAD_LIMIT_BYTES
    path = "/api/v1/images/00000000-0000-0000-0000-000000000000/file/"
    for method, where, most in [
        ("PUT", path, large),
        ("POST", path, small),
        ("PUT", path + "x", small),
        ("PUT", "/x" + path, small),
        ("POST", "/api/v1/images/", small),
    ]:
        assert limit.most_of({"type": "http", "method": method, "path": where}) == most
