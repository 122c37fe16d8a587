"""A qcow2 header, read strictly and without running anything on the file.

Source: QEMU, docs/interop/qcow2.txt. What could make QEMU open another file, or what we do not know, is refused.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

from imagefile.errors import ImageRefused

MAGIC = b"QFI\xfb"
_V2 = struct.Struct(">4sIQIIQIIQQIIQ")
_V3 = struct.Struct(">QQQII")
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_KNOWN = _DIRTY | _CORRUPT | _DATA_FILE | _COMPRESSION | _EXTENDED_L2
_END, _CRYPTO, _DATA_FILE_NAME = 0, 0x0537BE77, 0x44415441
_MOST_L1_BYTES = 32 * 2**20
_MOST_REFTABLE_BYTES = 8 * 2**20
_MOST_EXTENSIONS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """``backing`` is the name that the file gives; whoever allows one still decides himself what is opened."""

    virtual_size: int
    backing: str


def read_header(file: BinaryIO, *, file_size: int) -> Header:
    """The checked header. Raises ``ImageRefused``; a backing file is left to the caller."""
    file.seek(0)
    start = file.read(_V2.size)
    if len(start) < _V2.size:
        raise _damaged("ends within its header")
    (magic, version, backing_at, backing_length, cluster_bits, size, crypt) = _V2.unpack(start)[:7]
    (l1_entries, l1_at, reftable_at, reftable_clusters, _snapshots, _snapshots_at) = _V2.unpack(start)[7:]
    if magic != MAGIC:
        raise ImageRefused("image.format", "The file is no qcow2 image.")
    if version not in (2, 3):
        raise ImageRefused("image.format", f"qcow2 of version {version} is not known; it is 2 or 3.")
    if crypt:
        raise ImageRefused("image.encrypted", "The image is encrypted; Cloudsite has no key for it.")
    if not 9 <= cluster_bits <= 21:
        raise _damaged("has a cluster size that does not exist")
    features, header_length = _read_v3(file) if version == 3 else (0, _V2.size)
    _check_features(features)
    cluster = 1 << cluster_bits
    _check_extensions(file, start=header_length, end=backing_at or cluster, cluster=cluster)
    entries_per_table = cluster // (16 if features & _EXTENDED_L2 else 8)
    if l1_entries * 8 > _MOST_L1_BYTES or l1_entries * cluster * entries_per_table < size:
        raise _damaged("has a table of a size that cannot be")
    if reftable_clusters * cluster > _MOST_REFTABLE_BYTES or not reftable_clusters:
        raise _damaged("has a reference table of a size that cannot be")
    for name, at, length in (("tables", l1_at, l1_entries * 8), ("references", reftable_at, cluster)):
        if at % cluster or at + length > file_size or (length and at < cluster):
            raise _damaged(f"ends before its {name}")
    return Header(virtual_size=size, backing=_backing(file, at=backing_at, length=backing_length, cluster=cluster))


def _damaged(what: str) -> ImageRefused:
    return ImageRefused("image.damaged", f"The image is damaged or cut off: it {what}.")


def _read_v3(file: BinaryIO) -> tuple[int, int]:
    """Incompatible features and the length of the header."""
    more = file.read(_V3.size)
    if len(more) < _V3.size:
        raise _damaged("ends within its header")
    features, _compatible, _autoclear, refcount_order, length = _V3.unpack(more)
    if length < _V2.size + _V3.size or length % 8 or length > 4096 or refcount_order > 6:
        raise _damaged("has a header of a length that cannot be")
    if features & _COMPRESSION:
        kind = file.read(1)
        if length < 105 or kind not in (b"\0", b"\1"):
            raise ImageRefused("image.features", "The image is compressed in a way that is not known.")
    return int(features), int(length)


def _check_features(features: int) -> None:
    if features & _DATA_FILE:
        raise ImageRefused("image.data_file", "The image keeps its data in another file; it must stand alone.")
    if features & ~_KNOWN:
        raise ImageRefused("image.features", "The image needs features that are not known.")
    if features & (_DIRTY | _CORRUPT):
        raise ImageRefused("image.damaged", "The image was not closed properly. Repair it with qemu-img check -r all.")


def _check_extensions(file: BinaryIO, *, start: int, end: int, cluster: int) -> None:
    at = start
    for _ in range(_MOST_EXTENSIONS):
        if at + 8 > min(end, cluster):
            return
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            raise _damaged("ends within its header")
        kind, length = struct.unpack(">II", head)
        if kind == _END:
            return
        if kind == _DATA_FILE_NAME:
            raise ImageRefused("image.data_file", "The image names another file for its data; it must stand alone.")
        if kind == _CRYPTO:
            raise ImageRefused("image.encrypted", "The image is encrypted; Cloudsite has no key for it.")
        if length > cluster:
            raise _damaged("has a header extension that is too long")
        at += 8 + (length + 7) // 8 * 8
    raise _damaged("has too many header extensions")


def _backing(file: BinaryIO, *, at: int, length: int, cluster: int) -> str:
    if not at and not length:
        return ""
    if not at or not 1 <= length <= 1023 or at + length > cluster:
        raise _damaged("names a backing file in a way that cannot be")
    file.seek(at)
    return file.read(length).decode("utf-8", errors="replace")
