"""The two health endpoints, with every part away in turn."""

import time
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return Client(HTTP_HOST="127.0.0.1:8420")


@pytest.fixture(autouse=True)
def memory_cache(settings: Any, tmp_path: Path) -> None:
    """A cache that never times out on a busy machine."""
    backend = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": str(tmp_path)}}


@pytest.fixture
def beating(db: None) -> None:
    for name in ("worker", "beat"):
        cache.set(f"heartbeat:{name}", time.time())


def test_alive_needs_nothing(client: Client, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert client.get("/healthz").json() == {"status": "ok"}
    assert client.post("/healthz").status_code == 405


def test_ready(client: Client, beating: None) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "checks": {"database": "up", "broker": "up", "worker": "up", "beat": "up"},
    }
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_degraded_without_a_heartbeat(client: Client, beating: None, name: str) -> None:
    cache.set(f"heartbeat:{name}", time.time() - 3600)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"], answer.json()["checks"][name]) == (200, "degraded", "down")
    cache.delete(f"heartbeat:{name}")
    assert client.get("/readyz").json()["checks"][name] == "unknown"


def test_an_earlier_start_is_not_heard(client: Client, beating: None) -> None:
    """Redis keeps heartbeats over a restart of everything; a start forgets them before its processes begin."""
    call_command("forget_heartbeats")
    answer = client.get("/readyz").json()
    assert (answer["checks"]["worker"], answer["checks"]["beat"]) == ("unknown", "unknown")


def test_a_clock_that_was_set_back_is_no_sign_of_life(client: Client, beating: None) -> None:
    cache.set("heartbeat:worker", time.time() + 3600)
    assert client.get("/readyz").json()["checks"]["worker"] == "down"


def test_degraded_without_the_broker(client: Client, beating: None, settings: Any, tmp_path: Path) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"redis_url": f"unix://{tmp_path}/none.sock"})
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["checks"]["broker"] == "down"


def test_unready_without_the_database(client: Client, beating: None, monkeypatch: Any) -> None:
    def away() -> None:
        raise OperationalError("password=hunter2")

    monkeypatch.setattr(connection, "cursor", away)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "unready")
    assert b"hunter2" not in answer.content
