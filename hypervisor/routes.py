"""IPv4 routes of a Linux host, and what kind of device its default route uses, from its kernel's own tables;
needs no tool on the host.
"""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final, Literal

from hypervisor import names
from hypervisor.errors import HostUnreachable
from hypervisor.specs import ConnectionSettings, HostAddress, Uplink

ROUTE_TABLE: Final = Path("/proc/net/route")
DEVICES: Final = Path("/sys/class/net")
_MAX_BYTES: Final = 1024 * 1024
_KINDS: Final = (
    f"cat {ROUTE_TABLE}; cd {DEVICES} || exit 0; for d in *; do "
    'if [ -d "$d/bridge" ]; then echo "kind $d bridge"; '
    'elif [ -d "$d/wireless" ] || [ -e "$d/phy80211" ]; then echo "kind $d wireless"; fi; done'
)


def host_subnets(address: HostAddress, settings: ConnectionSettings) -> frozenset[IPv4Network]:
    """Empty over TLS, where there is no way to ask."""
    if address.transport == "local":
        return frozenset(parse_routes(ROUTE_TABLE.read_text()))
    if address.transport == "ssh":
        return frozenset(parse_routes(ask(address, settings, f"cat {ROUTE_TABLE}")))
    return frozenset()


def uplink(address: HostAddress, settings: ConnectionSettings) -> Uplink | None:
    """None over TLS, where there is no way to ask, and where there is no default route."""
    if address.transport == "local":
        device = parse_default(ROUTE_TABLE.read_text())
        return None if device is None else Uplink(device=device, kind=_local_kind(DEVICES / device))
    if address.transport == "ssh":
        return parse_uplink(ask(address, settings, _KINDS))
    return None


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


def parse_default(table: str) -> str | None:
    """The device of the default route with the lowest metric."""
    found: list[tuple[int, str]] = []
    for line in table[:_MAX_BYTES].splitlines()[1:]:
        fields = line.split()
        with suppress(IndexError, ValueError):
            if (int(fields[1], 16), int(fields[7], 16)) == (0, 0):
                found.append((int(fields[6]), names.device_name(fields[0])))
    return min(found)[1] if found else None


def parse_uplink(text: str) -> Uplink | None:
    """A routing table, followed by a line `kind DEVICE KIND` for each bridge and each Wi-Fi card."""
    device = parse_default(text)
    if device is None:
        return None
    special = dict(line.split()[1:3] for line in text[:_MAX_BYTES].splitlines() if line.startswith("kind "))
    kinds: dict[str, Literal["bridge", "wireless"]] = {"bridge": "bridge", "wireless": "wireless"}
    return Uplink(device=device, kind=kinds.get(special.get(device, ""), "ethernet"))


def _local_kind(device: Path) -> Literal["bridge", "ethernet", "wireless"]:
    if (device / "bridge").is_dir():
        return "bridge"
    return "wireless" if (device / "wireless").is_dir() or (device / "phy80211").exists() else "ethernet"


def ask(address: HostAddress, settings: ConnectionSettings, script: str) -> str:
    """What one of our fixed scripts prints on a host, over `ssh` with our own configuration."""
    port = ["-p", str(address.port)] if address.port is not None else []
    command = [
        str(settings.ssh_command),
        "-T",
        *port,
        "-l",
        address.user,
        "--",
        address.host,
        script,
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
        raise HostUnreachable(f"asking the host over SSH: {error}") from error
    return done.stdout.decode("ascii", "replace")
