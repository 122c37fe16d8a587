"""Giving a lease back in the name of a guest that is gone."""

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from hypervisor import dhcp_release
from hypervisor.network_xml import build_network, read_dhcp_server
from hypervisor.specs import ConnectionSettings, DhcpServer, HostAddress
from tests.hypervisor.cases import LAN, NETWORK

MAC = "52:ab:cd:a8:96:07"
IP = IPv4Address("192.168.150.7")
HERE = DhcpServer(bridge="lo", address=IPv4Address("127.0.0.1"))


def test_the_message_is_a_release() -> None:
    text = dhcp_release.message(IPv4Address("192.168.150.1"), IP, MAC)
    assert text[:4] == bytes([1, 1, 6, 0])
    assert text[12:16] == IP.packed
    assert text[28:34].hex(":") == MAC
    assert text[236:] == bytes.fromhex("638253633501073604c0a89601ff")


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Where a DHCP server would listen."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        monkeypatch.setattr(dhcp_release, "_SERVER_PORT", listener.getsockname()[1])
        yield listener


@pytest.fixture
def connection(tmp_path: Path) -> ConnectionSettings:
    """Its `ssh` runs the command here."""
    made = ConnectionSettings(directory=tmp_path)
    made.ssh_command.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nexec sh -c "$3"\n')
    made.ssh_command.chmod(0o755)
    return made


@pytest.mark.parametrize(
    "address", [HostAddress(transport="local"), HostAddress(transport="ssh", host="h1", user="root")]
)
def test_it_is_sent_here_and_over_ssh(
    heard: socket.socket, connection: ConnectionSettings, address: HostAddress
) -> None:
    leases = [[IP], []]
    dhcp_release.release_all(address, connection, HERE, held=lambda: leases.pop(0), mac=MAC)
    assert heard.recv(1024) == dhcp_release.message(HERE.address, IP, MAC)


def test_where_no_way_leads_nothing_is_done(connection: ConnectionSettings) -> None:
    asked: list[int] = []

    def held() -> list[IPv4Address]:
        asked.append(1)
        return [IP]

    dhcp_release.release_all(HostAddress(transport="tls", host="h1"), connection, HERE, held=held, mac=MAC)
    gone = DhcpServer(bridge="nosuchbridge", address=HERE.address)
    dhcp_release.release_all(HostAddress(transport="local"), connection, gone, held=held, mac=MAC)
    connection.ssh_command.write_text("#!/bin/sh\nexit 127\n")
    dhcp_release.release_all(HostAddress(transport="ssh", host="h1", user="root"), connection, HERE, held=held, mac=MAC)
    assert len(asked) == 3


def test_the_server_of_a_network() -> None:
    found = read_dhcp_server(build_network(NETWORK))
    assert found == DhcpServer(bridge=NETWORK.bridge, address=NETWORK.gateway)
    assert read_dhcp_server(build_network(LAN)) is None
    evil = build_network(NETWORK).replace(NETWORK.bridge, "x;reboot")
    assert read_dhcp_server(evil) is None
