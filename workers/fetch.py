"""Fetching what a stranger's address names, without being led anywhere else.

A name is resolved once, every address it has is looked at, and the connection goes to the address that was looked at.
A redirect is a new address and passes everything again. No proxy, no credentials, no cookies; names that the server
gives are ignored.
"""

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

from django.conf import settings

from apps.errors import Refused, Unavailable
from apps.storage.addresses import url_checked

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
MOST_REDIRECTS = 5
SILENCE = 10.0
PIECE = 256 * 1024
MOST_SUMS = 2**20
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Public by the registries, but a cloud's metadata service.
METADATA = frozenset({ipaddress.ip_address("168.63.129.16")})


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """How far it came. ``total`` is what the server says, if it says it; ``tag`` tells whether it is still the same."""

    offset: int
    total: int | None
    tag: str
    ended: bool


def is_allowed(address: Address) -> bool:
    """Whether an address may be connected to: public, or in a network that the settings allow."""
    for inner in _every_reading(address):
        if any(inner in ipaddress.ip_network(network) for network in settings.IMPORT_NETWORKS):
            continue
        if not inner.is_global or inner.is_multicast or inner.is_reserved or inner in METADATA:
            return False
    return True


def _every_reading(address: Address) -> list[Address]:
    """The address, or the IPv4 addresses that are written inside an IPv6 one."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    inner: list[Address] = [address]
    if address.sixtofour is not None:
        inner.append(address.sixtofour)
    if address.teredo is not None:
        inner += address.teredo
    if address in NAT64:
        inner = [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    return inner


def resolve(host: str, port: int) -> str:
    """One address of the host. Raises ``Refused`` if any of its addresses is not allowed."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unavailable("url.unknown_host", f"The name {host[:100]} has no address.") from error
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    if not addresses or not all(is_allowed(ipaddress.ip_address(address)) for address in addresses):
        raise Refused("url.address", "The address leads into a network that Cloudsite does not fetch from.")
    return addresses[0]


class _Pinned(http.client.HTTPConnection):
    """A connection to the address that was checked, speaking to the name that was asked for."""

    def __init__(self, host: str, port: int, *, address: str, secure: bool) -> None:
        super().__init__(host, port, timeout=SILENCE)
        self._address = address
        self._secure = secure

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), timeout=SILENCE)
        if self._secure:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)


@contextmanager
def _answer(url: str, headers: dict[str, str]) -> Iterator[http.client.HTTPResponse]:
    """The answer at the end of the redirects."""
    for _ in range(MOST_REDIRECTS + 1):
        url_checked("url", url)
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        port, host = parts.port or (443 if secure else 80), parts.hostname or ""
        connection = _Pinned(host, port, address=resolve(host, port), secure=secure)
        try:
            target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
            connection.request(
                "GET", target, headers={"Accept-Encoding": "identity", "User-Agent": "Cloudsite", **headers}
            )
            response = connection.getresponse()
            if response.status not in (301, 302, 303, 307, 308):
                yield response
                return
            url = urljoin(url, response.headers.get("Location") or "")
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable("url.no_answer", f"{host[:100]} did not answer: {type(error).__name__}.") from error
        finally:
            connection.close()
    raise Refused("url.redirects", f"The address redirects more than {MOST_REDIRECTS} times.")


def fetch_piece(url: str, target: BinaryIO, *, offset: int, tag: str, seconds: float, most: int) -> Fetched:
    """Go on at ``offset`` for about ``seconds``. The server has to say that it is still the same file (``tag``)."""
    headers = {"Range": f"bytes={offset}-", **({"If-Range": tag} if tag else {})} if offset else {}
    end = time.monotonic() + seconds
    with _answer(url, headers) as response:
        if response.status == 416 and offset:
            return Fetched(offset=offset, total=offset, tag=tag, ended=True)
        if response.status not in (200, 206):
            raise Unavailable("url.status", f"The server answered with status {response.status}.")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise Refused("url.encoding", "The server packs its answer, although it was asked not to.")
        begun = offset if response.status == 206 else 0
        length = response.length
        total = None if length is None else begun + length
        if total is not None and total > most:
            raise Refused("image.too_large", f"The file has {total >> 20} MiB; the limit is {most >> 20} MiB.")
        found = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        target.seek(begun)
        target.truncate()
        here, ended = _copy(response, target, begun=begun, end=end, most=most)
        if ended and total is not None and here < total:
            raise Unavailable("url.cut_off", "The server ended the connection in the middle of the file.")
    return Fetched(offset=here, total=total, tag="" if found.startswith("W/") else found, ended=ended)


def _copy(
    response: http.client.HTTPResponse, target: BinaryIO, *, begun: int, end: float, most: int
) -> tuple[int, bool]:
    here = begun
    while True:  # at least once, so that every claim gets on
        # read1 gives what is there: a server that drips does not hold us beyond our time.
        piece = response.read1(PIECE)
        if not piece:
            return here, True
        here += len(piece)
        if here > most:
            raise Refused("image.too_large", f"The file is larger than the limit of {most >> 20} MiB.")
        target.write(piece)
        if time.monotonic() >= end:
            return here, False


def fetch_text(url: str, *, seconds: float) -> str:
    """A small text, whole. Raises ``Refused`` for a large one."""
    end = time.monotonic() + seconds
    content = bytearray()
    with _answer(url, {}) as response:
        if response.status != 200:
            raise Unavailable("url.status", f"The list of checksums cannot be read: status {response.status}.")
        while piece := response.read1(PIECE):
            content += piece
            if len(content) > MOST_SUMS or time.monotonic() > end:
                raise Refused("url.sums_too_large", "The list of checksums is too large, or comes too slowly.")
    return content.decode(errors="replace")
