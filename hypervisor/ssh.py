"""Getting to trust a host over SSH: its key pinned, our key installed, its libvirt within reach.

libvirt's own connections run the system's `ssh` (see `ssh_files`); paramiko is for what comes before there is
any. No host key is ever accepted because it is new: a person compares the fingerprint first,
`known_hosts.pin` records the agreement. Every failure is one sentence that says what to do.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paramiko.ssh_exception import IncompatiblePeer

from hypervisor.errors import AuthenticationFailed, HostKeyChanged, HostUnreachable, Rejected, SetupIncomplete
from hypervisor.known_hosts import DEFAULT_PORT, HostKey, pinned_key
from hypervisor.specs import ConnectionSettings, HostAddress

MINIMUM_LIBVIRT: Final = (8, 0)
MINIMUM_QEMU: Final = (6, 0)
_KEY_KINDS: Final = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256")
_MAX_OUTPUT: Final = 64 * 1024

_APPEND_KEY: Final = """
umask 077 && IFS= read -r line && cd && mkdir -p .ssh && touch .ssh/authorized_keys &&
if ! grep -qxF -e "$line" .ssh/authorized_keys; then
  if [ -s .ssh/authorized_keys ] && [ -n "$(tail -c1 .ssh/authorized_keys)" ]; then echo >> .ssh/authorized_keys; fi
  printf '%s\\n' "$line" >> .ssh/authorized_keys
fi
"""
_EXAMINE: Final = """
PATH="$PATH:/usr/sbin:/sbin"
first() { for c in "$@"; do command -v "$c" && return; done; }
if [ "$(id -u)" = 0 ]; then echo sudo=yes; elif sudo -n true 2>/dev/null; then echo sudo=yes; else echo sudo=no; fi
daemon=$(first libvirtd virtqemud); qemu=$(first qemu-system-x86_64 qemu-system-aarch64 qemu-kvm)
echo "daemon=$daemon"; echo "qemu=$qemu"; echo "helper=$(first virt-ssh-helper nc)"
[ -n "$daemon" ] && echo "libvirt_version=$("$daemon" --version 2>/dev/null | head -n1)"
[ -n "$qemu" ] && echo "qemu_version=$("$qemu" --version 2>/dev/null | head -n1)"
for s in /run/libvirt/libvirt-sock /var/run/libvirt/libvirt-sock /run/libvirt/virtqemud-sock; do
  if [ -S "$s" ]; then echo "socket=$s"; [ -r "$s" ] && [ -w "$s" ] && echo access=yes; break; fi
done
if grep -qsx -e libvirtd -e virtqemud /proc/[0-9]*/comm; then echo running=yes
elif systemctl is-active --quiet libvirtd.socket virtqemud.socket 2>/dev/null; then echo running=yes; fi
exit 0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAccess:
    """What a host allows us. `sudo` is whether we could change its system without a password; libvirt
    needs no sudo.
    """

    sudo: bool
    libvirt_version: str
    qemu_version: str


# --- our key
def ensure_key(settings: ConnectionSettings, *, comment: str = "cloudsite") -> str:
    """Our public key as a line for authorized_keys; the pair is made at the first call."""
    public = settings.key_file.with_suffix(".pub")
    if not settings.key_file.exists():
        settings.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = Ed25519PrivateKey.generate()
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        _create(settings.key_file, text)
    key_line = _load_key(settings)
    line = f"{key_line.get_name()} {key_line.get_base64()} {comment}"
    if not public.exists():
        public.write_text(line + "\n")
    return public.read_text().strip()


def _create(file: Path, text: bytes) -> None:
    """Whole or not at all, and whoever comes second keeps the first one's."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(text)
    try:
        os.link(temporary, file)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def _load_key(settings: ConnectionSettings) -> paramiko.Ed25519Key:
    return paramiko.Ed25519Key(filename=str(settings.key_file))


# --- the host's key
def fetch_host_key(address: HostAddress, settings: ConnectionSettings) -> HostKey:
    """The key the host shows now, before anything is sent to it. It proves nothing until a person has
    compared it.
    """
    with _transport(address, settings, kinds=_KEY_KINDS) as transport:
        return _shown_key(transport)


# --- getting in
def install_key(address: HostAddress, settings: ConnectionSettings, *, password: str) -> None:
    """Let ourselves in from now on; the password is used here once and kept nowhere. The host's key has to
    be pinned.
    """
    line = ensure_key(settings)
    with _trusted(address, settings) as transport:
        try:
            transport.auth_password(address.user, password)
        except paramiko.BadAuthenticationType as error:
            raise AuthenticationFailed(
                f"{address.host} takes no passwords over SSH; add our key to {address.user}'s authorized_keys"
            ) from error
        except paramiko.AuthenticationException as error:
            raise AuthenticationFailed(f"{address.host} refuses this password for {address.user}") from error
        except (paramiko.SSHException, EOFError) as error:
            raise HostUnreachable(f"{address.host} ended the connection: {error}") from error
        status, output = _execute(transport, _APPEND_KEY, settings, text=line + "\n")
    if status != 0:
        raise Rejected(f"{address.user}@{address.host} cannot write its authorized_keys: {output.strip()[-200:]}")


def check_access(address: HostAddress, settings: ConnectionSettings) -> HostAccess:
    """Everything libvirt's connection will need, looked at one by one."""
    with _trusted(address, settings) as transport:
        try:
            transport.auth_publickey(address.user, _load_key(settings))
        except paramiko.AuthenticationException as error:
            raise AuthenticationFailed(f"{address.user}@{address.host} does not accept our key yet") from error
        except (paramiko.SSHException, EOFError) as error:
            raise HostUnreachable(f"{address.host} ended the connection: {error}") from error
        _status, output = _execute(transport, _EXAMINE, settings)
    return judge(address, dict(line.split("=", 1) for line in output.splitlines() if "=" in line))


def judge(address: HostAddress, found: dict[str, str]) -> HostAccess:
    """What the examination found, as the first thing that is missing or as what we need to know."""
    host, user = address.host, address.user
    if not found.get("daemon"):
        raise SetupIncomplete(f"libvirt is not installed on {host}: apt install libvirt-daemon-system")
    if not found.get("qemu"):
        raise SetupIncomplete(f"QEMU is not installed on {host}: apt install qemu-system-x86 qemu-utils")
    if not found.get("running"):
        raise SetupIncomplete(f"libvirt does not run on {host}: systemctl enable --now libvirtd")
    if not found.get("access"):
        raise SetupIncomplete(f"{user} may not use libvirt on {host}: adduser {user} libvirt, then sign in anew")
    if not found.get("helper"):
        raise SetupIncomplete(f"{host} has neither virt-ssh-helper nor nc: apt install netcat-openbsd")
    libvirt, qemu = version_of(found.get("libvirt_version", "")), version_of(found.get("qemu_version", ""))
    for name, version, minimum in (("libvirt", libvirt, MINIMUM_LIBVIRT), ("QEMU", qemu, MINIMUM_QEMU)):
        if version[:2] < minimum:
            raise SetupIncomplete(f"{name} {_dotted(version)} on {host} is older than {_dotted(minimum)}")
    return HostAccess(sudo=found.get("sudo") == "yes", libvirt_version=_dotted(libvirt), qemu_version=_dotted(qemu))


def version_of(line: str) -> tuple[int, ...]:
    """The first word of a program's --version line that is a version, as numbers."""
    for word in line.replace("(", " ").split():
        parts = word.split(".")
        if len(parts) > 1 and all(part.isascii() and part.isdigit() for part in parts):
            return tuple(int(part) for part in parts[:3])
    return (0, 0)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


# --- transports
@contextmanager
def _trusted(address: HostAddress, settings: ConnectionSettings) -> Iterator[paramiko.Transport]:
    """A transport to the host whose key is pinned; nothing is sent to any other."""
    pinned = pinned_key(settings.known_hosts, address)
    if pinned is None:
        raise HostKeyChanged(f"no key of {address.host} has been confirmed yet")
    kinds = ("rsa-sha2-512", "rsa-sha2-256") if pinned.kind == "ssh-rsa" else (pinned.kind,)
    with _transport(address, settings, kinds=kinds) as transport:
        shown = _shown_key(transport)
        if shown != pinned:
            raise HostKeyChanged(f"{address.host} shows key {shown.fingerprint}, not {pinned.fingerprint}")
        yield transport


@contextmanager
def _transport(
    address: HostAddress, settings: ConnectionSettings, *, kinds: tuple[str, ...]
) -> Iterator[paramiko.Transport]:
    """The key exchange is done, nobody is authenticated yet."""
    endpoint = (address.host, address.port or DEFAULT_PORT)
    try:
        connection = socket.create_connection(endpoint, timeout=settings.connect_timeout)
    except OSError as error:
        reason = error.strerror or str(error)
        raise HostUnreachable(f"cannot connect to {endpoint[0]} port {endpoint[1]}: {reason}") from error
    transport = paramiko.Transport(connection)
    transport.banner_timeout = transport.auth_timeout = settings.connect_timeout
    try:
        transport.get_security_options().key_types = kinds
        _negotiate(transport, endpoint, settings)
        yield transport
    finally:
        transport.close()


def _negotiate(transport: paramiko.Transport, endpoint: tuple[str, int], settings: ConnectionSettings) -> None:
    try:
        transport.start_client(timeout=settings.connect_timeout)
    except IncompatiblePeer as error:
        raise HostKeyChanged(f"{endpoint[0]} has no host key of the expected kind: {error}") from error
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise HostUnreachable(f"{endpoint[0]} port {endpoint[1]} does not speak SSH: {error}") from error


def _shown_key(transport: paramiko.Transport) -> HostKey:
    """Missing when the time ran out during the key exchange: paramiko then returns as if all were well."""
    try:
        key = transport.get_remote_server_key()
    except paramiko.SSHException as error:
        raise HostUnreachable(f"the other side does not speak SSH: {error}") from error
    return HostKey(kind=key.get_name(), base64=key.get_base64())


def _execute(
    transport: paramiko.Transport, script: str, settings: ConnectionSettings, *, text: str = ""
) -> tuple[int, str]:
    """Run one of our fixed scripts with `text` as its input; output is bounded, and so is the time."""
    try:
        channel = transport.open_session(timeout=settings.connect_timeout)
        channel.settimeout(settings.call_timeout)
        channel.set_combine_stderr(True)
        channel.exec_command(script)
        channel.sendall(text.encode())
        channel.shutdown_write()
        output = b""
        while len(output) < _MAX_OUTPUT and (piece := channel.recv(4096)):
            output += piece
        if not channel.status_event.wait(settings.call_timeout):
            raise HostUnreachable("the SSH session did not end in time")
        return channel.recv_exit_status(), output.decode("utf-8", "replace")
    except (paramiko.SSHException, OSError) as error:
        raise HostUnreachable(f"the SSH session ended early: {error}") from error
