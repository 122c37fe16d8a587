"""What a test can do to a lab host, and that it comes back from it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from lab import Host, LabError
from lab.process import run
from tests.lab.guest import running_guest

pytestmark = pytest.mark.lab


def test_a_reboot_brings_back_definitions_only(host: Host, tiny_image: Path) -> None:
    with running_guest(host, tiny_image) as guest:
        host.run("touch", "/var/lib/libvirt/images/kept", "/run/lost")
        before = host.boot_id()
        host.reboot()
        assert host.boot_id() != before
        assert guest.state() == "shut off"
        assert host.virsh("net-list", "--name") == ""
        assert host.run("ls", "/var/lib/libvirt/images/kept").returncode == 0
        assert host.run("ls", "/run/lost", check=False).returncode != 0
        assert "qemu-system" not in host.run("ps", "-e").stdout


def test_a_cut_network_is_silent_until_it_is_mended(host: Host) -> None:
    ping = ["ping", "-c", "1", "-W", "2", host.address]
    assert run(ping, check=False).returncode == 0
    host.cut_network()
    assert run(ping, check=False).returncode != 0
    assert host.virsh("hostname") == host.name
    host.restore_network()
    assert run([*ping[:2], "5", *ping[3:]], check=False).returncode == 0


def test_a_frozen_libvirtd_answers_nobody_and_the_other_host_does(lab_hosts: Sequence[Host], host: Host) -> None:
    host.freeze()
    with pytest.raises(LabError, match="did not finish"):
        host.virsh("list", timeout=2)
    assert lab_hosts[1].virsh("hostname") == lab_hosts[1].name
    host.thaw()
    assert host.virsh("hostname") == host.name


@pytest.mark.parametrize("method", [Host.stop_libvirtd, Host.kill_libvirtd])
def test_guests_outlive_libvirtd(host: Host, tiny_image: Path, method) -> None:  # type: ignore[no-untyped-def]
    with running_guest(host, tiny_image) as guest:
        method(host)
        with pytest.raises(LabError, match="Failed to connect"):
            host.virsh("list")
        host.start_libvirtd()
        assert guest.state() == "running"


def test_a_host_without_power_says_so(host: Host) -> None:
    host.power_off()
    with pytest.raises(LabError, match="does not run"):
        host.virsh("list")
    host.start()
    assert host.virsh("hostname") == host.name
