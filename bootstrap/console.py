"""What the person at the keyboard sees: steps, progress, one prompt."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PROGRESS_EVERY = 10.0
"""Seconds after which a silent step says that it is still at work."""


def say(text: str = "") -> None:
    """Write one line to standard output at once, also through a pipe."""
    print(text, flush=True)


def warn(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(title: str) -> Iterator[Callable[[str], None]]:
    """Announce a step, report while it lasts, and say how long it took.

    The value is a function that replaces the detail shown with the next "still at work" line.
    """
    say(f"==> {title}")
    started = time.monotonic()
    detail = [""]
    ended = threading.Event()

    def report() -> None:
        while not ended.wait(PROGRESS_EVERY):
            suffix = f": {detail[0]}" if detail[0] else ""
            say(f"    … {time.monotonic() - started:.0f} s{suffix}")

    def set_detail(text: str) -> None:
        detail[0] = text[-120:]

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        yield set_detail
    finally:
        ended.set()
        reporter.join()
    say(f"    done in {time.monotonic() - started:.1f} s")


def confirm(question: str) -> bool:
    """Ask once. No terminal, ``CI`` or ``CLOUDSITE_YES=1`` counts as yes: a script has decided already."""
    if os.environ.get("CLOUDSITE_YES") == "1" or os.environ.get("CI") or not sys.stdin.isatty():
        return True
    try:
        answer = input(f"{question} [Y/n] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("", "y", "yes")
