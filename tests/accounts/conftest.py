"""Clients that sign in like outsiders do, and tokens that nobody issued."""

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher
from rest_framework.test import APIClient

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def known_host(settings: Any) -> None:
    """Django's test client sends no Host header."""
    settings.KNOWN_HOSTS = ["", "testserver"]


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 as ever, at its least cost: what is tested here is who gets in, not how long guessing takes."""
    for name, value in (("time_cost", 1), ("memory_cost", 8), ("parallelism", 1)):
        monkeypatch.setattr(Argon2PasswordHasher, name, value)


@pytest.fixture(autouse=True)
def memory_cache(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> None:
    """A cache that never times out on a busy machine. What Redis itself does is the matter of ``test_cache``."""
    if request.module.__name__.rpartition(".")[2] != "test_cache":
        backend = "django.core.cache.backends.locmem.LocMemCache"
        settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": str(tmp_path)}}


@pytest.fixture
def api() -> APIClient:
    return APIClient(enforce_csrf_checks=True)


@pytest.fixture
def sign_in(api: APIClient) -> Callable[..., dict[str, str]]:
    """A pair of tokens: ``sign_in(user, scope="read")``."""

    def make(user: Any, **more: str) -> dict[str, str]:
        answer = api.post("/api/v1/token/", {"username": user.username, "password": PASSWORD, **more}, format="json")
        assert answer.status_code == 200, answer.content
        pair: dict[str, str] = answer.json()
        return pair

    return make


def bearer(access: str) -> APIClient:
    """A client with this access token."""
    client = APIClient(enforce_csrf_checks=True)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    return client


def me(access: str) -> int:
    """The status that a harmless read has with this access token."""
    return int(bearer(access).get("/api/v1/me/").status_code)


@pytest.fixture
def forge(sign_in: Callable[..., dict[str, str]], member: Any) -> Callable[..., str]:
    """A token like a genuine one but for what is given; a claim of None is left out."""
    genuine = jwt.decode(sign_in(member)["access"], options={"verify_signature": False})

    def make(*, key: str = "", alg: str = "HS256", headers: dict[str, Any] | None = None, **claims: Any) -> str:
        now = int(time.time())
        payload = genuine | {"iat": now, "exp": now + 60, "jti": uuid.uuid4().hex} | claims
        payload = {name: value for name, value in payload.items() if value is not None}
        return jwt.encode(payload, key or settings.JWT_KEY, algorithm=alg, headers=headers)

    return make
