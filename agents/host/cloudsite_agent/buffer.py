"""Samples that wait for the backend: on disk, in order, bounded by size and age."""

from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .segment import MOST_RECORD, SUFFIX, FileSegment, Line, MemorySegment, Segment, encode

SEGMENT_BYTES = 4 * 2**20
SEGMENT_SECONDS = 3600.0
"""A segment is dropped whole, so it must not reach far back."""
MEMORY_BYTES = 4 * 2**20
MEMORY_SEGMENT_BYTES = 2**20
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, order=True)
class Place:
    """Between two records."""

    segment: int
    offset: int


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The oldest records, and the place behind them."""

    records: list[bytes]
    end: Place


@dataclass(kw_only=True)
class Losses:
    """Since the start. What is dropped is not read again, so that only its bytes are known."""

    dropped_bytes: int = 0
    unreadable: int = 0
    too_large: int = 0


class Buffer:
    """Every sample goes through the disk, so that an agent that is killed loses none.

    Nothing is synced: what the machine wrote in the seconds before a power cut may be lost.
    """

    def __init__(
        self, directory: Path, *, most_bytes: int, most_seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self.losses = Losses()
        self._directory = directory
        self._most_bytes, self._most_seconds = most_bytes, most_seconds
        self._segment_bytes = min(SEGMENT_BYTES, max(1, most_bytes // 4))
        self._clock = clock
        self._lock = threading.RLock()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths = [path for path in directory.glob(f"*{SUFFIX}") if path.stem.isdecimal()]
        found = sorted((FileSegment.found(path) for path in paths), key=lambda segment: segment.number)
        self._segments: list[Segment] = [*found]
        self._start = self._stored_place()
        self._last_number = max([segment.number for segment in found] + [self._start.segment])
        self._unreadable_until = self._start
        self._written_to: FileSegment | None = None
        self._written_since = 0.0
        self._forget_acknowledged()
        self._keep_bounds(0)

    def append(self, record: bytes) -> None:
        """Keep a record; the oldest ones go when there is no room. Never fails because of the disk."""
        if len(record) > MOST_RECORD:
            self.losses.too_large += 1
            return
        line = encode(record)
        with self._lock:
            self._keep_bounds(len(line))
            while error := self._write_to_file(line):
                if error not in NO_ROOM or self._files() < 2:
                    self._write_to_memory(line)
                    return
                self._drop_oldest()

    def oldest(self, *, most_records: int, most_bytes: int) -> Batch | None:
        """What to send next, at least one record; it stays until it is acknowledged. None: all is sent."""
        records: list[bytes] = []
        total = 0
        with self._lock:
            end = self._start
            for segment in self._segments:
                offset = end.offset if segment.number == end.segment else 0
                while line := self._line(segment, offset):
                    if line.record is not None:
                        total += len(line.record) + 1
                        if records and (len(records) == most_records or total > most_bytes):
                            return Batch(records=records, end=end)
                        records.append(line.record)
                    offset = line.end
                    end = Place(segment.number, offset)
            if not records:
                self.acknowledge(end)  # nothing there can be read
                return None
        return Batch(records=records, end=end)

    def acknowledge(self, place: Place) -> None:
        """Forget everything before this place. One that was dropped in the meantime changes nothing."""
        with self._lock:
            if place > self._start:
                self._start = place
                self._forget_acknowledged()
                self._store_place()

    def figures(self) -> dict[str, int]:
        """How much waits on disk, and what was lost since the start."""
        with self._lock:
            return {
                "bytes": sum(self._unsent(segment) for segment in self._segments),
                "segments": sum(self._unsent(segment) > 0 for segment in self._segments),
                "dropped_bytes": self.losses.dropped_bytes,
                "unreadable": self.losses.unreadable,
                "too_large": self.losses.too_large,
            }

    def close(self) -> None:
        with self._lock:
            for segment in self._segments:
                segment.close()

    # --- writing
    def _write_to_file(self, line: bytes) -> int:
        """0, or the number of the error. After one, the file may end in half a line, so another is begun."""
        now = self._clock()
        segment = self._written_to
        full = segment is not None and segment.size + len(line) > self._segment_bytes
        if segment is None or full or now - self._written_since > SEGMENT_SECONDS:
            self._last_number += 1  # also when it fails: what a failed one left behind is never appended to
            segment = FileSegment(self._directory / f"{self._last_number:012d}{SUFFIX}")
            self._written_since = now
        try:
            segment.append(line, now=now)
        except OSError as error:
            self._written_to = None
            if segment.size == 0:
                with suppress(OSError):
                    segment.remove()
            return error.errno or errno.EIO
        if segment is not self._written_to:
            self._segments.append(segment)
            self._written_to = segment
        return 0

    def _write_to_memory(self, line: bytes) -> None:
        """The disk takes nothing: a little of the newest is kept all the same, behind what is on disk."""
        last = self._segments[-1] if self._segments else None
        if not isinstance(last, MemorySegment) or last.size + len(line) > MEMORY_SEGMENT_BYTES:
            self._last_number += 1
            last = MemorySegment(self._last_number)
            self._segments.append(last)
        last.append(line, now=self._clock())
        while sum(segment.size for segment in self._segments if isinstance(segment, MemorySegment)) > MEMORY_BYTES:
            self._drop_oldest()

    # --- forgetting
    def _keep_bounds(self, more: int) -> None:
        """Make room for so many bytes, and drop what the backend would find too old."""
        while self._segments and sum(segment.size for segment in self._segments) + more > self._most_bytes:
            self._drop_oldest()
        while self._segments and self._segments[0].written < self._clock() - self._most_seconds:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        segment = self._segments[0]
        self.losses.dropped_bytes += self._unsent(segment)
        self._start = max(self._start, Place(segment.number + 1, 0))
        self._forget_acknowledged()

    def _forget_acknowledged(self) -> None:
        while self._segments:
            segment = self._segments[0]
            ended = segment.number < self._start.segment or segment is not self._written_to
            if self._unsent(segment) or not ended:
                return
            if segment is self._written_to:
                self._written_to = None
            with suppress(OSError):
                segment.remove()
            del self._segments[0]

    def _unsent(self, segment: Segment) -> int:
        if segment.number < self._start.segment:
            return 0
        return max(0, segment.size - (self._start.offset if segment.number == self._start.segment else 0))

    def _files(self) -> int:
        return sum(isinstance(segment, FileSegment) for segment in self._segments)

    # --- reading
    def _line(self, segment: Segment, offset: int) -> Line | None:
        """The next line; the rest of a file that the disk does not give back counts as one that cannot be read."""
        try:
            line = segment.line(offset)
        except OSError:
            line = Line(record=None, end=segment.size)
        if line is not None and line.record is None and Place(segment.number, line.end) > self._unreadable_until:
            self._unreadable_until = Place(segment.number, line.end)
            self.losses.unreadable += 1
        return line

    # --- the place up to which everything is acknowledged
    def _store_place(self) -> None:
        """Whole or not at all. Where it cannot be written, a restart sends twice what the backend knows already."""
        part = self._directory / "place.part"
        with suppress(OSError):
            part.write_text(json.dumps([self._start.segment, self._start.offset]))
            part.replace(self._directory / "place")

    def _stored_place(self) -> Place:
        try:
            segment, offset = json.loads((self._directory / "place").read_bytes())
        except (OSError, ValueError, TypeError):
            return Place(0, 0)
        known = isinstance(segment, int) and isinstance(offset, int) and segment >= 0 and offset >= 0
        return Place(segment, offset) if known else Place(0, 0)
