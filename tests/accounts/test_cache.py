"""The cache when Redis is there, away, and hanging."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from redis import Redis

from apps.accounts import services, tokens
from apps.accounts.cache import CALL_TIMEOUT_S, PAUSE_S, ForgivingRedisCache
from apps.accounts.models import Scope, User
from apps.accounts.selectors import SignIn, sign_in_current, sign_in_key
from apps.accounts.throttles import wait_before_attempt
from tests.accounts.conftest import me
from tests.waiting import wait_for


@pytest.fixture
def away(tmp_path: Path) -> ForgivingRedisCache:
    return ForgivingRedisCache(f"unix://{tmp_path}/none.sock?db=1", {})


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[ForgivingRedisCache]:
    """A server that takes connections and never answers."""
    path = tmp_path / "hang.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(16)
        yield ForgivingRedisCache(f"unix://{path}?db=1", {})


def test_with_redis_it_is_a_cache(db: None) -> None:
    assert cache.add("a", 1)
    assert not cache.add("a", 2)
    assert cache.incr("a") == 2
    cache.set_many({"b": [1], "c": None})
    assert cache.get_many(["a", "b", "x"]) == {"a": 2, "b": [1]}
    assert "b" in cache
    assert cache.touch("b", 5)
    assert cache.delete("b")
    cache.delete_many(["a", "c"])
    assert cache.get("a", "gone") == "gone"


def test_without_redis_every_answer_is_a_miss(away: ForgivingRedisCache) -> None:
    assert away.get("a", "default") == "default"
    assert away.add("a", 1) is False
    assert away.set("a", 1) is None
    assert away.touch("a") is False
    assert away.delete("a") is False
    assert away.has_key("a") is False
    assert away.get_many(["a"]) == {}
    assert away.set_many({"a": 1}) == ["a"]
    assert away.delete_many(["a"]) is None
    assert away.clear() is None
    assert away.get_or_set("a", 7) == 7
    with pytest.raises(ValueError, match="away"):
        away.incr("a")


def test_a_hanging_redis_costs_one_bounded_wait(hanging: ForgivingRedisCache) -> None:
    start = time.monotonic()
    for _ in range(20):
        assert hanging.get("a") is None
    assert time.monotonic() - start < CALL_TIMEOUT_S + 0.4, "one wait, then the pause"


def test_a_restart_of_redis_is_not_noticed() -> None:
    """The kept connections are dead then; the retry takes a new one."""
    shop = ForgivingRedisCache(settings.CONFIG.cache_url, {})
    shop.set("kept", 1)
    client = shop._cache.get_client(write=True)
    kept = client.client_id()
    other = Redis.from_url(settings.CONFIG.cache_url)
    other.client_kill_filter(_id=str(kept))
    other.close()
    assert shop.get("kept") == 1
    assert client.client_id() != kept, "the connection was really gone"


def test_it_is_logged_once_a_while(away: ForgivingRedisCache, monkeypatch: Any) -> None:
    logged: list[Any] = []
    monkeypatch.setattr("apps.accounts.cache.log.warning", lambda *args, **kwargs: logged.append(kwargs))
    absence = away._shared()[1]
    for _ in range(5):
        away.get("a")
        absence.until = 0.0  # as after the pause
    assert len(logged) == 1


def test_it_comes_back_after_the_pause(away: ForgivingRedisCache, monkeypatch: Any) -> None:
    now = [1000.0]
    monkeypatch.setattr("apps.accounts.cache.time.monotonic", lambda: now[0])
    real = ForgivingRedisCache(settings.CONFIG.cache_url, {})
    _client, absence = real._shared()
    absence.note(ConnectionError("gone"))
    assert real.add("back", 1) is False
    now[0] += PAUSE_S + 0.1
    assert real.add("back", 1) is True
    real.delete("back")
    absence.until = absence.logged_at = 0.0


def test_the_pool_outlives_the_cache_object() -> None:
    """Django makes one per request under ASGI."""
    location = settings.CONFIG.cache_url
    assert ForgivingRedisCache(location, {})._cache is ForgivingRedisCache(location, {})._cache


def test_a_sign_in_comes_back_from_redis_as_it_was(member: User) -> None:
    pair = services.token_issue(user=member, scope=Scope.READ)
    claims = tokens.read(tokens.Access, pair.access)

    def sign_in() -> SignIn | None:
        return sign_in_current(family_id=claims.family, user_id=claims.user)

    fresh = sign_in()
    wait_for(lambda: sign_in() and cache.get(sign_in_key(claims.family)), seconds=10, what="an answer in Redis")
    kept = sign_in()
    assert fresh is not None
    assert kept is not None
    assert (kept.user, kept.scope) == (fresh.user, fresh.scope) == (member, "read")
    assert (kept.user.username, kept.user.role, kept.user.is_active) == ("member", "member", True)
    assert "password" in kept.user.get_deferred_fields(), "no hash of a password in Redis"


@pytest.fixture
def redis_away(settings: Any, tmp_path: Path) -> None:
    settings.CACHES = {
        "default": {
            "BACKEND": "apps.accounts.cache.ForgivingRedisCache",
            "LOCATION": f"unix://{tmp_path}/none.sock?db=1",
        }
    }


def test_signing_in_and_revoking_work_without_redis(member: User, redis_away: None) -> None:
    """A flush costs speed, never safety: without the cache an ended token ends at once."""
    assert wait_before_attempt(key="anybody") == 0, "nobody is held up; axes still counts in PostgreSQL"
    pair = services.token_issue(user=member, scope=Scope.FULL)
    assert me(pair.access) == 200
    member.set_password("another good password")
    member.save()
    assert me(pair.access) == 401
