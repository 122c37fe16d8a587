"""IPv4 subnets a Linux host has routes for, from its kernel's own table; needs no tool on the host."""

import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from hypervisor.errors import HostUnreachable
from hypervisor.specs import ConnectionSettings, HostAddress

ROUTE_TABLE: Final = Path("/proc/net/route")
_MAX_BYTES: Final = 1024 * 1024


def host_subnets(address: HostAddress, settings: ConnectionSettings) -> frozenset[IPv4Network]:
    """Empty over TLS, where there is no way to ask."""
    if address.transport == "local":
        return frozenset(parse_routes(ROUTE_TABLE.read_text()))
    if address.transport == "ssh":
        return frozenset(parse_routes(_remote_table(address, settings)))
    return frozenset()


def parse_routes(table: str) -> Iterator[IPv4Network]:
    """Destination and mask are hexadecimal in the host's byte order (little-endian on all we run on); default
    routes are left out.
    """
    for line in table[:_MAX_BYTES].splitlines()[1:]:
        fields = line.split()
        try:
            destination, mask = (bytes.fromhex(fields[index])[::-1] for index in (1, 7))
            prefix = int.from_bytes(mask).bit_count()
            if prefix:
                yield IPv4Network((destination, prefix), strict=False)
        except (IndexError, ValueError):
            continue


def _remote_table(address: HostAddress, settings: ConnectionSettings) -> str:
    port = ["-p", str(address.port)] if address.port is not None else []
    command = [
        str(settings.ssh_command),
        "-T",
        *port,
        "-l",
        address.user,
        "--",
        address.host,
        f"cat {ROUTE_TABLE}",
    ]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=settings.call_timeout - settings.connect_timeout / 2,
            check=True,
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise HostUnreachable(f"reading the host's routes: {error}") from error
    return done.stdout.decode("ascii", "replace")
