"""Trust over SSH: what is pinned, what is refused, what each failure says."""

import socket
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hypervisor import known_hosts, ssh
from hypervisor.errors import AuthenticationFailed, HostKeyChanged, HostUnreachable, SetupIncomplete
from hypervisor.known_hosts import HostKey
from hypervisor.specs import ConnectionSettings, HostAddress
from lab import Host

KEY = HostKey(kind="ssh-ed25519", base64="AAAAC3NzaC1lZDI1NTE5AAAAIIDaeHIe0M0CPjX1Nqs4LkK3hH1sLNxeXl3L7mJZqYgX")
OTHER = HostKey(kind="ssh-ed25519", base64="AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl")


@pytest.fixture
def trust(tmp_path: Path) -> ConnectionSettings:
    return ConnectionSettings(directory=tmp_path / "keys", connect_timeout=3, keepalive_interval=1, call_timeout=10)


def address(host: str = "h1.example", port: int | None = None) -> HostAddress:
    return HostAddress(transport="ssh", host=host, user="root", port=port)


# --- known hosts
def test_a_host_has_one_pinned_key(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    assert known_hosts.pinned_key(file, address()) is None
    known_hosts.pin(file, address(), KEY)
    known_hosts.pin(file, address("h2.example", 2222), KEY)
    known_hosts.pin(file, address(), OTHER)
    assert known_hosts.pinned_key(file, address()) == OTHER
    assert known_hosts.pinned_key(file, address("h2.example", 2222)) == KEY
    assert known_hosts.pinned_key(file, address("h2.example")) is None
    known_hosts.unpin(file, address())
    assert known_hosts.pinned_key(file, address()) is None
    assert file.read_text() == f"[h2.example]:2222 {KEY.kind} {KEY.base64}\n"


def test_default_port_is_the_same_host(tmp_path: Path) -> None:
    known_hosts.pin(tmp_path / "known_hosts", address("2001:db8::1"), KEY)
    assert known_hosts.pinned_key(tmp_path / "known_hosts", address("2001:db8::1", 22)) == KEY


def test_fingerprint_is_what_ssh_keygen_prints() -> None:
    assert KEY.fingerprint.startswith("SHA256:")
    assert len(KEY.fingerprint) == len("SHA256:") + 43


# --- our key
def test_our_key_is_made_once_and_private(trust: ConnectionSettings) -> None:
    line = ssh.ensure_key(trust, comment="cloudsite-1a2b")
    assert line.split()[0] == "ssh-ed25519"
    assert line.endswith("cloudsite-1a2b")
    assert ssh.ensure_key(trust) == line
    assert stat.S_IMODE(trust.key_file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("libvirtd (libvirt) 9.0.0", (9, 0, 0)),
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)", (7, 2, 22)),
        ("virtqemud (libvirt) 10.10", (10, 10)),
        ("", (0, 0)),
        ("no version 1 here", (0, 0)),
    ],
)
def test_versions_are_read(line: str, version: tuple[int, ...]) -> None:
    assert ssh.version_of(line) == version


# --- a host that is not there
def test_closed_port_is_named(trust: ConnectionSettings) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(HostUnreachable, match=f"cannot connect to 127.0.0.1 port {port}: .*refused"):
        ssh.fetch_host_key(address("127.0.0.1", port), trust)


def test_something_that_is_not_ssh_is_named(trust: ConnectionSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(HostUnreachable, match="does not speak SSH"):
            ssh.fetch_host_key(address("127.0.0.1", port), trust)


# --- real hosts
@pytest.fixture
def host(lab_hosts: Sequence[Host]) -> Iterator[Host]:
    """The second host; its keys and daemons are afterwards as before."""
    chosen = lab_hosts[1]
    keys = chosen.path("/root/.ssh/authorized_keys")
    before = keys.read_text() if keys.exists() else None
    yield chosen
    if before is not None:
        keys.write_text(before)
    chosen.ensure_libvirtd()


@pytest.fixture
def pinned(host: Host, trust: ConnectionSettings) -> HostAddress:
    found = ssh.fetch_host_key(address(host.address), trust)
    known_hosts.pin(trust.known_hosts, address(host.address), found)
    return address(host.address)


@pytest.mark.lab
def test_the_key_shown_is_the_hosts(host: Host, trust: ConnectionSettings) -> None:
    assert ssh.fetch_host_key(address(host.address), trust).fingerprint == host.host_key_fingerprint()


@pytest.mark.lab
def test_nothing_is_sent_to_an_unconfirmed_host(host: Host, trust: ConnectionSettings) -> None:
    ssh.ensure_key(trust)
    with pytest.raises(HostKeyChanged, match=r"no key of .* has been confirmed"):
        ssh.install_key(address(host.address), trust, password=host.password)
    with pytest.raises(HostKeyChanged):
        ssh.check_access(address(host.address), trust)


@pytest.mark.lab
def test_another_key_is_refused_and_shown(pinned: HostAddress, trust: ConnectionSettings) -> None:
    ssh.ensure_key(trust)
    real = known_hosts.pinned_key(trust.known_hosts, pinned)
    assert real is not None
    known_hosts.pin(trust.known_hosts, pinned, OTHER)
    with pytest.raises(HostKeyChanged) as refused:
        ssh.check_access(pinned, trust)
    assert real.fingerprint in refused.value.detail
    assert OTHER.fingerprint in refused.value.detail


@pytest.mark.lab
def test_password_once_then_key(host: Host, pinned: HostAddress, trust: ConnectionSettings) -> None:
    line = ssh.ensure_key(trust)
    with pytest.raises(AuthenticationFailed, match="does not accept our key yet"):
        ssh.check_access(pinned, trust)
    with pytest.raises(AuthenticationFailed, match="refuses this password"):
        ssh.install_key(pinned, trust, password="wrong")
    for _ in range(2):
        ssh.install_key(pinned, trust, password=host.password)
    assert host.path("/root/.ssh/authorized_keys").read_text().splitlines().count(line) == 1
    access = ssh.check_access(pinned, trust)
    assert access.sudo
    assert access.libvirt_version.startswith("9.")
    assert host.password not in "".join(path.read_text() for path in trust.directory.iterdir() if path.is_file())


@pytest.mark.lab
def test_stopped_libvirt_is_named(host: Host, pinned: HostAddress, trust: ConnectionSettings) -> None:
    ssh.ensure_key(trust)
    ssh.install_key(pinned, trust, password=host.password)
    host.stop_libvirtd()
    with pytest.raises(SetupIncomplete, match="libvirt does not run on"):
        ssh.check_access(pinned, trust)


@pytest.mark.lab
def test_user_without_libvirt_is_named(host: Host, pinned: HostAddress, trust: ConnectionSettings) -> None:
    host.run("sh", "-c", "useradd -m -s /bin/sh -p '*' powerless")
    home = host.path("/home/powerless/.ssh")
    home.mkdir(exist_ok=True)
    (home / "authorized_keys").write_text(ssh.ensure_key(trust) + "\n")
    host.run("chown", "-R", "powerless:", "/home/powerless/.ssh")
    plain = HostAddress(transport="ssh", host=pinned.host, user="powerless")
    with pytest.raises(SetupIncomplete, match=r"powerless may not use libvirt on .*: adduser powerless libvirt"):
        ssh.check_access(plain, trust)
    host.run("userdel", "-r", "powerless", check=False)


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("daemon", "libvirt is not installed"),
        ("qemu", "QEMU is not installed"),
        ("running", "libvirt does not run"),
        ("access", "may not use libvirt"),
        ("helper", "neither virt-ssh-helper nor nc"),
        ("libvirt_version", "libvirt 0.0 on h1.example is older than 8.0"),
        ("qemu_version", "QEMU 0.0 on h1.example is older than 6.0"),
    ],
)
def test_each_lack_has_its_sentence(missing: str, sentence: str) -> None:
    found = dict.fromkeys(("daemon", "qemu", "running", "access", "helper"), "yes")
    found |= {"libvirt_version": "libvirtd (libvirt) 9.0.0", "qemu_version": "QEMU emulator version 7.2.22"}
    assert ssh.judge(address(), found).libvirt_version == "9.0.0"
    with pytest.raises(SetupIncomplete, match=sentence):
        ssh.judge(address(), {key: value for key, value in found.items() if key != missing})
