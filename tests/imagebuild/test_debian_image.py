"""The built image holds nothing of the machine that built it; ``tests/e2e/test_image_ssh.py`` boots it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagebuild import debian_packages
from imagebuild.disk import PARTITION_START
from lab.process import run

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def raw(debian_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("raw") / "disk.raw"
    run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", debian_image, path], timeout=120)
    yield path
    path.unlink()


def content(raw: Path, request: str) -> str:
    """What debugfs answers about the root file system."""
    device = f"{raw}?offset={PARTITION_START}"
    return run(["/usr/sbin/debugfs", "-R", request, device]).stdout


def test_it_is_a_small_qcow2_without_a_backing_file(debian_image: Path) -> None:
    info = json.loads(run(["qemu-img", "info", "--output=json", debian_image]).stdout)
    assert info["format"] == "qcow2" and "backing-filename" not in info
    assert info["virtual-size"] == debian_packages.SIZE
    assert info["actual-size"] < 400 << 20


def test_what_must_be_unique_is_not_in_it(raw: Path) -> None:
    assert content(raw, "cat /etc/machine-id") == ""
    assert "ssh_host_" not in content(raw, "ls /etc/ssh")
    assert "random-seed" not in content(raw, "ls /var/lib/systemd")
    (root,) = [line for line in content(raw, "cat /etc/shadow").splitlines() if line.startswith("root:")]
    assert root.startswith(("root:!", "root:*"))


def test_nothing_of_the_building_machine_is_in_it(raw: Path) -> None:
    assert content(raw, "cat /etc/hostname") == "debian\n"
    configuration = content(raw, "ls -p /etc/apt/apt.conf.d")
    assert "99mmdebstrap" not in configuration and "01autoremove" in configuration
    assert content(raw, "cat /etc/apt/sources.list") == ""
    listed = content(raw, "cat /etc/apt/sources.list.d/debian.sources")
    uris = {line for line in listed.splitlines() if line.startswith("URIs:")}
    assert uris == {"URIs: http://deb.debian.org/debian", "URIs: http://deb.debian.org/debian-security"}
    assert "Mode:  0755" in content(raw, "stat /")
    assert "Mode:  0644" in content(raw, "stat /etc/cloud/cloud.cfg.d/90_cloudsite.cfg")
    assert "Mode:  0755" in content(raw, "stat /etc/initramfs-tools/hooks/cloudsite")
    assert "stub-resolv.conf" in content(raw, "stat /etc/resolv.conf")
