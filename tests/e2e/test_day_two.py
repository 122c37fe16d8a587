"""Pausing, growing and rebuilding a real guest, as virsh and the guest itself see it."""

from collections.abc import Sequence
from typing import Any

import pytest

from lab.host import Host as LabHost
from tests.cloud import Cloud
from tests.e2e.guests import await_answer, get, reserved, type_into, wait_booted
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
GIB = 2**30
# What the guest says about itself, on its web server; a vCPU that was plugged in is switched on first.
TELL = (
    "echo 1 > /sys/devices/system/cpu/cpu1/online; (nproc; grep MemTotal /proc/meminfo; cat /sys/block/vda/size)"
    " > /www/facts; echo told > /www/told"
)


def facts(host: LabHost, vm: dict[str, Any]) -> tuple[int, int, int]:
    """vCPUs, memory in MiB and size of the disk in GiB, as the guest counts them now."""
    type_into(host, vm, f"rm -f /www/told; {TELL}; exit")
    await_answer(host, f"http://{reserved(vm)}/told", seconds=30, what="the guest's facts")
    cpus, memory, sectors = get(host, f"http://{reserved(vm)}/facts").splitlines()
    return int(cpus), int(memory.split()[1]) // 1024, int(sectors) * 512 // GIB


def dominfo(host: LabHost, vm: dict[str, Any]) -> dict[str, str]:
    lines = host.virsh("dominfo", vm["id"]).splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_a_guest_is_paused_grows_and_is_rebuilt(
    cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]
) -> None:
    record, host = enrolled[0], lab_hosts[0]
    vm = cloud.create("grow-1", host=record["name"], max_vcpus=2, max_memory_mib=192)
    wait_booted(host, vm)
    assert cloud.get(f"hosts/{record['id']}/")["claimed"] == {"vcpus": 1, "memory_mib": 192 + 64, "disk_gib": 1}
    before = facts(host, vm)
    assert (before[0], before[2]) == (1, 1)

    cloud.succeeded(cloud.verb(vm, "pause"))
    assert host.virsh("domstate", vm["id"]) == "paused"
    assert cloud.vm(vm["id"])["status"] == "paused"
    assert get(host, f"http://{reserved(vm)}/") == ""
    cloud.succeeded(cloud.verb(vm, "start"))
    assert host.virsh("domstate", vm["id"]) == "running"
    assert get(host, f"http://{reserved(vm)}/", timeout=10)

    pid = host.run("pgrep", "-f", f"guest={vm['name']}").stdout.split()[0]
    cloud.succeeded(cloud.verb(vm, "resize", {"vcpus": 2, "memory_mib": 192, "disk_gib": 2}))
    seen = dominfo(host, vm)
    assert (seen["CPU(s)"], seen["Used memory"]) == ("2", f"{192 * 1024} KiB")
    assert host.virsh("vcpucount", vm["id"], "--live", "--current") == "2"
    assert host.virsh("vcpucount", vm["id"], "--config", "--current") == "2"
    after = facts(host, vm)
    assert (after[0], after[2]) == (2, 2)
    assert after[1] - before[1] == 192 - 128
    assert host.run("pgrep", "-f", f"guest={vm['name']}").stdout.split()[0] == pid  # it was never stopped
    assert cloud.get(f"hosts/{record['id']}/")["claimed"] == {"vcpus": 2, "memory_mib": 192 + 64, "disk_gib": 2}
    refusal = cloud.call("POST", f"vms/{vm['id']}/resize/", expect=409, json={"vcpus": 1, "disk_gib": 3})
    assert (refusal["code"], refusal["live"]) == ("vm.resize_needs_stop", ["disk_gib"])

    type_into(host, vm, "echo precious | dd of=/dev/vda bs=512 seek=2000000 conv=notrunc && sync; exit")
    wait_for(lambda: is_on_disk(host, "precious"), seconds=20, what="the guest's write to reach its disk", every=0.3)
    macs = host.virsh("domiflist", vm["id"])
    answer = cloud.call("POST", f"vms/{vm['id']}/rebuild/", expect=202, json={"image": "tiny"})
    cloud.succeeded(answer["operation"])
    rebuilt = cloud.vm(vm["id"])
    assert (rebuilt["status"], rebuilt["addresses"]) == ("running", vm["addresses"])
    wait_booted(host, vm)
    assert mac_of(macs) == mac_of(host.virsh("domiflist", vm["id"]))
    assert not is_on_disk(host, "precious")


def mac_of(listed: str) -> str:
    return next(word for word in listed.split() if word.count(":") == 5)


def is_on_disk(host: LabHost, word: str) -> bool:
    """Whether any disk of a machine on this host holds the word."""
    script = f"grep -l {word} /var/lib/libvirt/images/cs-*/vol-*.qcow2"
    return bool(host.run("sh", "-c", script, check=False).stdout)
