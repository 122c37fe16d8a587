"""The Debian packages the project stands on: one list, what is missing of it, and how it is installed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bootstrap.commands import as_root, run
from bootstrap.console import step

RUNTIME = (
    "ca-certificates",
    # database and broker: only the programs are used; redis-tools holds the server's binary without a service
    "postgresql-15",
    "redis-tools",
    # the hypervisor
    "libvirt-daemon-system",
    "libvirt-clients",
    "qemu-system-x86",
    "ovmf",  # UEFI for the guests that want it
    "qemu-utils",
    "dnsmasq-base",
    "iptables",
    "nftables",
    "openssh-client",
    # the virtual environment: libvirt's binding is compiled
    "python3-venv",
    "python3-dev",
    "libvirt-dev",
    "gcc",
    "pkg-config",
    # the image that is built where the vendor's cannot be had
    "mmdebstrap",
    "extlinux",
    "syslinux-common",
    "busybox-static",
    "e2fsprogs",
    "cpio",
    "zstd",
    "iproute2",
)
DEVELOPMENT = (
    *RUNTIME,
    "git",
    # guests of another architecture, and an EFI system partition for the tiny image
    "qemu-system-arm",
    "qemu-efi-aarch64",
    "mtools",
    "openssh-server",
    "nginx-light",
    "chromium",
    "gnutls-bin",
    "openssl",
    "genisoimage",
    "curl",
    "procps",
    "mount",
    "util-linux",
    "iputils-ping",
)
SERVICES_OF_DEVELOPMENT = ("nginx", "ssh")
"""Units that come with development packages and that only the tests' own configurations need."""
NO_CLUSTER_FILE = Path("/etc/postgresql-common/createcluster.d/cloudsite.conf")
POLICY_FILE = Path("/usr/sbin/policy-rc.d")
APT_OPTIONS = (
    "-qq",
    "-y",
    "--no-install-recommends",
    "-o=Dpkg::Options::=--force-confold",
    "-o=Dpkg::Use-Pty=0",
    "-o=DPkg::Lock::Timeout=120",
    "-o=Acquire::Retries=3",
)
INSTALL_SECONDS = 1500.0


def installed(names: Sequence[str] = ()) -> set[str]:
    """Which of the packages are fully installed; all packages of the machine without names."""
    query = ["dpkg-query", "-W", "-f", "${Package}\\t${db:Status-Status}\\n", *names]
    output = run(query, timeout=30, check=False).stdout
    rows = (line.split("\t") for line in output.splitlines() if "\t" in line)
    return {name for name, status in rows if status == "installed"}


def missing(names: Sequence[str]) -> list[str]:
    present = installed(names)
    return [name for name in names if name not in present]


def install(names: Sequence[str]) -> list[str]:
    """Install without starting any service, and return every package that is new on the machine."""
    before = installed()
    with (
        step(f"Installing {len(names)} Debian packages: {' '.join(names)}") as detail,
        no_cluster(),
        no_services(),
    ):
        environment = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        run(as_root(["apt-get", "update", "-qq"], environment), timeout=300, on_line=detail)
        command = as_root(["apt-get", "install", *APT_OPTIONS, *names], environment)
        run(command, timeout=INSTALL_SECONDS, on_line=detail)
    new = sorted(installed() - before)
    _disable_services_of(new)
    return new


@contextmanager
def no_cluster() -> Iterator[None]:
    """Keep Debian's PostgreSQL package from making a cluster; in force for the first installation only."""
    with _temporary_root_file(NO_CLUSTER_FILE, "create_main_cluster = false\n", mode="644"):
        yield


@contextmanager
def no_services() -> Iterator[None]:
    """Keep packages from starting or restarting services; a policy the machine has already stays in force."""
    if POLICY_FILE.exists():
        yield
        return
    with _temporary_root_file(POLICY_FILE, "#!/bin/sh\nexit 101\n", mode="755"):
        yield


@contextmanager
def _temporary_root_file(path: Path, text: str, *, mode: str) -> Iterator[None]:
    new_directory = not path.parent.exists()
    with tempfile.NamedTemporaryFile("w", suffix=".cloudsite") as source:
        source.write(text)
        source.flush()
        run(as_root(["install", "-D", "-m", mode, source.name, str(path)]), timeout=20)
    try:
        yield
    finally:
        run(as_root(["rm", "-f", str(path)]), timeout=20)
        if new_directory:
            run(as_root(["rmdir", "--ignore-fail-on-non-empty", str(path.parent)]), timeout=20, check=False)


def _disable_services_of(new: Sequence[str]) -> None:
    """A web or SSH server that came only as a test tool must not start at the next boot either."""
    if not Path("/run/systemd/system").is_dir():
        return
    units = [
        unit
        for unit, package in zip(SERVICES_OF_DEVELOPMENT, ("nginx-light", "openssh-server"), strict=True)
        if package in new
    ]
    if units:
        run(as_root(["systemctl", "disable", *units]), timeout=60, check=False)


def redis_server(directory: Path) -> Path:
    """A program called ``redis-server``: Debian's own, or redis-tools' copy, which acts by its name."""
    found = shutil.which("redis-server")
    if found:
        return Path(found)
    link = directory / "redis-server"
    if not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to("/usr/bin/redis-check-rdb")
    return link


def postgres_bin() -> Path:
    """The directory of the newest installed PostgreSQL's programs."""
    found = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    if not found:
        raise FileNotFoundError("/usr/lib/postgresql/*/bin/initdb")
    return max(found, key=lambda path: float(path.parent.name))
