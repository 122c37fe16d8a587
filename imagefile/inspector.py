"""The one look at a file before anything is run on it.

The format is declared by somebody, never guessed; a file that looks like something else is refused. Whoever runs a
program on it afterwards states the same format again.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from imagefile import signatures
from imagefile.errors import ImageRefused
from imagefile.qcow2 import read_header

FORMATS = ("qcow2", "raw", "iso")
SECTOR = 512
ISO_MARK = 0x8001, b"CD001"  # every ISO 9660 volume descriptor says so in its second byte


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """``backing`` is empty but for an overlay of our own."""

    format: str
    size_bytes: int
    virtual_size_bytes: int
    backing: str = ""


def inspect(path: Path, *, declared: str, most_virtual_bytes: int, own_base: str = "") -> Inspected:
    """What the file is. Raises ``ImageRefused``.

    ``own_base``: the file is the overlay of a VM of ours, and may name this file, and no other, as its backing.
    """
    if declared not in FORMATS:
        raise ImageRefused("image.format", f"Images are qcow2, raw or iso, not {declared[:20]!r}.")
    with open(path, "rb", opener=_without_links) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ImageRefused("image.format", "The image is not a file.")
        size = status.st_size
        if not size:
            raise ImageRefused("image.empty", "The file is empty.")
        head = file.read(signatures.HEAD_BYTES)
        file.seek(max(0, size - signatures.TAIL_BYTES))
        seen = signatures.looks_like(head, file.read(signatures.TAIL_BYTES))
        if seen == "raw" and _is_iso(file):
            seen = "iso"
        if seen != declared and (seen, declared) != ("iso", "raw"):
            raise _not_declared(declared, seen)
        if declared == "qcow2":
            header = read_header(file, file_size=size)
            _check_backing(header.backing, own_base)
            found = Inspected(
                format="qcow2", size_bytes=size, virtual_size_bytes=header.virtual_size, backing=header.backing
            )
        else:
            found = Inspected(format=declared, size_bytes=size, virtual_size_bytes=_raw_size(size))
    if not found.virtual_size_bytes:
        raise ImageRefused("image.empty", "The image holds a disk of no size.")
    if found.virtual_size_bytes > most_virtual_bytes:
        gib = most_virtual_bytes >> 30
        raise ImageRefused("image.too_large", f"The disk in the image is larger than the limit of {gib} GiB.")
    return found


def _is_iso(file: IO[bytes]) -> bool:
    file.seek(ISO_MARK[0])
    return file.read(len(ISO_MARK[1])) == ISO_MARK[1]


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _not_declared(declared: str, seen: str) -> ImageRefused:
    if seen == "raw":
        return ImageRefused("image.format", f"The file does not begin like a {declared} image.")
    if seen in ("gzip", "xz", "zstd", "bzip2", "zip", "7z", "tar"):
        return ImageRefused("image.format", f"The file is packed ({seen}). Unpack it first.")
    return ImageRefused("image.format", f"The file was declared as {declared}, but looks like {seen}.")


def _check_backing(backing: str, own_base: str) -> None:
    if backing and (not own_base or PurePosixPath(backing).name != own_base or ":" in backing):
        raise ImageRefused("image.backing_file", "The image reads through another file; it must stand alone.")


def _raw_size(size: int) -> int:
    if size % SECTOR:
        raise ImageRefused("image.damaged", "The file is cut off: a disk or CD is a multiple of 512 bytes long.")
    return size
