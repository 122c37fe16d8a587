"""The web process takes a large body to its file, after Django has said that it may."""

import asyncio
from typing import Any

import pytest

from cloudsite.uploads import KEY, UploadBody

PATH = "/api/v1/images/00000000-0000-0000-0000-000000000000/file/"


def talk(path: Any, messages: list[dict[str, Any]], *, allowed: bool = True) -> tuple[list[Any], list[Any]]:
    """What was sent, and the scopes in which the application was called."""
    sent: list[Any] = []
    scopes: list[Any] = []
    coming = iter(messages)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        assert (await receive())["body"] == b"", "Django never sees the file"
        status = 403
        if allowed:
            status = 204 if scope[KEY].file is None else 202
            if scope[KEY].file is None:
                scope[KEY].file = path.open("ab", buffering=0)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any:
        return next(coming)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"idempotency-key", b"x")]
    scope = {"type": "http", "method": "PUT", "path": PATH, "headers": headers}
    asyncio.run(UploadBody(application)(scope, receive, send))
    return sent, scopes


def body(content: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": content, "more_body": more}


def test_it_is_written_and_told(tmp_path: Any) -> None:
    sent, scopes = talk(tmp_path / "file", [body(b"a" * 700000), body(b"b" * 700000), body(b"c", more=False)])
    assert sent[0]["status"] == 202
    assert (tmp_path / "file").read_bytes() == b"a" * 700000 + b"b" * 700000 + b"c"
    assert [bool(scope["headers"]) for scope in scopes] == [False, True], "a key is for the last word only"


def test_of_who_may_not_nothing_is_kept(tmp_path: Any) -> None:
    sent, scopes = talk(tmp_path / "file", [body(b"abc"), {"type": "http.disconnect"}], allowed=False)
    assert (sent[0]["status"], len(scopes)) == (403, 1)
    assert (b"connection", b"close") in sent[0]["headers"]
    assert not (tmp_path / "file").exists()


def test_one_that_goes_away_leaves_what_came(tmp_path: Any) -> None:
    sent, scopes = talk(tmp_path / "file", [body(b"abc"), {"type": "http.disconnect"}])
    assert (sent, len(scopes)) == ([], 1)
    assert (tmp_path / "file").read_bytes() == b"abc"


def test_a_full_disk(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from cloudsite import uploads

    def full(*_arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uploads, "_write", full)
    sent, _scopes = talk(tmp_path / "file", [body(b"abc", more=False)])
    assert sent[0]["status"] == 503
    assert b"image.no_space" in sent[1]["body"]
