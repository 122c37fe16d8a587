"""Writes the archive format of an initramfs (cpio, `newc`), with every owner root and every time zero.

Writing it here makes device nodes possible without being root and the result the same for the same content.
"""

import stat
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Archive:
    """An archive under construction."""

    _entries: list[bytes] = field(default_factory=list)

    def directory(self, name: str) -> None:
        """Add a directory."""
        self._add(name, mode=stat.S_IFDIR | 0o755)

    def file(self, name: str, content: bytes, *, executable: bool = False) -> None:
        """Add a regular file."""
        self._add(name, mode=stat.S_IFREG | (0o755 if executable else 0o644), content=content)

    def symlink(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self._add(name, mode=stat.S_IFLNK | 0o777, content=target.encode())

    def character_device(self, name: str, *, major: int, minor: int) -> None:
        """Add a character device."""
        self._add(name, mode=stat.S_IFCHR | 0o600, device=(major, minor))

    def to_bytes(self) -> bytes:
        """The finished archive."""
        return b"".join(self._entries) + _entry("TRAILER!!!", number=0, mode=0, content=b"", device=(0, 0))

    def _add(self, name: str, *, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        number = len(self._entries) + 1
        self._entries.append(_entry(name, number=number, mode=mode, content=content, device=device))


def _entry(name: str, *, number: int, mode: int, content: bytes, device: tuple[int, int]) -> bytes:
    encoded = name.encode() + b"\0"
    # inode, mode, uid, gid, links, time, size, archive's device (2), node's device (2), name size, checksum
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % value for value in fields)
    return _padded(header + encoded) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
