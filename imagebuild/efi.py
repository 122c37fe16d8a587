"""The tiny disk for machines with UEFI, also of another architecture: kernel, busybox and GRUB in one FAT partition.

Files only: nothing is mounted, and packages of the other architecture are fetched as files, so that the machine's
own package manager does not learn of it.
"""

import gzip
import struct
from dataclasses import dataclass
from pathlib import Path

from imagebuild import apt, cache, disk, kernel, probe, sources
from imagebuild.process import run
from imagebuild.progress import Progress

SIZE = 96 * disk.MIB
LOCK_SECONDS = 600
STEPS = 6
EFI_SYSTEM_PARTITION = 0xEF
MODULES = ("part_msdos", "fat", "linux", "normal", "echo", "configfile")
CONFIGURATION = f"""\
linux /boot/vmlinuz console={{serial}},115200 quiet {probe.QUICK} cloudsite.stay
initrd /boot/initrd
boot
"""


@dataclass(frozen=True, kw_only=True)
class Target:
    """How Debian, GRUB and UEFI call an architecture, and its first serial port."""

    debian: str
    grub: str
    loader: str
    serial: str


TARGETS = {
    "x86_64": Target(debian="amd64", grub="x86_64-efi", loader="BOOTX64.EFI", serial="ttyS0"),
    "aarch64": Target(debian="arm64", grub="arm64-efi", loader="BOOTAA64.EFI", serial="ttyAMA0"),
}


def build(*, cache_dir: Path, progress: Progress, architecture: str) -> Path:
    """Build the disk in `cache_dir`, or take it from there when nothing it is made of has changed."""
    own = (Path(module.__file__).read_bytes() for module in (probe, kernel) if module.__file__)
    guest = (path.read_bytes() for path in sorted(probe.GUEST.iterdir()))
    key = cache.recipe_key(architecture.encode(), Path(__file__).read_bytes(), *own, *guest)
    target = cache_dir / f"tiny-efi-{architecture}-{key}.qcow2"
    with cache.locked(cache_dir, name=f"tiny-efi-{architecture}", timeout=LOCK_SECONDS):
        if not target.exists():
            _assemble(target, architecture=architecture, cache_dir=cache_dir, progress=progress)
    progress.finish("the tiny UEFI disk is ready")
    return target


def _assemble(target: Path, *, architecture: str, cache_dir: Path, progress: Progress) -> None:
    kind = TARGETS[architecture]
    with cache.workspace(cache_dir, name=f"tiny-efi-{architecture}") as work:
        progress.step(f"fetching kernel, busybox and boot loader for {kind.debian} from Debian")
        entries = sources.debian_sources(codename=sources.os_codename())
        there = apt.Apt.create(work / "there", sources=entries, architecture=kind.debian)
        image = apt.kernel_package(there, metapackage=f"linux-image-cloud-{kind.debian}")
        packages = (image, "busybox-static", f"grub-efi-{kind.debian}-bin")
        apt.unpack(there.download(packages, target=work / "debs"), target=work / "root")
        here = apt.Apt.create(work / "here", sources=entries)
        apt.unpack(here.download(["grub-common"], target=work / "tools"), target=work / "grub")
        progress.step("writing the disk")
        loader = _loader(work, kind)
        initrd = work / "initrd"
        initrd.write_bytes(gzip.compress(probe.initramfs(work / "root", serial=kind.serial), mtime=0))
        configuration = work / "grub.cfg"
        configuration.write_text(CONFIGURATION.format(serial=kind.serial))
        files = {
            f"EFI/BOOT/{kind.loader}": loader,
            "boot/vmlinuz": kernel.kernel_image(work / "root"),
            "boot/initrd": initrd,
            "boot/grub/grub.cfg": configuration,
        }
        _write_disk(work / "disk.raw", files)
        disk.to_qcow2(work / "disk.raw", work / "disk.qcow2")
        cache.publish(work / "disk.qcow2", target)


def _loader(work: Path, kind: Target) -> Path:
    """GRUB as one UEFI program that finds its configuration on the partition it was started from."""
    modules = work / "root" / "usr" / "lib" / "grub" / kind.grub
    target = work / kind.loader
    mkimage = work / "grub" / "usr" / "bin" / "grub-mkimage"
    run([mkimage, "-O", kind.grub, "-d", modules, "-o", target, "-p", "/boot/grub", *MODULES], timeout=60)
    return target


def _write_disk(target: Path, files: dict[str, Path]) -> None:
    """A partition table with one EFI system partition, filled by mtools."""
    start, sectors = disk.MIB // disk.SECTOR, (SIZE - disk.MIB) // disk.SECTOR
    entry = struct.pack("<B3sB3sII", 0, b"\xfe\xff\xff", EFI_SYSTEM_PARTITION, b"\xfe\xff\xff", start, sectors)
    with target.open("wb") as raw:
        raw.truncate(SIZE)
        raw.write(bytes(disk.BOOT_CODE_BYTES) + b"CLDS\0\0" + entry + bytes(48) + b"\x55\xaa")
    place = ["-i", f"{target}@@{disk.MIB}"]
    run(["mformat", *place, "-v", "TINY", "-T", str(sectors), "::"], timeout=60)
    for folder in ("EFI", "EFI/BOOT", "boot", "boot/grub"):
        run(["mmd", *place, f"::{folder}"], timeout=60)
    for name, source in files.items():
        run(["mcopy", *place, source, f"::{name}"], timeout=60)
