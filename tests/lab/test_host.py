"""A lab host is a libvirt host: reachable, separate from the machine, with guests that boot."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from lab import Host, Lab
from lab.process import run, wait_until
from tests.lab.guest import running_guest

pytestmark = pytest.mark.lab
SHUTDOWN_SECONDS = 30


def test_hosts_are_separate_machines(lab_hosts: Sequence[Host]) -> None:
    first, second = lab_hosts
    for question in (("hostname",), ("cat", "/etc/machine-id"), ("cat", "/proc/sys/kernel/random/boot_id")):
        assert first.run(*question).stdout != second.run(*question).stdout
    assert first.host_key_fingerprint() != second.host_key_fingerprint()
    assert host_uuid(first) != host_uuid(second)


def host_uuid(host: Host) -> str:
    return host.virsh("capabilities").split("<uuid>")[1].split("</uuid>")[0]


def test_hosts_know_each_other_by_name(lab_hosts: Sequence[Host]) -> None:
    first, second = lab_hosts
    assert first.run("getent", "hosts", second.name).stdout.split()[0] == second.address


def test_a_host_shows_nothing_of_the_machine(host: Host) -> None:
    assert host.virsh("list", "--all", "--name") == ""
    assert host.virsh("net-list", "--all", "--name") == "default"
    assert host.run("test", "-c", "/dev/kvm", check=False).returncode != 0 or is_null(host)


def is_null(host: Host) -> bool:
    return host.run("stat", "-c", "%t:%T", "/dev/kvm").stdout.strip() == "1:3"


def test_virsh_reaches_a_host_over_ssh_from_the_machine(host: Host, tmp_path: Path) -> None:
    key = tmp_path / "key"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
    uri = f"qemu+ssh://root@{host.address}:{host.ssh_port}/system?keyfile={key}&no_verify=1&no_tty=1"
    command = ["virsh", "--quiet", "--connect", uri, "hostname"]
    assert run(command, check=False).returncode != 0
    host.add_authorized_key(Path(f"{key}.pub").read_text())
    assert run(command).stdout.strip() == host.name


def test_the_host_key_can_change(host: Host) -> None:
    def offered() -> str:
        return run(["ssh-keyscan", "-t", "ed25519", host.address]).stdout

    before, fingerprint = offered(), host.host_key_fingerprint()
    host.regenerate_host_key()
    assert host.host_key_fingerprint() != fingerprint
    assert before and offered() != before


def test_a_guest_boots_gets_a_lease_and_reaches_the_outside(host: Host, laboratory: Lab, tiny_image: Path) -> None:
    with running_guest(host, tiny_image) as guest:
        guest.wait_booted()
        assert guest.get(f"cgi-bin/fetch?{laboratory.outside.url}") == f"CLOUDSITE-OUTSIDE {host.address}\n\n"
        assert "CLOUDSITE-READY tiny" in guest.console()


def test_a_guest_shuts_down_by_the_power_button(host: Host, tiny_image: Path) -> None:
    with running_guest(host, tiny_image) as guest:
        guest.wait_booted()
        host.virsh("shutdown", guest.name)
        wait_until(lambda: guest.state() == "shut off", timeout=SHUTDOWN_SECONDS, what="the guest's own shutdown")
        assert "Requesting system poweroff" in guest.console()
