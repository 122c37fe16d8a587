"""Data volumes on a real guest: it sees them come, grow and go; the host's definition says what our records say."""

import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from lxml import etree

from lab.host import Host as LabHost
from tests.cloud import Cloud
from tests.e2e.guests import get, reserved, wait_booted
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
GIB = 2**30


def make(cloud: Cloud, name: str, vm: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An empty volume of 1 GiB on the host of a VM."""
    body = {"name": name, "size_gib": 1, "vm": vm["id"], **more}
    answer = cloud.call("POST", "volumes/", expect=202, json=body)
    cloud.succeeded(answer["operation"])
    return volume_now(cloud, answer["volume"])


def volume_now(cloud: Cloud, volume: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = cloud.get(f"volumes/{volume['id']}/")
    return found


def ask(cloud: Cloud, volume: dict[str, Any], verb: str, **body: Any) -> dict[str, Any]:
    operation: dict[str, Any] = cloud.call("POST", f"volumes/{volume['id']}/{verb}/", expect=202, json=body)[
        "operation"
    ]
    return operation


def in_guest(host: LabHost, vm: dict[str, Any], volume: dict[str, Any]) -> int | None:
    """The size of a volume in bytes as the guest sees it, found by its serial; None: it has no such disk."""
    told = get(host, f"http://{reserved(vm)}/cgi-bin/disks")
    lines = [line.split() for line in told.splitlines()]
    return next((int(line[1]) for line in lines if line[2:] == [volume["id"][:20]]), None)


def defined(host: LabHost, vm: dict[str, Any], *options: str) -> dict[str, dict[str, str]]:
    """The data disks that virsh shows: file, serial and limits by target."""
    root = etree.fromstring(host.virsh("dumpxml", vm["id"], *options))
    return {
        disk.find("target").get("dev"): {
            "file": disk.find("source").get("file").rpartition("/")[2],
            "serial": disk.findtext("serial"),
            "iops": disk.findtext("iotune/total_iops_sec"),
            "rate": disk.findtext("iotune/total_bytes_sec"),
        }
        for disk in root.findall("devices/disk")
        if disk.findtext("serial")
    }


def recorded(cloud: Cloud, vm: dict[str, Any]) -> dict[str, dict[str, str | None]]:
    """The same from our records."""
    return {
        volume["target"]: {
            "file": f"vol-{volume['id']}.qcow2",
            "serial": volume["id"],
            "iops": str(volume["iops"]) if volume["iops"] else None,
            "rate": str(volume["bandwidth_mib_s"] * 2**20) if volume["bandwidth_mib_s"] else None,
        }
        for volume in cloud.results(f"volumes/?vm={vm['id']}")
    }


def test_a_running_guest_sees_a_volume_come_grow_and_go(
    cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]
) -> None:
    host = lab_hosts[0]
    vm, other = (cloud.create(name, host=enrolled[0]["name"]) for name in ("disk-1", "disk-2"))
    volume = make(cloud, "data", vm, iops=500)
    wait_booted(host, vm)
    wait_booted(host, other)
    assert in_guest(host, vm, volume) is None

    # Two attaches at once: one wins, and one guest sees it.
    def attach(machine: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        answer = cloud.http.post(f"volumes/{volume['id']}/attach/", json={"vm": machine["id"]})
        return answer.status_code, answer.json()

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(attach, (vm, other)))
    assert sorted(status for status, _ in answers) == [202, 409]
    assert next(body for status, body in answers if status == 409)["code"] == "volume.attached"
    cloud.succeeded(next(body for status, body in answers if status == 202)["operation"])
    winner, loser = (vm, other) if answers[0][0] == 202 else (other, vm)
    wait_for(lambda: in_guest(host, winner, volume) == GIB, seconds=20, what="the guest to see it", every=0.2)
    assert in_guest(host, loser, volume) is None
    assert defined(host, winner) == defined(host, winner, "--inactive") == recorded(cloud, winner) != {}
    assert defined(host, loser, "--inactive") == {}

    cloud.succeeded(ask(cloud, volume, "resize", size_gib=2))
    wait_for(lambda: in_guest(host, winner, volume) == 2 * GIB, seconds=20, what="the guest to see it grown", every=0.2)
    cloud.call("PATCH", f"volumes/{volume['id']}/", expect=202, json={"bandwidth_mib_s": 20, "iops": 0})
    wait_for(lambda: defined(host, winner) == recorded(cloud, winner), seconds=20, what="the limits", every=0.2)
    told = host.virsh("blkdeviotune", winner["id"], "vdc")
    assert told.split("total_bytes_sec:")[1].split()[0] == str(20 * 2**20)
    limits = cloud.call("POST", f"vms/{winner['id']}/io-limits/", expect=202, json={"iops": 300})
    cloud.succeeded(limits["operation"])
    assert host.virsh("blkdeviotune", winner["id"], "vda").split("total_iops_sec :")[1].split()[0] == "300"

    cloud.succeeded(ask(cloud, volume, "detach"))
    assert in_guest(host, winner, volume) is None
    assert volume_now(cloud, volume)["status"] == "available"
    assert defined(host, winner) == defined(host, winner, "--inactive") == {}

    # Attached to one that is off, kept over a power cycle; the machine goes, the volume stays.
    cloud.succeeded(cloud.verb(loser, "power-off"))
    cloud.succeeded(ask(cloud, volume, "attach", vm=loser["name"]))
    cloud.succeeded(cloud.verb(loser, "start"))
    wait_booted(host, loser)
    assert in_guest(host, loser, volume) == 2 * GIB
    refusal = cloud.call("DELETE", f"volumes/{volume['id']}/", expect=409)
    assert refusal["code"] == "volume.attached"
    cloud.delete(loser)
    assert volume_now(cloud, volume)["status"] == "available"
    cloud.delete_volumes()


def test_a_worker_killed_between_attach_and_record(
    cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]
) -> None:
    vm = cloud.create("disk-3", host=enrolled[0]["name"])
    volume = make(cloud, "data", vm)
    fault = cloud.stop_worker_at("volume.attach.attach.c")
    operation = ask(cloud, volume, "attach", vm=vm["id"])
    wait_for(lambda: not fault.exists(), seconds=60, what="a worker after the attach")
    assert volume_now(cloud, volume)["status"] == "attaching"
    assert len(defined(lab_hosts[0], vm)) == 1
    cloud.kill("worker", signal.SIGKILL)
    cloud.start_worker()
    cloud.lease_is_over(operation)
    assert cloud.succeeded(operation)["attempts"] >= 2
    assert volume_now(cloud, volume)["status"] == "attached"
    assert defined(lab_hosts[0], vm) == defined(lab_hosts[0], vm, "--inactive") == recorded(cloud, vm)
    wait_booted(lab_hosts[0], vm)
    assert in_guest(lab_hosts[0], vm, volume) == GIB
