"""Image files as an attacker makes them. Each is a function of the path to write and of the canary's path."""

import gzip
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

MIB = 2**20
CLUSTER = 65536


def qcow2(
    *,
    version: int = 3,
    size: int = MIB,
    backing: bytes = b"",
    backing_length: int | None = None,
    incompatible: int = 0,
    crypt: int = 0,
    cluster_bits: int = 16,
    l1_entries: int = 1,
    l1_at: int = 3 * CLUSTER,
    reftable_at: int = CLUSTER,
    reftable_clusters: int = 1,
    extensions: bytes = b"",
    header_length: int = 104,
    magic: bytes = b"QFI\xfb",
    clusters: int = 4,
    more: bytes = b"",
) -> bytes:
    """A small empty qcow2, valid as it stands: header, reference table, reference block, L1."""
    at = header_length + len(extensions) + 8 if backing else 0
    length = len(backing) if backing_length is None else backing_length
    head = struct.pack(
        ">4sIQIIQIIQQIIQ",
        magic,
        version,
        at,
        length,
        cluster_bits,
        size,
        crypt,
        l1_entries,
        l1_at,
        reftable_at,
        reftable_clusters,
        0,
        0,
    )
    if version == 3:
        head += struct.pack(">QQQII", incompatible, 0, 0, 4, header_length) + more
    head += extensions + bytes(8) + backing
    content = bytearray(clusters * CLUSTER)
    content[: len(head)] = head
    content[CLUSTER : CLUSTER + 8] = struct.pack(">Q", 2 * CLUSTER)
    content[2 * CLUSTER : 2 * CLUSTER + 8] = struct.pack(">4H", 1, 1, 1, 1)
    return bytes(content)


def extension(kind: int, content: bytes) -> bytes:
    return struct.pack(">II", kind, len(content)) + content + bytes(-len(content) % 8)


def _tool(*arguments: str) -> None:
    subprocess.run(["qemu-img", *arguments], stdin=subprocess.DEVNULL, check=True, capture_output=True, timeout=60)


def _made_by_qemu(*options: str, size: str = "1M") -> Callable[[Path, Path], None]:
    def write(path: Path, canary: Path) -> None:
        _tool("create", "-q", "-f", "qcow2", *(option.format(canary=canary) for option in options), str(path), size)

    return write


def _data_file(path: Path, canary: Path) -> None:
    """QEMU itself writes the data file, so the header is turned to the canary afterwards."""
    name = b"d" * len(str(canary))
    beside = path.parent / name.decode()
    _tool("create", "-q", "-f", "qcow2", "-o", f"data_file={beside},data_file_raw=on", str(path), "1M")
    content = path.read_bytes()
    beside.unlink()
    old = str(beside).encode()
    new = str(canary).encode()
    at = content.index(old)
    assert len(new) <= len(old)
    struct_at = at - 4
    patched = bytearray(content)
    patched[struct_at:at] = struct.pack(">I", len(new))
    patched[at : at + len(old)] = new + bytes(len(old) - len(new))
    # The extension became shorter: close the hole, so that the next one is found.
    shift = (len(old) + 7) // 8 * 8 - (len(new) + 7) // 8 * 8
    if shift:
        end = at + (len(old) + 7) // 8 * 8
        patched[at + (len(new) + 7) // 8 * 8 : CLUSTER - shift] = patched[end:CLUSTER]
    path.write_bytes(patched)


def _vmdk_text(kind: str = "FLAT", begin: str = "# Disk DescriptorFile\n") -> Callable[[Path, Path], None]:
    def write(path: Path, canary: Path) -> None:
        end = " 0" if kind == "FLAT" else ""
        path.write_text(
            f'{begin}version=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
            f'RW 8 {kind} "{canary}"{end}\nddb.adapterType = "ide"\n' + " " * 512
        )

    return write


def _written(content: bytes) -> Callable[[Path, Path], None]:
    def write(path: Path, _canary: Path) -> None:
        path.write_bytes(content)

    return write


def _foreign(kind: str) -> Callable[[Path, Path], None]:
    def write(path: Path, _canary: Path) -> None:
        _tool("create", "-q", "-f", kind, str(path), "1M")

    return write


def _named(template: str) -> Callable[[Path, Path], None]:
    def write(path: Path, canary: Path) -> None:
        path.write_bytes(qcow2(backing=template.format(canary=canary).encode()))

    return write


# Those that leak what they point at where nobody guards qemu-img.
LEAKING: dict[str, Callable[[Path, Path], None]] = {
    "backing file, stated raw": _made_by_qemu("-b", "{canary}", "-F", "raw"),
    "backing file by name alone": _named("{canary}"),
    "backing file, json": _named('json:{{"driver":"raw","file":{{"driver":"file","filename":"{canary}"}}}}'),
    "backing file, protocol file:": _named("file:{canary}"),
    "external data file": _data_file,
    "VMDK descriptor": _vmdk_text(),
}
OTHERS: dict[str, Callable[[Path, Path], None]] = {
    "VMDK descriptor after a comment": _vmdk_text(begin="# hello\n\n# Disk DescriptorFile\n"),
    "backing file, relative with ..": _named("../../../../../../etc/passwd"),
    "backing file over nbd": _named("nbd://127.0.0.1:9/x"),
    "backing file over http": _named("http://169.254.169.254/latest/meta-data"),
    "backing file over ssh": _named("ssh://root@127.0.0.1/etc/passwd"),
    "backing file without end": _written(qcow2(backing=b"x", backing_length=4096)),
    "backing file past the header": _written(qcow2(backing=b"/etc/passwd", backing_length=2**31)),
    "data file bit alone": _written(qcow2(incompatible=1 << 2)),
    "data file name alone": _written(qcow2(extensions=extension(0x44415441, b"/etc/passwd"))),
    "an unknown feature": _written(qcow2(incompatible=1 << 5)),
    "all features": _written(qcow2(incompatible=2**64 - 1)),
    "dirty": _written(qcow2(incompatible=1)),
    "corrupt": _written(qcow2(incompatible=2)),
    "encrypted with AES": _written(qcow2(crypt=1)),
    "encrypted with LUKS": _written(qcow2(crypt=2, extensions=extension(0x0537BE77, bytes(16)))),
    "version 1": _written(qcow2(version=1)),
    "version 9": _written(qcow2(version=9)),
    "a cluster of two bytes": _written(qcow2(cluster_bits=1)),
    "a cluster without end": _written(qcow2(cluster_bits=63)),
    "a disk of 63 TiB": _written(qcow2(size=63 * 2**40, l1_entries=2**17, clusters=64)),
    "a disk of 16 EiB": _written(qcow2(size=2**64 - 1)),
    "a disk of nothing": _written(qcow2(size=0)),
    "an L1 table without end": _written(qcow2(l1_entries=2**32 - 1)),
    "an L1 table past the file": _written(qcow2(l1_at=2**40)),
    "an L1 table in the header": _written(qcow2(l1_at=0)),
    "references past the file": _written(qcow2(reftable_at=2**50)),
    "references without end": _written(qcow2(reftable_clusters=2**31)),
    "a header without end": _written(qcow2(header_length=2**31 - 8)),
    "an extension without end": _written(qcow2(extensions=struct.pack(">II", 7, 2**31))),
    "a header cut off": _written(qcow2()[:50]),
    "a header cut off in its newer part": _written(qcow2()[:90]),
    "a file cut off": _written(qcow2()[:200]),
    "an unknown packing": _written(qcow2(incompatible=1 << 3, header_length=112, more=b"\x09" + bytes(7))),
    "not a qcow2 at all": _written(b"hello" * 1000),
    "QED": _foreign("qed"),
    "VDI": _foreign("vdi"),
    "VHDX": _foreign("vhdx"),
    "VPC": _foreign("vpc"),
    "VMDK, sparse": _foreign("vmdk"),
    "gzip": _written(gzip.compress(qcow2())),
    "tar, as an OVA is": _written(bytes(257) + b"ustar\0" + bytes(2000)),
    "nothing": _written(b""),
}
