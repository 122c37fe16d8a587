"""A cache that may be gone at any time: an error of Redis is a miss, never an error of the page."""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError
from redis.retry import Retry

log = structlog.get_logger(__name__)
T = TypeVar("T")

CONNECT_TIMEOUT_S = 0.2
CALL_TIMEOUT_S = 0.5
PAUSE_S = 1.0  # after a failure nobody asks again for this long, so that a hanging Redis costs one wait
LOG_EVERY_S = 60.0
BOUNDED: dict[str, Any] = {
    "socket_connect_timeout": CONNECT_TIMEOUT_S,
    "socket_timeout": CALL_TIMEOUT_S,
    # One retry at once: a connection kept over a restart of Redis is dead, the next one is not. None for a
    # time-out: who hangs once hangs twice.
    "retry": Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
}


class Absence:
    """When Redis was last seen away. One per server and process, shared by all threads."""

    def __init__(self) -> None:
        self.until = 0.0
        self.logged_at = float("-inf")

    def note(self, error: Exception) -> None:
        """Start a pause, and log unless this was logged within the minute."""
        now = time.monotonic()
        self.until = now + PAUSE_S
        if now - self.logged_at >= LOG_EVERY_S:
            self.logged_at = now
            log.warning("cache.away", error=type(error).__name__, detail=str(error))

    def lasts(self) -> bool:
        return time.monotonic() < self.until


_clients: dict[tuple[str, ...], tuple[RedisCacheClient, Absence]] = {}
_lock = threading.Lock()


class ForgivingRedisCache(RedisCache):
    """Django's Redis cache, with bounded waits, one connection pool per process, and misses for errors.

    Django makes a cache object per request under ASGI; the pool and the pause outlive it here. What
    depends on an answer (a lock, a counter) must therefore be correct without one: `add` says False
    and `incr` raises ``ValueError``, as for a key that is not there.
    """

    _servers: list[str]  # set by Django's constructor
    _options: dict[str, Any]

    def _shared(self) -> tuple[RedisCacheClient, Absence]:
        servers = tuple(self._servers)
        with _lock:
            if servers not in _clients:
                client = RedisCacheClient(list(servers), **{**BOUNDED, **self._options})
                _clients[servers] = (client, Absence())
            return _clients[servers]

    @property
    def _cache(self) -> RedisCacheClient:
        return self._shared()[0]

    def _or_miss(self, call: Callable[[], T], miss: T) -> T:
        absence = self._shared()[1]
        if absence.lasts():
            return miss
        try:
            return call()
        except (RedisError, OSError) as error:
            absence.note(error)
            return miss

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return self._or_miss(lambda: super(ForgivingRedisCache, self).get(key, default, version), default)

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        self._or_miss(lambda: super(ForgivingRedisCache, self).set(key, value, timeout, version), None)

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self._or_miss(lambda: super(ForgivingRedisCache, self).add(key, value, timeout, version), False)

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self._or_miss(lambda: super(ForgivingRedisCache, self).touch(key, timeout, version), False)

    def delete(self, key: Any, version: int | None = None) -> bool:
        return self._or_miss(lambda: super(ForgivingRedisCache, self).delete(key, version), False)

    def has_key(self, key: Any, version: int | None = None) -> bool:
        return self._or_miss(lambda: super(ForgivingRedisCache, self).has_key(key, version), False)

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        count = self._or_miss(lambda: super(ForgivingRedisCache, self).incr(key, delta, version), None)
        if count is None:
            raise ValueError("The cache is away.")
        return count

    def get_many(self, keys: Any, version: int | None = None) -> dict[Any, Any]:
        return self._or_miss(lambda: super(ForgivingRedisCache, self).get_many(keys, version), {})

    def set_many(self, data: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> list[Any]:
        failed = list(data)
        return self._or_miss(lambda: super(ForgivingRedisCache, self).set_many(data, timeout, version), failed)

    def delete_many(self, keys: Any, version: int | None = None) -> None:
        self._or_miss(lambda: super(ForgivingRedisCache, self).delete_many(keys, version), None)

    def clear(self) -> None:
        self._or_miss(lambda: super(ForgivingRedisCache, self).clear(), None)
