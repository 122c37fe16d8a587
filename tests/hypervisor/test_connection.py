"""Connections: bounded, abandonable, reopened; one sick host costs nothing but itself."""

import dataclasses
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import libvirt
import pytest

from hypervisor import known_hosts
from hypervisor.errors import AuthenticationFailed, CertificateRejected, HostBusy, HostKeyChanged, HostUnreachable
from hypervisor.known_hosts import HostKey
from hypervisor.libvirt_driver import DriverCache, LibvirtHypervisor
from hypervisor.libvirt_driver.connection import Connection
from hypervisor.specs import ConnectionSettings, EventKind, HostAddress, HostEvent
from lab import Host
from tests.hypervisor.bed import wait_until
from tests.hypervisor.conftest import install_client
from tests.hypervisor.pki import Authority

LOCAL = HostAddress(transport="local")
QUICK = {"keepalive_interval": 1, "keepalive_count": 1, "call_timeout": 2.5, "connect_timeout": 2}


# --- bounds, on libvirt's in-process test driver
@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    settings = ConnectionSettings(
        directory=tmp_path, keepalive_interval=0, keepalive_count=1, call_timeout=0.4, calls_per_host=2
    )
    made = Connection(LOCAL, "test:///default", settings)
    yield made
    made.close()


def test_a_call_that_hangs_is_left_behind(connection: Connection) -> None:
    release, acted = threading.Event(), threading.Event()

    def hang(_virt: libvirt.virConnect) -> None:
        release.wait(20)
        acted.set()

    started = time.monotonic()
    with pytest.raises(HostUnreachable, match="hang: no answer within 0 s"):
        connection.run("hang", hang)
    assert time.monotonic() - started < 2
    assert connection.run("ask", lambda virt: virt.getHostname())
    release.set()
    assert acted.wait(5)


def test_calls_beyond_the_limit_fail_at_once_until_one_returns(connection: Connection) -> None:
    release = threading.Event()
    for _ in range(2):
        with pytest.raises(HostUnreachable):
            connection.run("hang", lambda _virt: release.wait(20))
    started = time.monotonic()
    with pytest.raises(HostBusy, match="2 calls to this host are still unanswered"):
        connection.run("ask", lambda virt: virt.getHostname())
    assert time.monotonic() - started < 0.2
    release.set()
    wait_until(lambda: _answers(connection), what="a free slot")


def _answers(connection: Connection) -> bool:
    try:
        return bool(connection.run("ask", lambda virt: virt.getHostname()))
    except HostBusy:
        return False


def test_our_own_errors_and_answers_come_back(connection: Connection) -> None:
    assert connection.run("add", lambda _virt: 1 + 1) == 2
    with pytest.raises(ZeroDivisionError):
        connection.run("divide", lambda _virt: 1 / 0)


def test_an_idle_connection_is_closed_and_opens_again(tmp_path: Path) -> None:
    settings = ConnectionSettings(directory=tmp_path, idle_timeout=0.0)
    driver = LibvirtHypervisor(LOCAL, settings, "1a2b3c4d", uri="test:///default", domain_type="test")
    driver.facts()
    assert driver.is_alive()
    driver.close_if_idle()
    assert not driver.is_alive()
    assert driver.facts().cpus


def test_cache_keeps_one_driver_per_address(tmp_path: Path) -> None:
    cache = DriverCache(ConnectionSettings(directory=tmp_path), "1a2b3c4d")
    other = HostAddress(transport="tls", host="h1.example")
    first = cache.get(LOCAL)
    assert cache.get(HostAddress(transport="local")) is first
    assert cache.get(other) is not first
    cache.forget(LOCAL)
    assert cache.get(LOCAL) is not first


FORKED = """
import os, sys
from pathlib import Path
from hypervisor.libvirt_driver import LibvirtHypervisor
from hypervisor.specs import ConnectionSettings, HostAddress

settings = ConnectionSettings(directory=Path("."))
driver = LibvirtHypervisor(
    HostAddress(transport="local"), settings, "1a2b3c4d", uri="test:///default", domain_type="test"
)
if sys.argv[1] == "before":
    driver.facts()
child = os.fork()
if child == 0:
    try:
        os._exit(0 if driver.facts().cpus else 1)
    except RuntimeError:
        os._exit(42)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), driver.facts().cpus)
"""


@pytest.mark.parametrize(("when", "code"), [("before", "42"), ("after", "0")])
def test_connections_belong_to_the_process_that_opened_them(when: str, code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED, when],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == [code, "16"], done.stderr


# --- a host in trouble
@pytest.fixture
def restored(lab_hosts: Sequence[Host]) -> Iterator[Sequence[Host]]:
    yield lab_hosts
    for host in lab_hosts:
        host.restore_network()
        if not host.running():
            host.start()
        host.ensure_libvirtd()


Connect = Callable[..., LibvirtHypervisor]


@pytest.fixture
def connect(connection_settings: ConnectionSettings) -> Iterator[Connect]:
    """Drivers with short limits; closed afterwards."""
    made: list[LibvirtHypervisor] = []

    def open_to(address: HostAddress, **changes: object) -> LibvirtHypervisor:
        settings = dataclasses.replace(connection_settings, **(QUICK | changes))  # type: ignore[arg-type]
        made.append(LibvirtHypervisor(address, settings, "1a2b3c4d"))
        return made[-1]

    yield open_to
    for driver in made:
        driver.close()


def _until_unreachable(driver: LibvirtHypervisor, bound: float) -> None:
    started = time.monotonic()
    with pytest.raises(HostUnreachable):
        driver.domains()
    assert time.monotonic() - started < bound


def _answers_again(driver: LibvirtHypervisor) -> bool:
    try:
        driver.domains()
    except HostUnreachable:
        return False
    return True


@pytest.mark.lab
@pytest.mark.parametrize(("fixture", "index"), [("ssh_address", 0), ("tls_address", 1)])
def test_frozen_libvirtd_costs_one_bounded_call(
    request: pytest.FixtureRequest, restored: Sequence[Host], connect: Connect, fixture: str, index: int
) -> None:
    kept = connect(request.getfixturevalue(fixture))
    kept.domains()
    restored[index].freeze()
    _until_unreachable(kept, 4)
    _until_unreachable(kept, 4)  # connecting anew hangs as well
    _until_unreachable(connect(request.getfixturevalue(fixture)), 4)
    restored[index].thaw()
    wait_until(lambda: _answers_again(kept), seconds=20, what="the thawed host")


@pytest.mark.lab
def test_a_frozen_host_does_not_slow_another(
    restored: Sequence[Host], connect: Connect, ssh_address: HostAddress, tls_address: HostAddress
) -> None:
    sick, well = connect(ssh_address), connect(tls_address)
    sick.domains()
    well.domains()
    restored[0].freeze()
    waiting = [threading.Thread(target=_ignoring_errors, args=(sick,)) for _ in range(6)]
    for thread in waiting:
        thread.start()
    started = time.monotonic()
    for _ in range(50):
        well.domains()
    assert time.monotonic() - started < 1.5
    for thread in waiting:
        thread.join(10)


def _ignoring_errors(driver: LibvirtHypervisor) -> None:
    try:
        driver.domains()
    except HostUnreachable:
        return


@pytest.mark.lab
@pytest.mark.parametrize(("fixture", "index"), [("ssh_address", 0), ("tls_address", 1)])
def test_restarted_libvirtd_is_found_again_without_an_error(
    request: pytest.FixtureRequest, restored: Sequence[Host], connect: Connect, fixture: str, index: int
) -> None:
    driver = connect(request.getfixturevalue(fixture), call_timeout=10.0)
    boot_id = driver.facts().boot_id
    for stop in (restored[index].kill_libvirtd, restored[index].stop_libvirtd):
        stop()
        restored[index].start_libvirtd()
        assert driver.facts().boot_id == boot_id


@pytest.mark.lab
def test_stopped_libvirtd_is_unreachable(restored: Sequence[Host], connect: Connect, tls_address: HostAddress) -> None:
    driver = connect(tls_address)
    driver.domains()
    restored[1].stop_libvirtd()
    with pytest.raises(HostUnreachable, match="refused"):
        driver.domains()


@pytest.mark.lab
def test_rebooted_host_has_another_boot_id(
    restored: Sequence[Host], connect: Connect, ssh_address: HostAddress
) -> None:
    driver = connect(ssh_address, call_timeout=10.0)
    before = driver.facts()
    restored[0].reboot()
    after = driver.facts()
    assert after.boot_id != before.boot_id
    assert after.host_uuid == before.host_uuid


@pytest.mark.lab
def test_cut_cable_ends_call_and_watch_in_time(
    restored: Sequence[Host], connect: Connect, tls_address: HostAddress
) -> None:
    driver = connect(tls_address)
    heard: queue.Queue[HostEvent] = queue.Queue()
    driver.watch(heard.put)
    restored[1].cut_network()
    _until_unreachable(driver, 4)
    assert heard.get(timeout=5).kind is EventKind.DISCONNECTED
    restored[1].restore_network()
    wait_until(lambda: _answers_again(driver), seconds=20, what="the host behind its cable")
    assert heard.empty()


@pytest.mark.lab
def test_watch_ends_when_libvirtd_dies(restored: Sequence[Host], connect: Connect, ssh_address: HostAddress) -> None:
    heard: queue.Queue[HostEvent] = queue.Queue()
    subscription = connect(ssh_address).watch(heard.put)
    restored[0].kill_libvirtd()
    assert heard.get(timeout=5).kind is EventKind.DISCONNECTED
    subscription.close()
    assert heard.empty()


@pytest.mark.lab
def test_many_reconnections_leave_nothing_open(connect: Connect, tls_address: HostAddress) -> None:
    driver = connect(tls_address)

    def use_and_close() -> None:
        driver.watch(lambda _event: None).close()
        driver.domains()
        driver.close()

    use_and_close()
    settled = _open_files()
    for _ in range(10):
        use_and_close()
    wait_until(lambda: _open_files() <= settled, what="closed sockets")


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


# --- trust
@pytest.fixture
def own_trust(connection_settings: ConnectionSettings, tmp_path: Path) -> ConnectionSettings:
    """The session's key, but known hosts and certificates that a test may spoil."""
    long = tmp_path / "/".join(["a-state-directory-with-a-long-path"] * 6)  # ssh names it when it complains
    long.mkdir(parents=True)
    made = dataclasses.replace(connection_settings, directory=long)
    made.key_file.write_bytes(connection_settings.key_file.read_bytes())
    made.key_file.chmod(0o600)
    made.known_hosts.write_text(connection_settings.known_hosts.read_text())
    return made


@pytest.mark.lab
def test_changed_host_key_is_told_apart(ssh_address: HostAddress, own_trust: ConnectionSettings) -> None:
    wrong = HostKey(
        kind="ssh-ed25519",
        base64="AAAAC3NzaC1lZDI1NTE5AAAAIIDaeHIe0M0CPjX1Nqs4LkK3hH1sLNxeXl3L7mJZqYgX",
    )
    known_hosts.pin(own_trust.known_hosts, ssh_address, wrong)
    with pytest.raises(HostKeyChanged):
        LibvirtHypervisor(ssh_address, own_trust, "1a2b3c4d").facts()
    known_hosts.unpin(own_trust.known_hosts, ssh_address)
    with pytest.raises(HostKeyChanged):
        LibvirtHypervisor(ssh_address, own_trust, "1a2b3c4d").facts()


@pytest.mark.lab
def test_unknown_key_of_ours_is_told_apart(ssh_address: HostAddress, own_trust: ConnectionSettings) -> None:
    own_trust.key_file.unlink()
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(own_trust.key_file)],
        stdin=subprocess.DEVNULL,
        timeout=20,
        check=True,
    )
    with pytest.raises(AuthenticationFailed):
        LibvirtHypervisor(ssh_address, own_trust, "1a2b3c4d").facts()


@pytest.mark.lab
def test_certificate_of_another_authority_is_refused(tls_address: HostAddress, own_trust: ConnectionSettings) -> None:
    install_client(own_trust.pki_path, Authority())
    with pytest.raises(CertificateRejected):
        LibvirtHypervisor(tls_address, own_trust, "1a2b3c4d").facts()


@pytest.mark.lab
def test_certificate_that_is_not_on_the_hosts_list_is_refused(
    tls_address: HostAddress, own_trust: ConnectionSettings, authority: Authority
) -> None:
    install_client(own_trust.pki_path, authority, name="somebody-else")
    with pytest.raises(CertificateRejected):
        LibvirtHypervisor(tls_address, own_trust, "1a2b3c4d").facts()


@pytest.mark.lab
def test_certificate_for_another_name_is_refused(
    restored: Sequence[Host], own_trust: ConnectionSettings, tls_address: HostAddress, authority: Authority
) -> None:
    install_client(own_trust.pki_path, authority)
    named = HostAddress(transport="tls", host=restored[1].name)
    hosts = Path("/etc/hosts")
    before = hosts.read_text()
    hosts.write_text(f"{before}\n{restored[1].address} {restored[1].name}\n")
    try:
        with pytest.raises(CertificateRejected):
            LibvirtHypervisor(named, own_trust, "1a2b3c4d").facts()
    finally:
        hosts.write_text(before)


@pytest.mark.lab
def test_missing_certificates_of_ours_are_named(tls_address: HostAddress, own_trust: ConnectionSettings) -> None:
    own_trust.pki_path.mkdir()
    with pytest.raises(CertificateRejected):
        LibvirtHypervisor(tls_address, own_trust, "1a2b3c4d").facts()
