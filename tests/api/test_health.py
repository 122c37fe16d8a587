"""``/healthz`` and ``/readyz``: what is said while a part is away."""

import time
from typing import Any

import pytest
from django.test import Client

ALL_UP = {"database": "up", "broker": "up", "worker": "up", "beat": "up"}


@pytest.fixture
def beating(db: None) -> None:
    """Worker and beat have just been heard."""
    from workers.heartbeat import beat

    beat("worker")
    beat("beat")


@pytest.fixture
def no_redis(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Redis does not answer: neither the broker nor the cache."""
    from redis.connection import AbstractConnection
    from redis.exceptions import ConnectionError as Away

    def refuse(*_arguments: Any, **_more: Any) -> None:
        raise Away("Connection refused.")

    from django.core.cache import cache

    monkeypatch.setattr(AbstractConnection, "connect", refuse)
    monkeypatch.setattr(AbstractConnection, "send_packed_command", refuse)
    cache._shared()[1].until = 0.0


def test_alive(db: None) -> None:
    response = Client().get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert Client().post("/healthz").status_code == 405


def test_ready(beating: None) -> None:
    response = Client().get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ready", "checks": ALL_UP})
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_one_that_was_not_heard_for_long(beating: None, name: str) -> None:
    from django.core.cache import cache

    cache.set(f"heartbeat:{name}", time.time() - 60, 300)
    found = Client().get("/readyz").json()
    assert found == {"status": "degraded", "checks": {**ALL_UP, name: "down"}}
    cache.delete(f"heartbeat:{name}")
    assert Client().get("/readyz").json()["checks"][name] == "unknown"


def test_without_redis_it_is_degraded(beating: None, no_redis: None) -> None:
    response = Client().get("/readyz")
    assert response.status_code == 200
    assert response.json()["status"] == "degraded"
    assert response.json()["checks"]["broker"] == "down"
    assert response.json()["checks"]["database"] == "up"


def test_without_redis_a_change_is_still_accepted(
    api_for: Any, member: Any, new_vm: dict[str, Any], no_redis: None, django_capture_on_commit_callbacks: Any
) -> None:
    from apps.operations.models import Operation
    from apps.operations.selectors import operations_due

    with django_capture_on_commit_callbacks(execute=True) as rung:
        response = api_for(member).post("/api/v1/vms/", new_vm, format="json", HTTP_IDEMPOTENCY_KEY="k")
    assert response.status_code == 202
    assert rung, "the bell was tried, and its failure is nobody's problem"
    assert [item.pk for item in operations_due()] == [Operation.objects.get().pk]


@pytest.mark.parametrize("error", ["OperationalError", "InterfaceError"])
def test_without_postgresql_it_is_not_ready(beating: None, monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    import django.db
    from django.db import connection

    def refuse() -> None:
        raise getattr(django.db, error)("the connection is closed")

    with monkeypatch.context() as away:
        away.setattr(connection, "cursor", refuse)
        response = Client().get("/readyz")
        assert Client().get("/healthz").status_code == 200
    assert response.status_code == 503
    assert response.json()["status"] == "unready"
    assert response.json()["checks"]["database"] == "down"


@pytest.mark.parametrize("error", ["OperationalError", "InterfaceError"])
def test_without_postgresql_the_api_says_503(
    api_for: Any, member: Any, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    import django.db

    from apps.compute.api import vm as api
    from tests.api.answers import problem_of

    def refuse(**_more: Any) -> None:
        raise getattr(django.db, error)("server closed the connection unexpectedly")

    monkeypatch.setattr(api, "vms_for", refuse)
    response = api_for(member).get("/api/v1/vms/")
    found = problem_of(response, 503, "unavailable.database")
    assert int(response["Retry-After"]) > 0
    assert "server closed" not in str(found)


def test_an_error_nobody_expected_shows_nothing(api_for: Any, member: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.compute.api import vm as api
    from tests.api.answers import problem_of

    def refuse(**_more: Any) -> None:
        raise KeyError("a secret")

    monkeypatch.setattr(api, "vms_for", refuse)
    client = api_for(member)
    client.raise_request_exception = False
    response = client.get("/api/v1/vms/", HTTP_X_REQUEST_ID="click-12345678")
    assert "secret" not in str(problem_of(response, 500, "internal"))
    assert response["X-Request-ID"] == "click-12345678"
