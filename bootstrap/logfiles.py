"""Log files of bounded size, and following all of them at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from bootstrap.console import say

MAX_BYTES = 10 * 1024 * 1024
KEEP = 3
LONGEST_LINE = 64 * 1024
"""Bytes that are read at once; a process that never ends its line must not fill our memory."""
FOLLOW_SECONDS = 0.3
TAIL_BYTES = 16 * 1024


class RotatingLog:
    """Appends to a file; a full one becomes ``.1``, and so on up to ``keep`` old ones."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, keep: int = KEEP) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._stream = path.open("ab")

    def write(self, data: bytes) -> None:
        if self._stream.tell() + len(data) > self._max_bytes:
            self._rotate()
        self._stream.write(data)
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()

    def _rotate(self) -> None:
        self._stream.close()
        for number in range(self._keep, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            newer = self._path if number == 1 else self._path.with_name(f"{self._path.name}.{number - 1}")
            if newer.exists():
                newer.replace(older)
        self._stream = self._path.open("wb")


def pump(source: IO[bytes], log: RotatingLog, *, echo: str | None = None) -> threading.Thread:
    """Copy a process's output into its log until the output ends.

    A full disk must not block the process, so a line that cannot be written is dropped.

    :param echo: show every line on the console too, after this prefix.
    """

    def copy() -> None:
        with source:
            for line in iter(lambda: source.readline(LONGEST_LINE), b""):
                if echo is not None:
                    say(echo + line.decode(errors="replace").rstrip())
                try:
                    log.write(line)
                except OSError:
                    continue
        log.close()

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    return thread


def pretty(line: str) -> str:
    """A structured line as people read it: time, level, event, then the rest; anything else as it is."""
    try:
        record = json.loads(line)
    except ValueError:
        return line
    if not isinstance(record, dict):
        return line
    moment = str(record.pop("timestamp", record.pop("time", "")))
    level = str(record.pop("level", "")).upper()
    event = str(record.pop("event", record.pop("message", "")))
    rest = " ".join(f"{key}={value}" for key, value in record.items() if value not in (None, ""))
    return " ".join(part for part in (moment, f"{level:<7}" if level else "", event, rest) if part)


class _Follower:
    """One file, read on from where it was; a rotated file is opened again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = max(0, path.stat().st_size - TAIL_BYTES)
        self._inode = path.stat().st_ino
        self._partial = b""

    def new_lines(self) -> Iterator[str]:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return
        if status.st_ino != self._inode or status.st_size < self._position:
            self._inode, self._position, self._partial = status.st_ino, 0, b""
        with self.path.open("rb") as stream:
            stream.seek(self._position)
            data = stream.read()
        self._position += len(data)
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")


def follow(directory: Path, names: Sequence[str] = (), *, forever: bool = True) -> None:
    """Print the end of every log (or the named ones) and whatever is added, prefixed with its process."""
    followers: dict[Path, _Follower] = {}
    never = threading.Event()
    while True:
        for path in sorted(directory.glob("*.log")):
            if path not in followers and (not names or path.stem in names):
                followers[path] = _Follower(path)
        for path, follower in followers.items():
            for line in follower.new_lines():
                say(f"{path.stem:<9} {pretty(line)}")
        if not forever:
            return
        never.wait(FOLLOW_SECONDS)
