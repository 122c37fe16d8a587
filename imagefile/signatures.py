"""What a file looks like from its first and last bytes. For refusals only: nothing is ever opened as what it looks
like, but as what somebody declared."""

import re

HEAD_BYTES = 4096
TAIL_BYTES = 512

# (name, where it stands, the bytes)
_FIXED = (
    ("qcow2", 0, b"QFI\xfb"),
    ("qed", 0, b"QED\0"),
    ("vmdk", 0, b"KDMV"),
    ("vmdk", 0, b"COWD"),
    ("vhdx", 0, b"vhdxfile"),
    ("vpc", 0, b"conectix"),
    ("vdi", 64, b"\x7f\x10\xda\xbe"),
    ("luks", 0, b"LUKS\xba\xbe"),
    ("parallels", 0, b"WithoutFreeSpace"),
    ("parallels", 0, b"WithouFreSpacExt"),
    ("bochs", 0, b"Bochs Virtual HD Image"),
    ("cloop", 0, b"#!/bin/sh\n#V2.0 Format"),
    ("gzip", 0, b"\x1f\x8b"),
    ("xz", 0, b"\xfd7zXZ\0"),
    ("zstd", 0, b"\x28\xb5\x2f\xfd"),
    ("bzip2", 0, b"BZh"),
    ("zip", 0, b"PK\x03\x04"),
    ("7z", 0, b"7z\xbc\xaf\x27\x1c"),
    ("tar", 257, b"ustar"),
)
_VMDK_TEXT = re.compile(
    rb"^\s*(#[^\n]*\n|\s*\n)*\s*(version\s*=|createType|CID\s*=)|# Disk DescriptorFile", re.IGNORECASE
)


def looks_like(head: bytes, tail: bytes = b"") -> str:
    """The format that these bytes belong to; ``raw`` where there is no sign of another."""
    for name, offset, magic in _FIXED:
        if head[offset : offset + len(magic)] == magic:
            return name
    if _VMDK_TEXT.search(head):
        return "vmdk"
    if tail[:8] == b"conectix":
        return "vpc"
    if tail[:4] == b"koly":
        return "dmg"
    return "raw"
