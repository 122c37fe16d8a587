"""Implementations of the interface to test against: the fake, libvirt's test driver, real hosts of the
lab.
"""

import json
import secrets
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from hypervisor.fake import FakeHost, FakeHypervisor
from hypervisor.libvirt_driver import LibvirtHypervisor
from hypervisor.specs import ConnectionSettings, CpuSpec, HostAddress
from lab import Host
from lab.process import run
from tests.hypervisor.bed import Bed
from tests.hypervisor.pki import CLIENT, CLIENT_DN, Authority

TEST_DRIVER_LACKS = frozenset(
    {
        "agent",  # no guest to speak to
        "cpu-features",  # no capabilities of any CPU
        "console",  # virDomainOpenConsole is not implemented, so no probe
        "hot-plug",  # neither disks nor interfaces come and go
        "files",  # volumes have no content: no upload, no growing, no missing backing file
        "leases",  # no DHCP server
        "hooks",  # libvirtd runs them
        "live-network",  # networks always start, two may share a bridge or a subnet
        "snapshot-kinds",  # makes one with or without memory, whatever the guest does
        "other-process",  # the state belongs to the connection
    }
)
FAKE_LACKS = frozenset[str]()
LAB_LACKS = frozenset({"balloon"})  # a guest without a system has no driver for it


@pytest.fixture(scope="session")
def connection_settings(tmp_path_factory: pytest.TempPathFactory) -> ConnectionSettings:
    """Keys, certificates' directory and ssh files of one session; time limits short enough for tests."""
    directory = tmp_path_factory.mktemp("connections")
    made = ConnectionSettings(directory=directory, keepalive_interval=1, keepalive_count=3, call_timeout=15.0)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(made.key_file)],
        stdin=subprocess.DEVNULL,
        timeout=20,
        check=True,
    )
    return made


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def ssh_address(lab_hosts: Sequence[Host], connection_settings: ConnectionSettings) -> HostAddress:
    """The first host of the lab, trusted and trusting."""
    host = lab_hosts[0]
    host.add_authorized_key(connection_settings.key_file.with_suffix(".pub").read_text().strip())
    keys = host.path("/etc/ssh/ssh_host_ed25519_key.pub").read_text().split()
    connection_settings.known_hosts.write_text(f"{host.address} {keys[0]} {keys[1]}\n")
    return HostAddress(transport="ssh", host=host.address, user="root")


@pytest.fixture(scope="session")
def tls_address(
    lab_hosts: Sequence[Host], connection_settings: ConnectionSettings, authority: Authority
) -> HostAddress:
    """The second host of the lab, with certificates on both sides."""
    host = lab_hosts[1]
    certificate, key = authority.issue(host.name, address=host.address)
    host.install_tls(ca_cert=authority.pem, server_cert=certificate, server_key=key, allowed_dn=CLIENT_DN)
    install_client(connection_settings.pki_path, authority)
    return HostAddress(transport="tls", host=host.address)


def install_client(directory: Path, authority: Authority, *, name: str = CLIENT) -> None:
    """A client certificate under the names libvirt looks for."""
    certificate, key = authority.issue(name)
    directory.mkdir(exist_ok=True)
    for file, text in (("cacert", authority.pem), ("clientcert", certificate), ("clientkey", key)):
        (directory / f"{file}.pem").write_text(text)


def _fake(request: pytest.FixtureRequest) -> Bed:
    host = FakeHost(request.getfixturevalue("tmp_path"), "fake-1")
    installation = secrets.token_hex(4)
    return Bed(
        hypervisor=FakeHypervisor(host, installation),
        another=lambda other: FakeHypervisor(host, other),
        lacks=FAKE_LACKS,
        stubborn=lambda: host.configure(lets_go=False),
        silence=lambda: host.configure(agent=False),
        read_file=lambda path: (host.files / Path(path).parent.name / Path(path).name).read_bytes(),
        installation=installation,
    )


def own_uplink() -> str:
    """The device of this machine's default route, which the test driver looks at."""
    routes = json.loads(run(["ip", "-j", "-4", "route", "show", "default"]).stdout or "[]")
    return str(min(routes, key=lambda route: route.get("metric", 0))["dev"]) if routes else ""


def _test_driver(request: pytest.FixtureRequest) -> Bed:
    address, settings = HostAddress(transport="local"), request.getfixturevalue("connection_settings")
    installation = secrets.token_hex(4)

    def connect(us: str) -> LibvirtHypervisor:
        return LibvirtHypervisor(address, settings, us, uri="test:///default", domain_type="test")

    return Bed(
        hypervisor=connect(installation),
        another=connect,
        lacks=TEST_DRIVER_LACKS,
        uplink=own_uplink(),
        installation=installation,
        architecture="i686",
        cpu=CpuSpec(mode="custom", model="pentium3"),
    )


def _lab(address_fixture: str, index: int) -> Callable[[pytest.FixtureRequest], Bed]:
    def make(request: pytest.FixtureRequest) -> Bed:
        address, settings = request.getfixturevalue(address_fixture), request.getfixturevalue("connection_settings")
        host = request.getfixturevalue("lab_hosts")[index]
        installation = secrets.token_hex(4)

        def connect(us: str) -> LibvirtHypervisor:
            return LibvirtHypervisor(address, settings, us)

        return Bed(
            hypervisor=connect(installation),
            another=connect,
            lacks=LAB_LACKS,
            installation=installation,
            read_file=lambda path: host.path(path).read_bytes(),
        )

    return make


_BEDS = {
    "fake": _fake,
    "test-driver": _test_driver,
    "lab-ssh": _lab("ssh_address", 0),
    "lab-tls": _lab("tls_address", 1),
}
_LAB = [pytest.param(name, marks=pytest.mark.lab) for name in ("lab-ssh", "lab-tls")]


@pytest.fixture(params=["fake", "test-driver", *_LAB])
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    made = _BEDS[request.param](request)
    yield made
    made.clean()
    made.hypervisor.close()
