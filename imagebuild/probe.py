"""Kernel and initramfs that prove an accelerator: they print a known line on the serial port and power off.

With `cloudsite.stay` on the kernel command line the same pair stays up as a small guest: DHCP on every NIC,
an ACPI power button, an HTTP listener on port 80, a login on the serial port.
"""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

from imagebuild import apt, cache, kernel, sources
from imagebuild.cpio import Archive
from imagebuild.progress import Progress

METAPACKAGE = "linux-image-cloud-amd64"
MODULES = (
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "virtio_scsi",
    "virtio_rng",
    "virtio_console",
    "virtio_balloon",
    "sr_mod",
    "sd_mod",
    "isofs",
    "button",
    "evdev",
)
GUEST = Path(__file__).parent / "guest"
PLACES = {
    "init": "init",
    "rc": "etc/rc",
    "network-up": "etc/network-up",
    "udhcpc": "etc/udhcpc",
    "heartbeat": "etc/heartbeat",
    "fetch.cgi": "www/cgi-bin/fetch",
    "disks.cgi": "www/cgi-bin/disks",
    "power-off": "etc/acpi/PWRF/00000080",
    "inittab": "etc/inittab",
}
# An emulated processor spends a seventh of the boot on these: self-tests, and guards against other programs on it.
QUICK = "cryptomgr.notests mitigations=off nokaslr rcupdate.rcu_expedited=1"
LOCK_SECONDS = 600
STEPS = 2


@dataclass(frozen=True, kw_only=True)
class ProbeKernel:
    """A kernel and an initramfs, and where they came from."""

    vmlinuz: Path
    initrd: Path
    package: str


def build(*, cache_dir: Path, progress: Progress) -> ProbeKernel:
    """Build the pair in `cache_dir`, or take it from there when nothing it is made of has changed."""
    directory = cache_dir / f"probe-{_recipe()}"
    with cache.locked(cache_dir, name="probe", timeout=LOCK_SECONDS):
        if not (directory / "manifest.json").exists():
            _assemble(directory, cache_dir=cache_dir, progress=progress)
    progress.note("kernel and initramfs are ready")
    manifest = json.loads((directory / "manifest.json").read_text())
    return ProbeKernel(vmlinuz=directory / "vmlinuz", initrd=directory / "initrd", package=manifest["kernel"])


def write(built: ProbeKernel, *, out: Path) -> dict[str, str]:
    """Put the pair and its manifest into `out`; the manifest comes last, so what it names is complete."""
    manifest = {"kernel": built.package}
    for name, source in (("vmlinuz", built.vmlinuz), ("initrd", built.initrd)):
        cache.publish(source, out / name)
        manifest[f"{name}_sha256"] = cache.sha256_file(out / name)
    staged = out / ".manifest.json"
    staged.write_text(json.dumps(manifest, indent=2) + "\n")
    staged.replace(out / "manifest.json")
    return manifest


def _assemble(directory: Path, *, cache_dir: Path, progress: Progress) -> None:
    with cache.workspace(cache_dir, name="probe") as work:
        progress.step("fetching the kernel and busybox from Debian")
        entries = sources.debian_sources(codename=sources.os_codename())
        private = apt.Apt.create(work / "apt", sources=entries)
        package = apt.kernel_package(private, metapackage=METAPACKAGE)
        packages = private.download([package, "busybox-static"], target=work / "debs")
        apt.unpack(packages, target=work / "root")
        directory.mkdir(exist_ok=True)
        cache.publish(kernel.kernel_image(work / "root"), directory / "vmlinuz")
        initrd = work / "initrd"
        initrd.write_bytes(gzip.compress(initramfs(work / "root"), mtime=0))
        cache.publish(initrd, directory / "initrd")
        manifest = work / "manifest.json"
        manifest.write_text(json.dumps({"kernel": package}))
        cache.publish(manifest, directory / "manifest.json")


def initramfs(root: Path, *, serial: str = "ttyS0") -> bytes:
    """The initramfs for the kernel and busybox unpacked below `root`, not compressed."""
    archive = Archive()
    for name in (
        "bin",
        "dev",
        "etc",
        "etc/acpi",
        "etc/acpi/PWRF",
        "lib",
        "lib/modules",
        "www",
        "www/cgi-bin",
    ):
        archive.directory(name)
    archive.character_device("dev/console", major=5, minor=1)
    archive.file("bin/busybox", (root / "bin" / "busybox").read_bytes(), executable=True)
    modules = kernel.module_files(root, names=MODULES)
    for module in modules:
        archive.file(f"lib/modules/{module.name}", module.read_bytes())
    archive.file("etc/modules", "".join(f"/lib/modules/{module.name}\n" for module in modules).encode())
    for name, place in PLACES.items():
        content = (GUEST / name).read_bytes().replace(b"ttyS0", serial.encode())
        archive.file(place, content, executable=True)
    archive.file("etc/hostname", b"tiny\n")
    archive.file("etc/issue", b"\\n \\l\n")
    archive.file("etc/passwd", b"root::0:0:root:/root:/bin/sh\n")
    archive.file("etc/group", b"root:x:0:\n")
    return archive.to_bytes()


def _recipe() -> str:
    own = [path.read_bytes() for path in sorted(GUEST.iterdir())]
    code = [Path(module.__file__).read_bytes() for module in (kernel,) if module.__file__]
    return cache.recipe_key(Path(__file__).read_bytes(), *own, *code)
