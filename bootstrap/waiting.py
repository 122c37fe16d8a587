"""Waiting for a condition, bounded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

POLL_SECONDS = 0.1


def wait_until(condition: Callable[[], bool], *, timeout: float, poll: float = POLL_SECONDS) -> bool:
    """Ask again until the condition holds or the time (seconds) is over; the value says which."""
    never = threading.Event()
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            return False
        never.wait(poll)
    return True
