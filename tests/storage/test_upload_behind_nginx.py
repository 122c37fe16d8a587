"""A file that is refused while it is on its way through the shipped nginx: the reason arrives, and the rest stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bootstrap.commands import run
from tests.bootstrap.test_nginx import nginx
from tests.cloud import free_port
from tests.console.conftest import Served
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
NAME = "cloud.example.org"
GIB = 2**30
Send = Callable[..., list[tuple[int, str, int]]]


@pytest.fixture
def send(tmp_path: Path, settings: Any, member: Any) -> Iterator[Send]:
    """Send the file of a new image through nginx; status, code and bytes of each attempt.

    By HTTP/1.1: over HTTP/2 curl 7.88 sometimes keeps the status alone of an answer that comes early.
    """
    from django.core.asgi import get_asgi_application
    from django.test import Client

    from apps.storage.images import image_create
    from cloudsite.body_limit import BodyLimit
    from cloudsite.uploads import UploadBody

    settings.KNOWN_HOSTS = ["", NAME]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    signed_in = Client()
    signed_in.force_login(member, backend="django.contrib.auth.backends.ModelBackend")
    signed_in.get("/images/new/")
    session, token = (signed_in.cookies[name].value for name in ("sessionid", "csrftoken"))
    body = UploadBody(get_asgi_application())
    application = BodyLimit(body, most_of=lambda _scope: settings.UPLOAD_LIMIT_BYTES)
    served = Served(application, host="127.0.0.1", port=(port := free_port()))
    served.start()
    wait_for(lambda: served.server.started, seconds=10, what="the web process")
    image = image_create(actor=member, name="mine").image

    def attempt(path: Path, port: int) -> tuple[int, str, int]:
        command = [
            "curl",
            "-sk",
            "--http1.1",
            "--max-time",
            "20",
            "-T",
            str(path),
            "--resolve",
            f"{NAME}:{port}:127.0.0.1",
        ]
        headers = [f"Cookie: sessionid={session}; csrftoken={token}", f"X-CSRFToken: {token}"]
        headers += [f"Referer: https://{NAME}:{port}/", "Content-Type: application/octet-stream", "Upload-Offset: 5"]
        command += [word for header in headers for word in ("-H", header)]
        command += ["-w", "\n%{http_code} %{size_upload}"]
        command += ["--request-target", f"/api/v1/images/{image.pk}/file/", f"https://{NAME}:{port}"]
        said = run(command, timeout=30, check=False)
        *answer, last = said.stdout.splitlines()
        status, sent = (int(word) for word in last.split())
        return status, json.loads("".join(answer))["code"], sent

    def start(length: int, times: int) -> list[tuple[int, str, int]]:
        path = tmp_path / "file"
        with path.open("wb") as file:
            file.truncate(length)
        with nginx(tmp_path, port) as proxy:
            return [attempt(path, proxy.secure_port) for _ in range(times)]

    yield start
    served.end()


@pytest.mark.parametrize(
    ("length", "expected"),
    [(4 * GIB, (409, "image.offset")), (21 * GIB, (413, "request.too_large"))],
    ids=["not-what-goes-on", "too-large"],
)
def test_the_reason_arrives_each_time(send: Send, length: int, expected: tuple[int, str]) -> None:
    answers = send(length, times=6)
    assert {answer[:2] for answer in answers} == {expected}
    assert max(sent for _status, _code, sent in answers) < GIB // 8
