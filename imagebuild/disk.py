"""Turns a directory into a bootable disk without a loop device, a mount or root.

The file system is filled by `mke2fs -d` and the boot loader is put in place by writing bytes: GRUB's boot
sector, its core image in the gap before the first partition. No partition node has to exist, so it also
works in a container. The core finds its configuration on the disk it was started from, not on "the first
disk".
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path

from imagebuild.errors import BuildError
from imagebuild.process import run

SECTOR = 512
MIB = 1 << 20
PARTITION_START = MIB
GRUB_PACKAGES = ("grub-pc-bin", "grub-common")
GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "linux", "normal", "echo", "test", "serial", "terminal")
BOOT_CODE_BYTES = 440
LINUX_PARTITION = 0x83


@dataclass(frozen=True, kw_only=True)
class Filesystem:
    """What the only partition holds."""

    content: Path
    label: str
    uuid: str
    features: str = "^metadata_csum_seed,^orphan_file"


def write_disk(target: Path, *, size: int, filesystem: Filesystem, grub: Path) -> None:
    """Write a raw, sparse disk of `size` bytes; `grub` is where GRUB's packages are unpacked."""
    with target.open("wb") as disk:
        disk.truncate(size)
    partition = size - PARTITION_START
    options = f"offset={PARTITION_START},root_owner=0:0"
    run(
        [
            *("mke2fs", "-q", "-F", "-t", "ext4", "-m", "1", "-O", filesystem.features, "-E", options),
            *("-L", filesystem.label, "-U", filesystem.uuid, "-d", filesystem.content),
            *(target, f"{partition // 1024}k"),
        ],
        timeout=300,
    )
    boot, core = _boot_loader(grub)
    with target.open("r+b") as disk:
        disk.write(boot + _partition_table(partition))
        disk.seek(SECTOR)
        disk.write(core)


def to_qcow2(raw: Path, target: Path) -> None:
    """Convert a raw disk to a compressed qcow2 image."""
    run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, target], timeout=600)


def virtual_size(image: Path) -> int:
    """The size in bytes of the disk that a qcow2 image holds."""
    return int(json.loads(run(["qemu-img", "info", "--output=json", "-f", "qcow2", image], timeout=60))["virtual-size"])


def _boot_loader(grub: Path) -> tuple[bytes, bytes]:
    """GRUB's boot code and its core image, which starts in the sector after it."""
    modules = grub / "usr" / "lib" / "grub" / "i386-pc"
    core = grub / "core.img"
    run(
        [
            *(grub / "usr" / "bin" / "grub-mkimage", "-O", "i386-pc", "-d", modules, "-o", core),
            *("-p", "(,msdos1)/boot/grub", *GRUB_MODULES),
        ],
        timeout=60,
    )
    image = core.read_bytes()
    if SECTOR + len(image) > PARTITION_START:
        raise BuildError(f"the boot loader ({len(image)} bytes) does not fit before the first partition")
    return (modules / "boot.img").read_bytes()[:BOOT_CODE_BYTES], image


def _partition_table(length: int) -> bytes:
    """The rest of the first sector: disk signature, one bootable Linux partition, the closing mark."""
    no_geometry = b"\xfe\xff\xff"
    entry = struct.pack(
        "<B3sB3sII",
        0x80,
        no_geometry,
        LINUX_PARTITION,
        no_geometry,
        PARTITION_START // SECTOR,
        length // SECTOR,
    )
    return b"CLDS\0\0" + entry + bytes(48) + b"\x55\xaa"
