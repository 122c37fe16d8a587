"""Sends what the buffer holds, the oldest first, one batch at a time, and waits longer when that does not work."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .buffer import Batch, Buffer
from .ingest import Answer, NoAnswer, Refused

MOST_SAMPLES = 120
MOST_BODY = 2**20 - 2048
"""Bytes of the samples in one body; the rest is for what stands around them."""
CATCH_UP_PAUSE = 1.0
"""Seconds between two batches when more waits than one holds: ten minutes of samples a second, at most."""
SHORTEST, LONGEST = 1.0, 60.0
"""Seconds to wait after a failure."""
BEYOND_HELP = (400, 413, 415, 422)
"""The backend will say the same of this batch again."""
NOT_LET_IN = (401, 403)
log = logging.getLogger("cloudsite_agent.push")


class Sender(Protocol):
    """The way to the backend."""

    def send(self, body: bytes) -> Answer: ...


@dataclass(kw_only=True)
class Progress:
    """For people who ask how it goes. Times are of the wall clock."""

    sent: int = 0
    duplicates: int = 0
    refused: int = 0
    dropped: int = 0
    failures: int = 0
    last_success: float | None = None
    last_error: str | None = None


class Pusher:
    """``head`` makes the beginning of a body; ``adopt`` is handed the schedule of every good answer."""

    def __init__(
        self,
        *,
        buffer: Buffer,
        sender: Sender,
        head: Callable[[], bytes],
        adopt: Callable[[object], None],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.progress = Progress()
        self._buffer, self._sender = buffer, sender
        self._head, self._adopt = head, adopt
        self._chance = chance
        self._failures_in_a_row = 0
        self._refusing = False
        self._more = threading.Event()
        self._stopped = threading.Event()

    def wake(self) -> None:
        """There is a new sample."""
        self._more.set()

    def stop(self) -> None:
        self._stopped.set()
        self._more.set()

    def run(self) -> None:
        """Until ``stop``. A failed batch is not hurried by new samples."""
        while not self._stopped.is_set():
            self._more.clear()
            try:
                pause = self.step()
            except Exception:
                log.exception("the push failed in an unforeseen way")
                pause = LONGEST
            if pause is None:
                self._more.wait()
            else:
                self._stopped.wait(pause)

    def step(self) -> float | None:
        """Send one batch. Seconds to wait before the next, or None to wait for a sample."""
        batch = self._buffer.oldest(most_records=MOST_SAMPLES, most_bytes=MOST_BODY)
        if batch is None:
            return None
        body = self._head() + b'"samples": [' + b",".join(batch.records) + b"]}"
        try:
            answer = self._sender.send(body)
        except NoAnswer as error:
            return self._failed(str(error), longest=isinstance(error, Refused))
        return self._answered(answer, batch)

    def _answered(self, answer: Answer, batch: Batch) -> float | None:
        status, document = answer.status, answer.document
        if status == 200 and isinstance(document, dict):
            self._succeeded(document, len(batch.records))
        elif status in BEYOND_HELP:
            self.progress.dropped += len(batch.records)
            self.progress.last_error = f"the backend answered {status}"
            said = {"status": status, "samples": len(batch.records), "answer": str(document)[:500]}
            log.error("the backend cannot use a batch; it is dropped", extra={"fields": said})
        else:
            pause = self._failed(f"the backend answered {status}", longest=status in NOT_LET_IN)
            return min(LONGEST, max(pause, answer.retry_after or 0.0))
        self._buffer.acknowledge(batch.end)
        more = self._buffer.oldest(most_records=1, most_bytes=1) is not None
        return CATCH_UP_PAUSE * (0.5 + self._chance()) if more else None

    def _succeeded(self, document: dict[str, object], samples: int) -> None:
        if self._failures_in_a_row:
            log.info("the backend is back", extra={"fields": {"failures": self._failures_in_a_row}})
        self._failures_in_a_row = 0
        progress = self.progress
        progress.sent += samples
        progress.last_success, progress.last_error = time.time(), None
        duplicates, refused = document.get("duplicates"), document.get("refused")
        progress.duplicates += duplicates if isinstance(duplicates, int) else 0
        if isinstance(refused, list) and refused:
            progress.refused += len(refused)
            if not self._refusing:
                fields = {"samples": len(refused), "first": str(refused[0])[:500]}
                log.warning("the backend refuses samples", extra={"fields": fields})
        self._refusing = bool(refused)
        if "schedule" in document:
            self._adopt(document["schedule"])

    def _failed(self, reason: str, *, longest: bool) -> float:
        """How long to wait: twice as long each time, and not all agents at the same moment."""
        first = self.progress.last_error != reason
        self._failures_in_a_row += 1
        self.progress.failures += 1
        self.progress.last_error = reason
        pause = LONGEST
        if not longest:
            doubled = min(LONGEST, SHORTEST * 2.0 ** min(self._failures_in_a_row, 10))
            pause = max(SHORTEST, doubled * (0.5 + self._chance() / 2))
        if first:
            fields = {"reason": reason, "again_in": round(pause, 1)}
            log.warning("the backend did not take the samples", extra={"fields": fields})
        return pause
