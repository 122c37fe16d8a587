"""A worker that is connected and hears no bell any more ends itself, so that its supervisor starts a new one.

After a reconnect to Redis, Celery's consumer can stay silent for ever (celery #8030, #9054, #10205). What is due
is swept and rung every few seconds by the worker itself, so a worker that hears nothing meanwhile is deaf.
"""

import os
import signal
import threading
import time

import structlog
from celery.signals import task_received
from django.conf import settings

from apps.operations import timeouts

log = structlog.get_logger(__name__)
FAREWELL_SECONDS = 10.0
DEAF = 75


def patience() -> float:
    """Seconds of silence. Within one self-kill every busy child is free again, and hears the next bell."""
    return 2 * timeouts.self_kill()


class Hearing:
    """When this worker's parent last received a task."""

    def __init__(self) -> None:
        self._heard_at = time.monotonic()
        task_received.connect(self._heard, weak=False)

    def _heard(self, **_kwargs: object) -> None:
        self._heard_at = time.monotonic()

    def check(self) -> None:
        """Called when bells have rung: end this worker if it has heard none of them for too long.

        It may stop in an orderly way; one that cannot is ended. What it was doing is taken over when its lease dies.
        """
        silence = time.monotonic() - self._heard_at
        if silence < patience():
            return
        log.error("worker.deaf", silent_seconds=round(silence))
        self._heard_at = time.monotonic() + FAREWELL_SECONDS
        threading.Timer(FAREWELL_SECONDS * settings.TIME_SCALE, os._exit, args=[DEAF]).start()
        os.kill(os.getpid(), signal.SIGTERM)
