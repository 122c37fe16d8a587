"""The built image holds nothing of the machine that built it, boots, and lets the owner of a key in."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagebuild import debian, debian_packages
from imagebuild.disk import PARTITION_START
from imagebuild.progress import Progress
from lab.process import run, wait_until
from lab.pytest_plugin import need_root
from tests.imagebuild.machine import disk, free_port, machine, network, seed

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]
SSH_SECONDS = 240.0


@pytest.fixture(scope="module")
def built_image(test_cache: Path) -> Path:
    """The image as built from packages, also where the vendor's own could be had."""
    need_root()
    return debian.build(cache_dir=test_cache, progress=Progress(total=debian.STEPS), choice="packages").path


@pytest.fixture(scope="module")
def raw(built_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("raw") / "disk.raw"
    run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", built_image, path], timeout=120)
    yield path
    path.unlink()


def content(raw: Path, request: str) -> str:
    """What debugfs answers about the root file system."""
    device = f"{raw}?offset={PARTITION_START}"
    return run(["/usr/sbin/debugfs", "-R", request, device]).stdout


def test_it_is_a_small_qcow2_without_a_backing_file(built_image: Path) -> None:
    info = json.loads(run(["qemu-img", "info", "--output=json", built_image]).stdout)
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


@pytest.mark.image
def test_it_boots_and_the_key_lets_in(built_image: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
    (tmp_path / "seed").mkdir()
    public = Path(f"{key}.pub").read_text().strip()
    nocloud = seed(
        tmp_path / "seed",
        meta_data="instance-id: i-1\nlocal-hostname: web-1\n",
        user_data=f"#cloud-config\nssh_authorized_keys: ['{public}']\n",
    )
    grown = tmp_path / "grown.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", built_image, "-F", "qcow2", grown, "5G"])
    port = free_port()
    ssh = ["ssh", "-i", key, "-p", str(port), "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
    ssh += ["-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={os.devnull}", "debian@127.0.0.1"]

    with machine(*disk(grown), *nocloud, *network(port=port, guest_port=22), memory=512) as guest:

        def login(command: str) -> str:
            done = run([*ssh, command], timeout=30, check=False)
            return done.stdout if done.returncode == 0 else ""

        wait_until(lambda: login("hostname") == "web-1\n", timeout=SSH_SECONDS, what="an SSH login")
        assert login("sudo id -u") == "0\n"
        assert int(login("df --output=size -B1 / | tail -1")) > 4 << 30, "the disk was grown"
        assert "ssh_host_ed25519_key" in login("ls /etc/ssh") and login("cat /etc/machine-id").strip()
        guest.power_button()
        assert guest.process.wait(timeout=60) == 0
