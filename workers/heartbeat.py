"""Signs of life of workers, beat and watch, in the cache, for ``/readyz`` and the health page."""

import time

from django.core.cache import cache

TTL_SECONDS = 60
SILENCE_SECONDS = 30.0


def beat(name: str) -> None:
    """Say that ``name`` is alive. With Redis away this is forgotten, and ``/readyz`` says why."""
    cache.set(f"heartbeat:{name}", time.time(), TTL_SECONDS)


def is_silent(name: str) -> bool:
    """Whether there has been no sign of life of ``name`` for a while, or none is kept."""
    at = cache.get(f"heartbeat:{name}")
    return at is None or time.time() - at > SILENCE_SECONDS
