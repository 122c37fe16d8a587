"""A guest's screen: its VNC server listens on a Unix socket that libvirt made on the host.

On this machine libvirt hands us the connected socket. Over SSH our own `ssh` carries one connection to that path.
Over TLS there is libvirt and nothing else, and no call of it leads to a socket.
"""

import contextlib
import os
import re
import socket
import subprocess
import tempfile
import threading
import time
from typing import Final

import libvirt

from hypervisor import xml_tree
from hypervisor.errors import HostUnreachable, Rejected, Unsupported
from hypervisor.specs import ConnectionSettings, HostAddress, Screenshot
from hypervisor.ssh_files import ensure_ssh_files

MOST_BYTES: Final = 32 * 1024 * 1024
_SOCKET: Final = re.compile(r"/[\w./@+-]{1,107}")
_BANNER: Final = b"RFB "
_MOST_COMPLAINT: Final = 4096
_OPENING_SECONDS: Final = 20
_POLL_SECONDS: Final = 0.02


def local(domain: libvirt.virDomain) -> socket.socket:
    return socket.socket(fileno=domain.openGraphicsFD(0, libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH))


def socket_path(domain: libvirt.virDomain) -> str:
    """Where the running guest's VNC server listens; `Rejected` when it listens nowhere or on a port."""
    root = xml_tree.parse(domain.XMLDesc(0))
    found = [element.get("socket", "") for element in root.iterfind("devices/graphics[@type='vnc']/listen")]
    path = next(filter(None, found), "")
    if not _SOCKET.fullmatch(path):
        raise Rejected(f"domain {domain.UUIDString()} has no screen on a Unix socket")
    return path


def over_ssh(address: HostAddress, settings: ConnectionSettings, path: str) -> socket.socket:
    """A connection through a tunnel of its own.

    `ssh` listens on a socket that only we reach and only until we have connected. Its command on the host is over
    soon; it then stays for as long as the connection does, and ends with it.
    """
    ensure_ssh_files(settings)
    with tempfile.TemporaryDirectory(prefix="screen-") as directory:
        here = f"{directory}/s"
        port = ["-p", str(address.port)] if address.port is not None else []
        options = ["-o", "ClearAllForwardings=no", "-o", "ExitOnForwardFailure=yes", "-L", f"{here}:{path}"]
        command = [str(settings.ssh_command), "-T", *options, *port, "-l", address.user, "--", address.host]
        process = subprocess.Popen(
            [*command, f"sleep {_OPENING_SECONDS}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        complaint = _Complaint(process)
        try:
            return _connected(here, process, time.monotonic() + settings.call_timeout)
        except (OSError, Rejected) as error:
            process.kill()
            raise HostUnreachable(f"the screen's socket {path}: {complaint.text() or error}") from error


def _connected(here: str, process: subprocess.Popen[bytes], deadline: float) -> socket.socket:
    pause = threading.Event()
    while not os.path.exists(here):  # noqa: PTH110  # a socket that ssh makes once it is signed in
        if process.poll() is not None or time.monotonic() > deadline:
            raise Rejected("ssh made no tunnel")
        pause.wait(_POLL_SECONDS)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(here)
        _await_banner(connection, max(1.0, deadline - time.monotonic()))
    except BaseException:
        connection.close()
        raise
    return connection


def _await_banner(connection: socket.socket, seconds: float) -> None:
    """The server speaks first. Looking at it without taking it tells a tunnel that works from one that does not."""
    connection.settimeout(seconds)
    seen = connection.recv(len(_BANNER), socket.MSG_PEEK)
    if not seen or not _BANNER.startswith(seen):
        raise Unsupported("the host's ssh opened no connection to the screen; its user may not, or sshd forbids it")
    connection.settimeout(None)


class _Complaint:
    """What ssh says, bounded; and somebody who waits for its end, so that no zombie stays."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._said = b""
        self._thread = threading.Thread(target=self._listen, name="screen-ssh", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        stream = self._process.stderr
        if stream is not None:
            with contextlib.suppress(OSError), stream:
                while piece := stream.read1(1024):  # type: ignore[attr-defined]  # it is a buffered reader
                    self._said = (self._said + piece)[:_MOST_COMPLAINT]
        self._process.wait()

    def text(self) -> str:
        self._thread.join(1.0)
        return self._said.decode("utf-8", "replace").strip()[-300:]


def over_tls(_domain: libvirt.virDomain) -> socket.socket:
    raise Unsupported("over TLS no call of libvirt leads to a guest's screen")


def screenshot(connection: libvirt.virConnect, domain: libvirt.virDomain) -> Screenshot:
    """What the screen shows now, in the format the host chose."""
    stream = connection.newStream(0)
    kind = domain.screenshot(stream, 0, 0)
    content = bytearray()
    try:
        while len(content) <= MOST_BYTES:
            piece = stream.recv(256 * 1024)
            if not isinstance(piece, bytes) or not piece:
                stream.finish()
                return Screenshot(media_type=str(kind), content=bytes(content))
            content += piece
    except libvirt.libvirtError:
        with contextlib.suppress(libvirt.libvirtError):
            stream.abort()
        raise
    stream.abort()
    raise Rejected(f"the screen of domain {domain.UUIDString()} is larger than {MOST_BYTES} bytes")
