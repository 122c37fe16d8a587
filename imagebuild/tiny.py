"""A small disk that boots kernel and busybox in seconds: an image without cloud-init, for tests."""

import uuid
from pathlib import Path

from imagebuild import apt, cache, disk, probe, sources
from imagebuild.progress import Progress

SIZE = 64 * disk.MIB
LOCK_SECONDS = 600
STEPS = 5
CONFIGURATION = f"""\
linux /boot/vmlinuz console=ttyS0,115200 quiet {probe.QUICK} cloudsite.stay
initrd /boot/initrd
boot
"""


def build(*, cache_dir: Path, progress: Progress) -> Path:
    """Build the disk in `cache_dir`, or take it from there when nothing it is made of has changed."""
    kernel = probe.build(cache_dir=cache_dir, progress=progress)
    key = cache.recipe_key(
        *(path.read_bytes() for path in (kernel.vmlinuz, kernel.initrd, Path(__file__), Path(disk.__file__)))
    )
    target = cache_dir / f"tiny-{key}.qcow2"
    with cache.locked(cache_dir, name="tiny", timeout=LOCK_SECONDS):
        if not target.exists():
            _assemble(target, kernel=kernel, cache_dir=cache_dir, progress=progress)
    progress.finish("the tiny disk is ready")
    return target


def _assemble(target: Path, *, kernel: probe.ProbeKernel, cache_dir: Path, progress: Progress) -> None:
    with cache.workspace(cache_dir, name="tiny") as work:
        progress.step("fetching the boot loader from Debian")
        entries = sources.debian_sources(codename=sources.os_codename())
        private = apt.Apt.create(work / "apt", sources=entries)
        apt.unpack(private.download(disk.GRUB_PACKAGES, target=work / "debs"), target=work / "grub")
        progress.step("writing the disk")
        tree = work / "tree"
        cache.publish(kernel.vmlinuz, tree / "boot" / "vmlinuz")
        cache.publish(kernel.initrd, tree / "boot" / "initrd")
        (tree / "boot" / "grub").mkdir()
        (tree / "boot" / "grub" / "grub.cfg").write_text(CONFIGURATION)
        filesystem = disk.Filesystem(content=tree, label="tiny", uuid=str(uuid.uuid4()))
        disk.write_disk(work / "disk.raw", size=SIZE, filesystem=filesystem, grub=work / "grub")
        disk.to_qcow2(work / "disk.raw", work / "disk.qcow2")
        cache.publish(work / "disk.qcow2", target)
