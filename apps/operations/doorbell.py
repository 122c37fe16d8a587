"""Ringing the workers. The row is the truth, so a bell that does not ring costs a sweep, never an operation."""

import time
import uuid
from functools import cache, partial

import redis
import structlog
from celery import current_app
from django.conf import settings
from django.db import transaction
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger(__name__)
RUN = "operations.run"
MOST_COUNTDOWN = 30.0
LOOK_TIMEOUT = 0.5
PAUSE_SECONDS = 1.0

_silent_until = 0.0


def ring(operation_id: uuid.UUID, seconds: float = 0.0) -> bool:
    """Tell a worker that this operation is due, in a while. Returns whether the bell rang; never raises.

    The sweep finds what no bell announced. With Redis away or hanging this costs ``LOOK_TIMEOUT`` once a second:
    whoever asks for many things in one request must not wait for each bell.
    """
    global _silent_until
    if time.monotonic() < _silent_until:
        return False
    countdown = min(seconds, MOST_COUNTDOWN) or None
    try:
        _redis().ping()
        current_app.send_task(RUN, args=[str(operation_id)], ignore_result=True, retry=False, countdown=countdown)
    except Exception as error:
        _silent_until = time.monotonic() + PAUSE_SECONDS
        log.warning("doorbell.failed", operation_id=str(operation_id), reason=str(error))
        return False
    return True


@cache
def _redis() -> redis.Redis:
    """Looks whether anybody answers. Celery's own connection tries for six seconds, measured, and cannot be told."""
    return redis.Redis.from_url(
        settings.CONFIG.redis_url,
        socket_timeout=LOOK_TIMEOUT,
        socket_connect_timeout=LOOK_TIMEOUT,
        retry=Retry(NoBackoff(), 1),
    )


def ring_on_commit(operation_id: uuid.UUID, seconds: float = 0.0) -> None:
    """Ring once the row is visible to the workers; not at all when the transaction is rolled back."""
    transaction.on_commit(partial(_ring, operation_id, seconds))


def _ring(operation_id: uuid.UUID, seconds: float) -> None:
    ring(operation_id, seconds)
