"""Bodies are bounded before they are read."""

import asyncio
import json
from typing import Any

import pytest

from cloudsite.body_limit import BodyLimit


def answer(headers: dict[str, str], kind: str = "http") -> tuple[int, dict[str, Any] | None]:
    """Status and problem of a request with these headers; 200 and None if the application was called."""
    sent: list[Any] = []

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Any:
        raise AssertionError("nothing of the body is read")

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
