"""The three forms in which a host may be named. A libvirt URI can run programs, so it is taken apart here and
put together again by the workers; nothing beyond these parts is ever passed on (``promises.md``, M22)."""

import ipaddress
import re
from dataclasses import dataclass

from apps.errors import Refused, refused

FORMS = "qemu:///system, qemu+ssh://user@host[:port]/system or qemu+tls://host[:port]/system"
PATTERN = re.compile(
    r"qemu\+(?P<transport>ssh|tls)://(?:(?P<user>[^@/?#]*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[^:/?#@\[\]]+)(?::(?P<port>[0-9]{1,5}))?/system",
    re.ASCII,
)
DEFAULT_PORTS = {"ssh": 22, "tls": 16514}
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}", re.ASCII)
NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)  # where it stands last, resolvers see an IPv4 address
LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class HostUri:
    """The parts of a host's URI."""

    transport: str
    address: str = ""
    user: str = ""
    port: int | None = None


def parse_uri(text: str) -> HostUri:
    """Take a URI apart. Raises ``Refused`` for anything but the three forms."""
    if text == "qemu:///system":
        return HostUri(transport="local")
    match = PATTERN.fullmatch(text)
    if match is None:
        raise _wrong(f"A host is named as {FORMS}.")
    transport, user = match["transport"], match["user"]
    if transport == "ssh" and not user:
        raise _wrong("qemu+ssh needs a user: qemu+ssh://user@host/system.")
    if transport == "tls" and user is not None:
        raise _wrong("qemu+tls takes no user: the certificate says who we are.")
    if user and USER.fullmatch(user) is None:
        raise _wrong("The user must be a plain Linux user name.")
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 0 < port < 65536:
        raise _wrong("The port must lie between 1 and 65535.")
    if port == DEFAULT_PORTS[transport]:
        port = None  # said or not said, it is the same host
    return HostUri(transport=transport, address=_address(match["host"]), user=user or "", port=port)


def _address(text: str) -> str:
    if text.startswith("["):
        try:
            return str(ipaddress.IPv6Address(text[1:-1]))
        except ValueError as error:
            raise _wrong("What stands in brackets is not an IPv6 address.") from error
    labels = text.rstrip(".").split(".")
    if len(text) > 253 or not all(LABEL.fullmatch(label) for label in labels):
        raise _wrong("The host must be a DNS name or an IP address.")
    if NUMBER.fullmatch(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(text))
        except ValueError as error:
            raise _wrong("The host looks like an IPv4 address and is none.") from error
    return text.lower()


def _wrong(detail: str) -> Refused:
    return refused("uri", "host.uri", detail)
