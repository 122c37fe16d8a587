"""`/dev/kvm` of a machine without udev is given to its group, once, and given back."""

import grp
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from bootstrap import libvirtd, machine, uninstall

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes a device node")

Device = Callable[[int], Path]


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    """A device node in the place of /dev/kvm with a mode, on a machine without udev, and a record of changes."""
    if "kvm" not in (group.gr_name for group in grp.getgrall()):
        pytest.skip("no group kvm")
    node = tmp_path / "kvm"
    monkeypatch.setattr(libvirtd, "KVM", node)
    monkeypatch.setattr(libvirtd, "UDEV", tmp_path / "no-udev")
    record = tmp_path / "changes.json"
    monkeypatch.setattr(machine, "add", lambda **what: machine.write(machine.Changes(**what), record))

    def make(mode: int) -> Path:
        os.mknod(node, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        node.chmod(mode)
        return record

    return make


def owners(node: Path) -> tuple[int, str]:
    found = node.stat()
    return stat.S_IMODE(found.st_mode), grp.getgrgid(found.st_gid).gr_name


def test_one_that_is_closed_is_given_to_the_group_and_recorded(device: Device) -> None:
    record = device(0o600)
    assert libvirtd.kvm_is_closed()
    libvirtd.open_kvm()
    assert owners(libvirtd.KVM) == (0o660, "kvm")
    assert not libvirtd.kvm_is_closed()
    assert machine.read(record).devices == (str(libvirtd.KVM),)


@pytest.mark.parametrize("mode", [0o660, 0o666, 0o000, 0o640])
def test_a_mode_that_somebody_chose_stays(device: Device, mode: int) -> None:
    record = device(mode)
    libvirtd.open_kvm()
    assert owners(libvirtd.KVM) == (mode, "root")
    assert not record.exists()


def test_udev_is_not_interfered_with(device: Device, tmp_path: Path) -> None:
    record = device(0o600)
    (tmp_path / "no-udev").touch()
    libvirtd.open_kvm()
    assert owners(libvirtd.KVM) == (0o600, "root")
    assert not record.exists()


def test_it_is_given_back(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    device(0o600)
    libvirtd.open_kvm()
    plan = uninstall.Plan(state_dir=None, devices=(str(libvirtd.KVM),))
    assert plan.sentences() == [f"give {libvirtd.KVM} back to root alone"]
    monkeypatch.setattr(uninstall, "_forget", lambda *_: None)
    uninstall.take_back(plan, None)  # type: ignore[arg-type]  # settings are for what was forgotten
    assert owners(libvirtd.KVM) == (0o600, "root")
