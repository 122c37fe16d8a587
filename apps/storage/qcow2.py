"""The few header fields of a qcow2 file that we need, read without running anything on the file.

Source: QEMU, docs/interop/qcow2.txt.
"""

import struct
from pathlib import Path

MAGIC = b"QFI\xfb"
HEADER = struct.Struct(">4sIQIIQ")
DATA_FILE_BIT = 1 << 2


class NotQcow2(ValueError):
    """The file is no qcow2, or one that points at other files."""


def virtual_size(path: Path) -> int:
    """Bytes of the disk that a guest sees. Raises ``NotQcow2`` also for backing and external data files."""
    with path.open("rb") as file:
        head = file.read(104)
    if len(head) < HEADER.size or head[:4] != MAGIC:
        raise NotQcow2(f"{path.name} is not a qcow2 image.")
    _magic, version, backing, _length, _bits, size = HEADER.unpack(head[: HEADER.size])
    if backing:
        raise NotQcow2(f"{path.name} names a backing file; an image must stand alone.")
    if version >= 3:
        (features,) = struct.unpack(">Q", head[72:80])
        if features & DATA_FILE_BIT:
            raise NotQcow2(f"{path.name} keeps its data in another file; an image must stand alone.")
    return int(size)
