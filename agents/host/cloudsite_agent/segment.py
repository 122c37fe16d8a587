"""A piece of the buffer: records in the order in which they came, in a file or, where no file can be, in memory."""

from __future__ import annotations

import base64
import binascii
import errno
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

SUFFIX = ".samples"
MOST_RECORD = 1_000_000
"""Bytes of one record, unpacked. More cannot be in a body for the backend."""
MOST_LINE = 2_000_000
"""Bytes that are looked through for the end of a line."""


def encode(record: bytes) -> bytes:
    """One line. It checks itself: packed data ends with a checksum, so that half a line is seen for what it is."""
    return base64.b64encode(zlib.compress(record, 1)) + b"\n"


def decode(line: bytes) -> bytes | None:
    """The record in a line with its line break; None for a torn or damaged one."""
    if not line.endswith(b"\n"):
        return None
    unpacker = zlib.decompressobj()
    try:
        record = unpacker.decompress(base64.b64decode(line[:-1], validate=True), MOST_RECORD)
    except (binascii.Error, zlib.error):
        return None
    return record if unpacker.eof else None


@dataclass(frozen=True, kw_only=True)
class Line:
    """``end`` is where the next one begins; ``record`` is None where it cannot be read."""

    record: bytes | None
    end: int


class Segment(Protocol):
    """``number`` orders the segments; ``size`` is in bytes, ``written`` the wall clock's time of the last line."""

    number: int
    size: int
    written: float

    def append(self, line: bytes, *, now: float) -> None: ...

    def line(self, offset: int) -> Line | None: ...

    def close(self) -> None: ...

    def remove(self) -> None: ...


class FileSegment:
    """A file that only grows, opened when it is used. One of an earlier run is read and never written: its last line
    may be torn.
    """

    def __init__(self, path: Path, *, size: int = 0, written: float = 0.0) -> None:
        self.number = int(path.stem)
        self.size, self.written = size, written
        self._path = path
        self._file: BinaryIO | None = None

    @classmethod
    def found(cls, path: Path) -> FileSegment:
        """One of an earlier run."""
        state = path.stat()
        return cls(path, size=state.st_size, written=state.st_mtime)

    def append(self, line: bytes, *, now: float) -> None:
        """:raises OSError: and what was there before can still be read; no more may be appended then."""
        done = os.write(self._open().fileno(), line)
        if done < len(line):
            raise OSError(errno.ENOSPC, "the disk took only a part")
        self.size += len(line)
        self.written = now

    def line(self, offset: int) -> Line | None:
        """:raises OSError: when the disk does not give it back."""
        if offset >= self.size:
            return None
        file = self._open()
        if file.tell() != offset:
            file.seek(offset)
        content = file.readline(min(MOST_LINE, self.size - offset))
        return Line(record=decode(content), end=offset + len(content)) if content else None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        self.close()
        self._path.unlink(missing_ok=True)

    def _open(self) -> BinaryIO:
        if self._file is None:
            descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(descriptor, "rb", buffering=65536)
        return self._file


class MemorySegment:
    """What is left when the disk takes nothing. It is small, and lost when the agent ends."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.size = 0
        self.written = 0.0
        self._content = bytearray()

    def append(self, line: bytes, *, now: float) -> None:
        self._content += line
        self.size += len(line)
        self.written = now

    def line(self, offset: int) -> Line | None:
        if offset >= self.size:
            return None
        end = self._content.index(b"\n", offset) + 1
        return Line(record=decode(bytes(self._content[offset:end])), end=end)

    def close(self) -> None:
        """It goes with the process."""

    def remove(self) -> None:
        self._content.clear()
