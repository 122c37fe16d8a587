"""Builds a Debian 12 cloud image from Debian packages: mmdebstrap, a few files of our own, a bootable disk.

Nothing of the machine that builds it gets in: no proxy, no CA, no name, no resolver, no key. What must be
unique (machine id, SSH host keys) is not in the image and is made on first boot.
"""

import contextlib
import os
import shlex
import uuid
from collections.abc import Iterator
from pathlib import Path

from imagebuild import apt, cache, disk, sources
from imagebuild.errors import BuildError
from imagebuild.process import run, run_live
from imagebuild.progress import Progress

CODENAME = "bookworm"
SIZE = 3 << 30
INSTALL_SECONDS = 1200
OVERLAY = Path(__file__).parent / "debian_overlay"
PACKAGES = (
    *("systemd", "systemd-sysv", "systemd-resolved", "systemd-timesyncd", "libpam-systemd", "udev", "dbus"),
    *("linux-image-cloud-amd64", "initramfs-tools", "zstd", "kmod", "e2fsprogs", "fdisk"),
    *("cloud-init", "cloud-guest-utils", "qemu-guest-agent", "openssh-server", "sudo", "python3"),
    *("iproute2", "iputils-ping", "netbase", "ca-certificates", "curl", "procps", "less", "nano"),
)
DISABLED_UNITS = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer"),
    "e2scrub_reap.service",
)
ENABLED_UNITS = ("systemd-networkd.service", "systemd-resolved.service", "ssh.service")
# Documentation nobody reads on a server; licences stay.
LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*")
NAMESPACES = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
MMDEBSTRAP = ["mmdebstrap", "--mode=root", "--format=directory", "--variant=minbase", "--architectures=amd64"]
GRUB_CONFIGURATION = """\
set timeout=0
set default=0
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
menuentry "Debian" {{
    linux /vmlinuz root=UUID={uuid} ro console=tty0 console=ttyS0,115200 quiet
    initrd /initrd.img
}}
menuentry "Debian, previous kernel" {{
    linux /vmlinuz.old root=UUID={uuid} ro console=tty0 console=ttyS0,115200
    initrd /initrd.img.old
}}
"""


def recipe() -> str:
    """Changes whenever something the image is made of changes, save for the packages' own versions."""
    files = sorted(path for path in OVERLAY.rglob("*") if path.is_file())
    own = [part for path in files for part in (str(path.relative_to(OVERLAY)).encode(), path.read_bytes())]
    return cache.recipe_key(Path(__file__).read_bytes(), Path(disk.__file__).read_bytes(), *own)


def build(*, target: Path, cache_dir: Path, progress: Progress) -> None:
    """Build the image and publish it as `target`. Needs root."""
    if os.geteuid() != 0:
        raise BuildError("building an image from packages needs root: it installs packages in a chroot")
    with cache.workspace(cache_dir, name="packages") as work, _usual_umask():
        progress.step("reading Debian's package lists")
        entries = sources.debian_sources(codename=CODENAME)
        private = apt.Apt.create(work / "apt", sources=entries)
        apt.unpack(private.download(disk.GRUB_PACKAGES, target=work / "debs"), target=work / "grub")
        progress.step("installing Debian 12 from packages")
        root = work / "root"
        _install(root, private=private, progress=progress)
        progress.step("writing the configuration")
        identifier = str(uuid.uuid4())
        configure(root, root_uuid=identifier)
        progress.step("writing the disk")
        filesystem = disk.Filesystem(content=root, label="root", uuid=identifier)
        disk.write_disk(work / "disk.raw", size=SIZE, filesystem=filesystem, grub=work / "grub")
        progress.step("compressing the image")
        disk.to_qcow2(work / "disk.raw", work / "disk.qcow2")
        cache.publish(work / "disk.qcow2", target)


def _install(root: Path, *, private: apt.Apt, progress: Progress) -> None:
    """Run mmdebstrap in mount and PID namespaces of its own: whatever ends it takes its mounts along."""
    options = [f"--aptopt={line}" for line in private.transport_options()]
    options += [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    options += ["--dpkgopt=path-include=/usr/share/doc/*/copyright", "--dpkgopt=force-unsafe-io"]
    # tar and not cp: modes must not depend on the umask under which the sources were checked out.
    pack = f"tar -C {shlex.quote(str(OVERLAY))} --owner=0 --group=0 --mode=u=rwX,go=rX -c ."

    def show(line: str) -> None:
        if line.startswith("I: ") and line.endswith("..."):
            progress.note(line[len("I: ") : -len("...")])

    run_live(
        [
            *NAMESPACES,
            *MMDEBSTRAP,
            *options,
            f"--include={','.join(PACKAGES)}",
            f'--essential-hook={pack} | tar -C "$1" -x',
            *(CODENAME, root, private.root / "sources.list"),
        ],
        timeout=INSTALL_SECONDS,
        env={"TMPDIR": str(root.parent)},
        on_line=show,
    )


def configure(root: Path, *, root_uuid: str) -> None:
    """Take out what is the build's or must be unique, and put in what makes the tree a machine."""
    for leftover in (
        *("etc/apt/apt.conf.d/99mmdebstrap", "etc/dpkg/dpkg.cfg.d/99mmdebstrap", "etc/apt/sources.list"),
        *("etc/hostname", "etc/resolv.conf", "var/lib/dbus/machine-id", "var/lib/systemd/random-seed"),
    ):
        (root / leftover).unlink(missing_ok=True)
    for key in (root / "etc" / "ssh").glob("ssh_host_*"):
        key.unlink()
    root.chmod(0o755)
    (root / "etc" / "machine-id").write_text("")
    (root / "etc" / "hostname").write_text("debian\n")
    (root / "etc" / "hosts").write_text("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
    (root / "etc" / "resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    (root / "etc" / "fstab").write_text(f"UUID={root_uuid} / ext4 discard,errors=remount-ro 0 1\n")
    grub = root / "boot" / "grub"
    grub.mkdir(parents=True, exist_ok=True)
    (grub / "grub.cfg").write_text(GRUB_CONFIGURATION.format(uuid=root_uuid))
    _chroot(root, "passwd", "--lock", "root")
    _chroot(root, "systemctl", "disable", *DISABLED_UNITS)
    _chroot(root, "systemctl", "enable", *ENABLED_UNITS)
    for directory in ("var/log", "var/cache/apt", "var/lib/apt/lists", "tmp", "root/.cache"):
        _empty(root / directory)


@contextlib.contextmanager
def _usual_umask() -> Iterator[None]:
    """Files of the image must be readable in it, however strict the builder's own umask is."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def _chroot(root: Path, *argv: str) -> None:
    run(["chroot", root, *argv], timeout=120)


def _empty(directory: Path) -> None:
    """Delete the files of a directory tree and keep its directories, which packages expect."""
    for path in directory.rglob("*"):
        if not path.is_dir() or path.is_symlink():
            path.unlink()
