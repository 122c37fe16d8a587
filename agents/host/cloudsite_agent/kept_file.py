"""Files of /proc and /sys that stay open: to read one again costs one system call."""

from __future__ import annotations

import os

MOST_BYTES = 65536
WHOLE_BELOW = 3000
"""The kernel hands out long lists in pieces of a page, so an answer below this is a whole file."""


class KeptFile:
    """One file. What belongs to a process that ended raises ``OSError``, also when its number is used again."""

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._descriptor = -1

    def read(self) -> bytes:
        """The content now. After an error, the next call opens the file anew."""
        try:
            if self._descriptor < 0:
                self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            content = os.pread(self._descriptor, MOST_BYTES, 0)
            if len(content) < WHOLE_BELOW:
                return content
            pieces = [content]
            offset = len(content)
            while content := os.pread(self._descriptor, MOST_BYTES, offset):
                pieces.append(content)
                offset += len(content)
            return b"".join(pieces)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class NumberFile(KeptFile):
    """A file that holds one whole number, as most of /sys do."""

    __slots__ = ()

    def number(self) -> int | None:
        """The number, or None where there is none."""
        try:
            return int(self.read())
        except (OSError, ValueError):
            return None
