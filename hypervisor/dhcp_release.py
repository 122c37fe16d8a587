"""Telling a network's DHCP server that a guest is gone: libvirt has no call for it, and dnsmasq believes only a
DHCPRELEASE (RFC 2131) that came in by the network's own bridge.

Binding a socket to a device needs no right of root since Linux 5.7. Over TLS no way leads to the bridge.
"""

import shlex
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from hypervisor import routes
from hypervisor.errors import HostUnreachable
from hypervisor.specs import ConnectionSettings, DhcpServer, HostAddress

Held = Callable[[], Sequence[IPv4Address | IPv6Address]]
_HEARD_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.05
_SERVER_PORT: Final = 67
_RELEASE: Final = 7
_COOKIE: Final = bytes([99, 130, 83, 99])
# SO_BINDTODEVICE is 25. Perl is on every Debian, Python is not.
_SEND: Final = (
    "use Socket; socket(my $s, PF_INET, SOCK_DGRAM, 0) or die; "
    'setsockopt($s, SOL_SOCKET, 25, "$ARGV[0]\\0") or die; '
    'send($s, pack("H*", $ARGV[3]), 0, sockaddr_in($ARGV[2], inet_aton($ARGV[1]))) or die'
)


def message(server: IPv4Address, ip: IPv4Address, mac: str) -> bytes:
    """A DHCPRELEASE of `ip`. Without a client identifier it is found by its MAC."""
    hardware = bytes.fromhex(mac.replace(":", ""))
    request, ethernet, transaction = 1, 1, b"rel\x00"
    head = bytes([request, ethernet, len(hardware), 0]) + transaction + bytes(4)
    addresses = ip.packed + bytes(12)
    options = bytes([53, 1, _RELEASE, 54, 4]) + server.packed + bytes([255])
    return head + addresses + hardware.ljust(16, b"\0") + bytes(64 + 128) + _COOKIE + options


def release_all(
    address: HostAddress, settings: ConnectionSettings, server: DhcpServer, *, held: Held, mac: str
) -> None:
    """Give a guest's leases back in its name, and look whether the server has heard it."""
    for ip in held():
        if isinstance(ip, IPv4Address) and not _release(address, settings, server, message(server.address, ip, mac)):
            return
    pause, deadline = threading.Event(), time.monotonic() + _HEARD_SECONDS
    while held() and time.monotonic() < deadline:
        pause.wait(_POLL_SECONDS)


def _release(address: HostAddress, settings: ConnectionSettings, server: DhcpServer, text: bytes) -> bool:
    """False where that cannot be said: the lease ends by itself."""
    if address.transport == "local":
        return _send(server, text)
    if address.transport == "ssh":
        words = ["perl", "-e", _SEND, server.bridge, str(server.address), str(_SERVER_PORT), text.hex()]
        with suppress(HostUnreachable):
            routes.ask(address, settings, shlex.join(words))
            return True
    return False


def _send(server: DhcpServer, text: bytes) -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, server.bridge.encode() + b"\0")
        sender.sendto(text, (str(server.address), _SERVER_PORT))
        return True
    return False
