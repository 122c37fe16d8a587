"""What a host keeps across reboots: its /etc, /root, libvirt's files and guests' disks, on a real disk."""

import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.process import run

ROOT_PASSWORD_METHOD = "-6"  # noqa: S105 - the hash method, SHA-512
SHARED_LIBVIRT = Path("/usr/share/libvirt")
PLACES = {
    "/etc": "etc",
    "/root": "root",
    "/home": "home",
    "/var/lib/libvirt": "libvirt",
    "/var/log": "log",
}
CAPABILITIES = "/var/cache/libvirt"
LIBVIRTD_CONF = """\
host_uuid = "{uuid}"
unix_sock_group = "libvirt"
unix_sock_ro_perms = "0777"
unix_sock_rw_perms = "0770"
auth_unix_ro = "none"
auth_unix_rw = "none"
max_clients = 200
max_anonymous_clients = 100
"""
QEMU_CONF = """\
security_driver = "none"
user = "libvirt-qemu"
group = "libvirt-qemu"
dynamic_ownership = 1
"""
SSHD_CONF = """\
Port 22
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin yes
PasswordAuthentication yes
UsePAM no
UseDNS no
MaxStartups 200
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True, kw_only=True)
class HostDisk:
    """The directory tree behind one host's mounts.

    `shared` holds what libvirt found out about the QEMU binaries, which are the same for all hosts of a
    lab: asking them takes seconds.
    """

    root: Path
    shared: Path

    @property
    def binds(self) -> dict[str, str]:
        """Mount point in the host → directory here."""
        own = {target: str(self.root / name) for target, name in PLACES.items()}
        return {**own, CAPABILITIES: str(self.shared)}

    def create(self, *, name: str, names: Mapping[str, str], nameserver: str, password: str) -> None:
        """Install a fresh host: a copy of the machine's /etc with everything that must be unique replaced."""
        self.root.mkdir(parents=True, mode=0o700)
        self.shared.mkdir(exist_ok=True)
        shutil.copytree("/etc", self.root / "etc", symlinks=True, ignore_dangling_symlinks=True)
        _copy_owners(Path("/etc"), self.root / "etc")
        for place in set(PLACES.values()) - {"etc"}:
            (self.root / place).mkdir(mode=0o755)
        (self.root / "root").chmod(0o700)
        (self.root / "log" / "libvirt" / "qemu").mkdir(parents=True)
        for directory in ("images", "qemu", "dnsmasq", "boot"):
            (self.root / "libvirt" / directory).mkdir(mode=0o711)
        shutil.chown(self.root / "libvirt" / "qemu", "libvirt-qemu", "libvirt-qemu")
        self._write_identity(name=name, names=names, nameserver=nameserver)
        self._write_libvirt()
        self._set_root_password(password)
        self.new_host_key()

    def new_host_key(self) -> None:
        """Replace the SSH host key."""
        directory = self.root / "etc" / "ssh"
        for old in directory.glob("ssh_host_*"):
            old.unlink()
        key = directory / "ssh_host_ed25519_key"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key])

    def host_key_fingerprint(self) -> str:
        """Fingerprint of the SSH host key as OpenSSH prints it (`SHA256:...`)."""
        key = self.root / "etc" / "ssh" / "ssh_host_ed25519_key.pub"
        return run(["ssh-keygen", "-l", "-f", key]).stdout.split()[1]

    def add_authorized_key(self, line: str) -> None:
        """Let the owner of a public key in as root."""
        directory = self.root / "root" / ".ssh"
        directory.mkdir(mode=0o700, exist_ok=True)
        with (directory / "authorized_keys").open("a") as keys:
            keys.write(line.strip() + "\n")

    def _write_identity(self, *, name: str, names: Mapping[str, str], nameserver: str) -> None:
        etc = self.root / "etc"
        lines = ["127.0.0.1 localhost", *(f"{address} {other}" for other, address in names.items())]
        (etc / "hosts").write_text("\n".join(lines) + "\n")
        (etc / "hostname").write_text(f"{name}\n")
        (etc / "resolv.conf").unlink(missing_ok=True)
        (etc / "resolv.conf").write_text(f"nameserver {nameserver}\n")
        (etc / "machine-id").unlink(missing_ok=True)
        (etc / "machine-id").write_text(f"{uuid.uuid4().hex}\n")
        shutil.rmtree(etc / "ssh" / "sshd_config.d", ignore_errors=True)
        (etc / "ssh").mkdir(exist_ok=True)
        (etc / "ssh" / "sshd_config").write_text(SSHD_CONF)

    def _write_libvirt(self) -> None:
        """Libvirt as Debian installs it: with its filters and network `default`, none of the machine's."""
        libvirt = self.root / "etc" / "libvirt"
        shutil.rmtree(libvirt, ignore_errors=True)
        (libvirt / "qemu" / "networks" / "autostart").mkdir(parents=True)
        if (SHARED_LIBVIRT / "nwfilter").is_dir():
            shutil.copytree(SHARED_LIBVIRT / "nwfilter", libvirt / "nwfilter")
        default = SHARED_LIBVIRT / "networks" / "default.xml"
        if default.exists():
            shutil.copyfile(default, libvirt / "qemu" / "networks" / "default.xml")
        (libvirt / "libvirtd.conf").write_text(LIBVIRTD_CONF.format(uuid=uuid.uuid4()))
        (libvirt / "qemu.conf").write_text(QEMU_CONF)

    def _set_root_password(self, password: str) -> None:
        hashed = run(["openssl", "passwd", ROOT_PASSWORD_METHOD, "-stdin"], text=password).stdout.strip()
        shadow = self.root / "etc" / "shadow"
        lines = [line for line in shadow.read_text().splitlines() if not line.startswith("root:")]
        shadow.write_text("\n".join([f"root:{hashed}:19700:0:99999:7:::", *lines]) + "\n")


def _copy_owners(source: Path, target: Path) -> None:
    """Give a copied tree the owners of the original: sudo and sshd refuse files that are not theirs."""
    for path in source.rglob("*"):
        copy = target / path.relative_to(source)
        if copy.exists() and not copy.is_symlink():
            status = path.stat()
            shutil.chown(copy, status.st_uid, status.st_gid)
