"""Progress as lines on standard error: `step 2/5 text`, one per step, so that a caller can show them live."""

import sys
from typing import TextIO


class Progress:
    """Counts the steps of one build whose greatest number is known from the start."""

    def __init__(self, *, total: int, stream: TextIO | None = None) -> None:
        self.total = total
        self.done = 0
        self._stream = stream

    def step(self, text: str) -> None:
        """Announce the next step."""
        self.done += 1
        self._print(f"step {self.done}/{self.total} {text}")

    def note(self, text: str) -> None:
        """Say something within the current step."""
        self._print(f"step {self.done}/{self.total} ... {text}")

    def finish(self, text: str) -> None:
        """Announce the last step; what the cache already had is skipped."""
        self.done = self.total
        self._print(f"step {self.total}/{self.total} {text}")

    def _print(self, line: str) -> None:
        print(line, file=self._stream or sys.stderr, flush=True)
