"""Waiting on conditions, never for times."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], *, seconds: float, what: str, every: float = 0.05) -> T:
    """The first true value of ``condition``. Fails after ``seconds``, naming ``what`` was waited for."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:.0f} s in vain for {what}; last value: {value!r}")
        pause.wait(every)
