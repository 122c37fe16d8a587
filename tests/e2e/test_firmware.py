"""Guests with UEFI, with devices without virtio, and of another architecture, until they ask for a login."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.host import Host as LabHost
from tests.cloud import Cloud
from tests.e2e.clean import look
from tests.e2e.test_machine import enter
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
PROMPT = """
import os, select, sys, time
tty, output, end = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY), b"", time.monotonic() + 5
os.write(tty, b"\\n")
while b"login:" not in output and time.monotonic() < end:
    if select.select([tty], [], [], 0.5)[0]:
        output += os.read(tty, 4096)
print(output.decode(errors="replace"))
"""


def wait_prompt(host: LabHost, vm: dict[str, Any], *, seconds: float) -> None:
    """Until the guest asks for a login on its serial line."""

    said = ""

    def asked() -> bool:
        nonlocal said
        tty = host.virsh("ttyconsole", vm["id"])
        said += host.run("/usr/bin/python3", "-c", PROMPT, tty, timeout=20, check=False).stdout
        return "login:" in said

    try:
        wait_for(asked, seconds=seconds, what=f"the serial prompt of {vm['name']}", every=1.0)
    except AssertionError as error:
        raise AssertionError(f"{error}\nIt said:\n{said[-3000:]}") from error


def test_uefi_and_compatible_guests_boot(
    cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost], tiny_uefi_image: Path
) -> None:
    host, place = lab_hosts[0], enrolled[0]["name"]
    uefi = enter(cloud, "tiny-uefi", tiny_uefi_image, firmware="uefi")
    # With 128 MiB the firmware leaves GRUB too little to load a kernel.
    modern = cloud.create("modern-1", image=uefi, host=place, memory_mib=256)
    old = cloud.create("old-1", devices="compatible", host=place)
    assert (modern["firmware"], old["devices"]) == ("uefi", "compatible")
    assert "OVMF" in host.virsh("dumpxml", modern["id"])
    definition = host.virsh("dumpxml", old["id"]).replace("'", '"')
    assert 'bus="sata"' in definition
    assert "e1000e" in definition
    wait_prompt(host, old, seconds=120)
    wait_prompt(host, modern, seconds=180)
    cloud.delete(modern)
    assert "nvram" not in " ".join(look(host)["file"])
    assert modern["name"] not in host.run("ls", "/var/lib/libvirt/qemu/nvram", check=False).stdout


def test_an_aarch64_guest_boots_to_its_serial_prompt(
    cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost], tiny_arm_image: Path
) -> None:
    image = enter(cloud, "tiny-arm", tiny_arm_image, architecture="aarch64", firmware="uefi")
    record = cloud.get(f"hosts/{enrolled[0]['id']}/")
    assert "aarch64" in record["architectures"]
    assert "aarch64" in record["uefi"]
    vm = cloud.create("arm-1", image=image, host=record["name"], memory_mib=256)
    assert vm["architecture"] == "aarch64"
    wait_prompt(lab_hosts[0], vm, seconds=300)
    assert json.dumps(vm["firmware"]) == '"uefi"'
