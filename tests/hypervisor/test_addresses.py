"""URIs, ssh files, routes: nothing that was not checked reaches a command line or a URI."""

import stat
import subprocess
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from hypervisor.routes import parse_default, parse_routes, parse_uplink
from hypervisor.specs import ConnectionSettings, HostAddress, Transport
from hypervisor.ssh_files import ensure_ssh_files, ssh_config
from hypervisor.uri import connection_uri

SETTINGS = ConnectionSettings(directory=Path("/var/lib/cloud site/keys"))
SSH = "keyfile=%2Fvar%2Flib%2Fcloud+site%2Fkeys%2Fid_ed25519&command=%2Fvar%2Flib%2Fcloud+site%2Fkeys%2Fssh&no_tty=1"


@pytest.mark.parametrize(
    ("address", "uri"),
    [
        (HostAddress(transport="local"), "qemu:///system"),
        (HostAddress(transport="ssh", host="h1.example", user="root"), f"qemu+ssh://root@h1.example/system?{SSH}"),
        (
            HostAddress(transport="ssh", host="2001:db8::1", user="ops", port=2222),
            f"qemu+ssh://ops@[2001:db8::1]:2222/system?{SSH}",
        ),
        (
            HostAddress(transport="tls", host="10.0.0.1"),
            "qemu+tls://10.0.0.1/system?pkipath=%2Fvar%2Flib%2Fcloud+site%2Fkeys%2Ftls",
        ),
    ],
)
def test_uri_is_assembled(address: HostAddress, uri: str) -> None:
    assert connection_uri(address, SETTINGS) == uri


def test_own_socket_is_named() -> None:
    settings = ConnectionSettings(directory=Path("/x"), local_socket=Path("/run/l?a=b"))
    assert connection_uri(HostAddress(transport="local"), settings) == "qemu+unix:///system?socket=%2Frun%2Fl%3Fa%3Db"


@pytest.mark.parametrize(
    "host",
    [
        "",
        "-oProxyCommand=x",
        "h1/system?command=/x",
        "h1?no_verify=1",
        "a b",
        "h1@h2",
        "fe80::1%eth0",
        "h1\n",
        "ü.example",
    ],
)
@pytest.mark.parametrize("transport", ["ssh", "tls"])
def test_host_that_is_none_is_refused(transport: Transport, host: str) -> None:
    with pytest.raises(ValueError, match="host"):
        HostAddress(transport=transport, host=host, user="root" if transport == "ssh" else "")


@pytest.mark.parametrize("user", ["", "-l", "root@x", "a b", "Ro", "r" * 33])
def test_user_that_is_none_is_refused(user: str) -> None:
    with pytest.raises(ValueError, match="user"):
        HostAddress(transport="ssh", host="h1", user=user)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match="not a port"):
        HostAddress(transport="tls", host="h1", port=port)


def test_keepalive_gives_up_before_a_call() -> None:
    with pytest.raises(ValueError, match="keepalive"):
        ConnectionSettings(directory=Path("/x"), call_timeout=20.0)


# --- ssh files
def test_ssh_reads_our_configuration_as_we_mean_it(tmp_path: Path) -> None:
    settings = ConnectionSettings(directory=tmp_path / "with space")
    for _ in range(2):
        ensure_ssh_files(settings)
    assert stat.S_IMODE(settings.ssh_command.stat().st_mode) == 0o700
    done = subprocess.run(
        [str(settings.ssh_command), "-G", "-l", "root", "--", "h1.example"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    understood = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    assert understood["stricthostkeychecking"] == "true"
    assert understood["batchmode"] == "yes"
    assert understood["userknownhostsfile"] == settings.known_hosts.name  # the wrapper goes to its directory
    assert understood["globalknownhostsfile"] == "/dev/null"
    assert understood["identityfile"] == str(settings.key_file)
    assert understood["identitiesonly"] == "yes"
    assert understood["serveraliveinterval"] == "5"
    assert understood["connecttimeout"] == "10"


def test_a_directory_ssh_cannot_name_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot name"):
        ssh_config(ConnectionSettings(directory=Path('/a"b')))


# --- routes
TABLE = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
virbr0\t007AA8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
broken
x\tzz\t0\t0\t0\t0\t0\tzz
"""


def test_routes_of_the_kernel_are_read() -> None:
    assert set(parse_routes(TABLE)) == {IPv4Network("10.0.0.0/24"), IPv4Network("192.168.122.0/24")}


DEFAULTS = TABLE.replace("\t0\t0\t0\t00000000", "\t0\t0\t900\t00000000") + (
    "wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
    "br0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
)


@pytest.mark.parametrize(
    ("text", "device", "kind"),
    [
        (DEFAULTS, "br0", "ethernet"),
        (f"{DEFAULTS}kind wlan0 wireless\nkind br0 bridge\n", "br0", "bridge"),
        (DEFAULTS.replace("\t100\t", "\t700\t") + "kind wlan0 wireless\n", "wlan0", "wireless"),
    ],
)
def test_the_default_route_with_the_lowest_metric_counts(text: str, device: str, kind: str) -> None:
    seen = parse_uplink(text)
    assert seen is not None
    assert (seen.device, seen.kind) == (device, kind)


@pytest.mark.parametrize("text", ["", "Iface\nx", "h\n../e\t00000000\t0\t0\t0\t0\t1\t00000000\n", "kind\nkind a\n"])
def test_no_default_route(text: str) -> None:
    assert parse_default(text) is None
    assert parse_uplink(text) is None
