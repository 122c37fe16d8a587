"""The line that each request leaves in the log: who, what and how long, and nothing that opens a door."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from django.test import Client
from structlog.testing import LogCapture

from cloudsite import middleware
from tests.accounts.conftest import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[LogCapture]:
    capture = LogCapture()
    chain = [structlog.contextvars.merge_contextvars, capture]
    monkeypatch.setattr(middleware, "log", structlog.wrap_logger(logging.getLogger("access"), processors=chain))
    yield capture


def test_a_request_is_one_line(lines: LogCapture, admin: Any) -> None:
    client = Client(HTTP_HOST="127.0.0.1")
    client.force_login(admin, backend="django.contrib.auth.backends.ModelBackend")
    client.get("/vms/?q=hunter2", headers={"X-Request-ID": "click-12345"})
    (line,) = lines.entries
    assert line.pop("ms") >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "path": "/vms/",
        "status": 200,
        "user_id": str(admin.pk),
        "request_id": "click-12345",
    }


def test_a_token_names_its_user(lines: LogCapture, admin: Any, api_for: Any) -> None:
    api_for(admin).get("/api/v1/vms/")
    assert lines.entries[-1]["user_id"] == str(admin.pk)


def test_nobody_is_looked_up_for_the_log(lines: LogCapture) -> None:
    Client(HTTP_HOST="127.0.0.1").get("/sign-in/?next=/vms/")
    assert lines.entries[-1]["user_id"] is None


def test_what_is_sent_and_what_is_long_is_not_in_it(lines: LogCapture, admin: Any) -> None:
    Client(HTTP_HOST="127.0.0.1").post("/sign-in/", {"username": "admin", "password": PASSWORD})
    Client(HTTP_HOST="127.0.0.1").get("/" + "x" * 5000)
    assert PASSWORD not in str(lines.entries)
    assert len(lines.entries[-1]["path"]) == middleware.LONGEST_PATH


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/static/css/app.css"])
def test_what_is_asked_all_the_time_is_for_debugging(lines: LogCapture, settings: Any, path: str) -> None:
    settings.WHITENOISE_USE_FINDERS = True
    Client(HTTP_HOST="127.0.0.1").get(path)
    assert lines.entries[-1]["log_level"] == "debug"
