"""The kernel and the tiny disk really boot, and behave as the tests that build on them expect."""

import urllib.request
from pathlib import Path

import pytest

from imagebuild.probe import ProbeKernel
from lab.process import wait_until
from tests.imagebuild.machine import disk, free_port, machine, network, seed

pytestmark = pytest.mark.lab
BOOT_SECONDS = 60.0


def direct(kernel: ProbeKernel, command_line: str) -> list[str]:
    return ["-kernel", str(kernel.vmlinuz), "-initrd", str(kernel.initrd), "-append", command_line]


def get(port: int, path: str = "") -> str:
    """What the guest's web server answers; nothing if it does not."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def test_the_probe_says_its_line_and_powers_off(probe_kernel: ProbeKernel) -> None:
    with machine(*direct(probe_kernel, "console=ttyS0 quiet")) as guest:
        assert guest.process.wait(timeout=BOOT_SECONDS) == 0
        assert "CLOUDSITE-PROBE-OK" in guest.console()


def test_the_probe_stays_when_it_is_told_to(probe_kernel: ProbeKernel) -> None:
    with machine(*direct(probe_kernel, "console=ttyS0 quiet cloudsite.stay")) as guest:
        guest.wait_console("CLOUDSITE-HEARTBEAT", timeout=BOOT_SECONDS)
        assert guest.process.poll() is None


def test_the_tiny_disk_boots_and_answers(tiny_image: Path, tmp_path: Path) -> None:
    port = free_port()
    nocloud = seed(tmp_path, meta_data="instance-id: i-1\nlocal-hostname: web-1\n")
    with machine(*disk(tiny_image), *nocloud, *network(port=port, guest_port=80)) as guest:
        wait_until(lambda: get(port).startswith("web-1 "), timeout=BOOT_SECONDS, what="the guest's answer")
        guest.wait_console("web-1 login:", timeout=BOOT_SECONDS)
        assert "can't connect" in get(port, "cgi-bin/fetch?http://127.0.0.1:1/")
        guest.power_button()
        assert guest.process.wait(timeout=BOOT_SECONDS) == 0
        assert "Requesting system poweroff" in guest.console()


@pytest.mark.parametrize(
    ("meta_data", "name"),
    [
        ('{"instance-id": "i-1", "local-hostname": "as-json"}', "as-json"),
        ("local-hostname: 'quoted.example'\n", "quoted.example"),
        ("local-hostname: $(reboot)\n", "tiny"),
    ],
)
def test_the_name_comes_from_the_seed(tiny_image: Path, tmp_path: Path, meta_data: str, name: str) -> None:
    with machine(*disk(tiny_image), *seed(tmp_path, meta_data=meta_data)) as guest:
        guest.wait_console("CLOUDSITE-READY", timeout=BOOT_SECONDS)
        guest.wait_console(f"CLOUDSITE-READY {name}\r\n", timeout=5)
