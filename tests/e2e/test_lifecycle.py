"""The life of a VM on real libvirt hosts, over HTTP: create, verbs, delete, on qemu+ssh and on qemu+tls."""

import urllib.request
from collections.abc import Sequence
from typing import Any

import pytest

from lab.host import Host as LabHost
from lab.laboratory import Lab
from tests.cloud import Cloud, probe, probed
from tests.e2e.clean import look
from tests.e2e.guests import get, reserved, wait_booted

pytestmark = pytest.mark.lab


MOST_PROBES = 4  # a machine that is busy with other things may not boot a kernel in time


def test_hosts_are_probed_and_their_accelerator_is_proven_by_a_kernel(
    cloud: Cloud, enrolled: list[dict[str, Any]]
) -> None:
    for host in enrolled:
        for _ in range(MOST_PROBES):
            if host["accelerator"]["proven"]:
                break
            host = probed(cloud, probe(cloud, host))  # the same host, as it is now
        assert host["status"] == "up", host
        assert host["accelerator"]["used"] == "tcg"
        assert host["accelerator"]["proven"] is True
        assert host["capacity"]["memory_mib"] > 0
        assert host["versions"]["libvirt"].startswith("9.")


@pytest.mark.parametrize("number", [0, 1], ids=["qemu+ssh", "qemu+tls"])
def test_a_vm_lives_and_leaves_nothing(
    cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost], number: int
) -> None:
    record, host = enrolled[number], lab_hosts[number]
    vm = cloud.create("web-1", host=record["name"])
    assert vm["status"] == "running"
    assert vm["host"] == record["name"]
    wait_booted(host, vm)
    cloud.succeeded(cloud.verb(vm, "shutdown", {"timeout_s": 60}))
    assert cloud.vm(vm["id"])["status"] == "stopped"
    cloud.succeeded(cloud.verb(vm, "start"))
    assert cloud.vm(vm["id"])["status"] == "running"
    wait_booted(host, vm)
    cloud.succeeded(cloud.verb(vm, "reset"))
    cloud.succeeded(cloud.verb(vm, "power-off"))
    assert cloud.vm(vm["id"])["status"] == "stopped"

    assert cloud.get(f"hosts/{record['id']}/")["claimed"]["vcpus"] == 1
    assert reserved(vm) in host.virsh("net-dhcp-leases", network(host))
    cloud.delete(vm)
    if number == 0:  # over TLS no way leads to the DHCP server
        assert reserved(vm) not in host.virsh("net-dhcp-leases", network(host))
    found = look(host)
    assert "domain" not in found
    assert not [name for name in found["file"] if not name.startswith(("img-", "probe-"))]
    assert cloud.get(f"hosts/{record['id']}/")["claimed"] == {"vcpus": 0, "memory_mib": 0, "disk_gib": 0}


def network(host: LabHost) -> str:
    """The host's own network of ours."""
    return next(name for name in host.virsh("net-list", "--name").split() if name.startswith("cs-"))


def test_the_guest_reaches_a_name_and_a_listener_beyond_the_nat(
    cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost], laboratory: Lab
) -> None:
    vm = cloud.create("out-1", host=enrolled[0]["name"])
    host = lab_hosts[0]
    wait_booted(host, vm)
    url = f"http://{reserved(vm)}/cgi-bin/fetch?{laboratory.outside.url}"
    assert host.address in get(host, url, timeout=30)


def test_a_vm_is_placed_on_the_host_with_more_free_memory(cloud: Cloud, enrolled: list[dict[str, Any]]) -> None:
    first = cloud.create("spread-1")
    second = cloud.create("spread-2")
    assert {first["host"], second["host"]} == {host["name"] for host in enrolled}


def test_a_protected_vm_is_not_deleted(cloud: Cloud, enrolled: list[dict[str, Any]]) -> None:
    vm = cloud.create("kept-1")
    cloud.call("PATCH", f"vms/{vm['id']}/", expect=200, json={"protected": True})
    refusal = cloud.call("DELETE", f"vms/{vm['id']}/", expect=409)
    assert refusal["code"] == "vm.protected"
    assert cloud.vm(vm["id"])["status"] == "running"


def test_pages_render_with_the_hosts_known(cloud: Cloud, enrolled: list[dict[str, Any]]) -> None:
    with urllib.request.urlopen(f"{cloud.url}/readyz", timeout=10) as answer:  # noqa: S310  # loopback
        assert answer.status == 200
