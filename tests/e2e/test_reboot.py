"""A host that was rebooted brings back what ran on it, by operations that everybody can see."""

from collections.abc import Sequence
from typing import Any

import pytest

from lab.host import Host as LabHost
from tests.cloud import Cloud
from tests.e2e.clean import look
from tests.e2e.guests import wait_booted
from tests.waiting import wait_for

pytestmark = pytest.mark.lab


def reboots(cloud: Cloud, record: dict[str, Any]) -> int:
    """How often the host's reboot was noticed."""
    return len(cloud.results(f"events/?target={record['id']}&kind=host.rebooted"))


def starts(cloud: Cloud, vm: dict[str, Any]) -> list[str]:
    """States of the start operations of a VM."""
    kinds = cloud.results(f"operations/?target={vm['id']}&limit=50")
    return [str(operation["status"]) for operation in kinds if operation["kind"] == "vm.start"]


def test_what_ran_and_starts_on_boot_comes_back(
    cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]
) -> None:
    record, host = enrolled[0], lab_hosts[0]
    asked = [
        cloud.ask("comes-back", host=record["name"]),
        cloud.ask("stays-down", host=record["name"], start_on_boot=False),
        cloud.ask("was-off", host=record["name"]),
    ]
    for _, operation in asked:
        cloud.succeeded(operation)
    on, stays_down, was_off = (cloud.vm(vm["id"]) for vm, _ in asked)
    cloud.succeeded(cloud.verb(was_off, "power-off"))
    noticed = reboots(cloud, record)
    before = cloud.sql("SELECT boot_id FROM hosts_host WHERE id = %s", record["id"])

    host.reboot()

    wait_for(lambda: reboots(cloud, record) == noticed + 1, seconds=90, what="the reboot to be noticed", every=0.2)
    cloud.wait_status(on, "running", seconds=60)
    wait_for(lambda: starts(cloud, on) == ["succeeded"], seconds=30, what="the visible start")
    wait_booted(host, cloud.vm(on["id"]))
    for vm in (stays_down, was_off):
        cloud.wait_status(vm, "stopped", seconds=30)
        assert starts(cloud, vm) == []
    assert cloud.sql("SELECT boot_id FROM hosts_host WHERE id = %s", record["id"]) != before
    found = look(host)
    assert found["running"] == [on["id"]]
    assert "active" in host.virsh("net-list") and "active" in host.virsh("pool-list")
    cloud.succeeded(cloud.verb(was_off, "start"))


def test_a_restart_of_libvirtd_alone_is_no_reboot(
    cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]
) -> None:
    """With kill -9, so nothing says goodbye. The guest runs on, is seen, and is not started a second time."""
    record, host = enrolled[1], lab_hosts[1]
    vm = cloud.create("runs-on", host=record["name"])
    boot, noticed = wait_booted(host, vm), reboots(cloud, record)
    host.kill_libvirtd()
    cloud.wait_status(vm, "unknown", seconds=60)
    assert cloud.get(f"hosts/{record['id']}/")["reason"] != ""
    host.start_libvirtd()
    cloud.wait_status(vm, "running", seconds=60)
    assert wait_booted(host, vm) == boot
    assert reboots(cloud, record) == noticed
    assert starts(cloud, vm) == []
    cloud.succeeded(cloud.verb(vm, "power-off"))
