"""Networks, interfaces and port forwards on real hosts, as the guests in them see it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from lab.host import Host as LabHost
from tests.cloud import Cloud, probe
from tests.e2e.guests import await_answer, get, reserved, wait_booted
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
HOOK = "/etc/libvirt/hooks/network.d/50-cloudsite"
SOURCE = Path(__file__).resolve().parents[2] / "deploy" / "libvirt" / "network-hook"


@pytest.fixture
def prepared(cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]) -> Iterator[LabHost]:
    """The host that is reached by TLS alone, with our hook on it."""
    record, host = enrolled[1], lab_hosts[1]
    body = {"name": "refused", "image": "tiny", "vcpus": 1, "memory_mib": 128, "disk_gib": 1, "host": record["name"]}
    vm = cloud.call("POST", "vms/", expect=202, json=body)
    cloud.succeeded(vm["operation"])
    ports = {"host_port": 8080, "guest_port": 80}
    refusal = cloud.call("POST", f"vms/{vm['vm']['id']}/port-forwards/", expect=422, json=ports)
    assert HOOK in " ".join(refusal["setup"]["commands"])
    host.run("install", "-d", str(Path(HOOK).parent))
    host.run("sh", "-c", f"cat > {HOOK} && chmod 0755 {HOOK}", text=SOURCE.read_text())
    host.stop_libvirtd()
    host.start_libvirtd()
    cloud.delete_all()
    wait_for(lambda: cloud.get(f"hosts/{record['id']}/")["status"] == "up", seconds=60, what="the host")
    cloud.succeeded(cloud_probe(cloud, record))
    yield host
    host.run("rm", "-f", HOOK)


def cloud_probe(cloud: Cloud, record: dict[str, Any]) -> dict[str, Any]:
    return probe(cloud, record)


def network(cloud: Cloud, name: str, kind: str, record: dict[str, Any], **more: Any) -> dict[str, Any]:
    body = {"name": name, "kind": kind, "host": record["name"], **more}
    answer = cloud.call("POST", "networks/", expect=202, json=body)
    cloud.succeeded(answer["operation"])
    found: dict[str, Any] = cloud.get(f"networks/{answer['network']['id']}/")
    return found


def remove(cloud: Cloud, network: dict[str, Any]) -> None:
    cloud.succeeded(cloud.call("DELETE", f"networks/{network['id']}/", expect=202)["operation"])


def asks(host: LabHost, vm: dict[str, Any], url: str) -> str:
    """What the guest gets when it fetches a URL itself; wget's complaint where it cannot."""
    return get(host, f"http://{reserved(vm)}/cgi-bin/fetch?{url}", timeout=15)


def test_an_isolated_network_has_no_way_out(
    cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost], laboratory: Any
) -> None:
    """Two guests in it reach each other and nothing else. The same guest, with a second interface that it is given
    while it runs, reaches the outside: so it was the network that kept it in."""
    record, host = enrolled[0], lab_hosts[0]
    inner = network(cloud, "inner", "isolated", record)
    one, two = (cloud.create(name, network="inner") for name in ("in-1", "in-2"))
    pages = [wait_booted(host, vm) for vm in (one, two)]
    assert pages[0] != pages[1]
    outside = f"http://{laboratory.outside.service}/"
    assert asks(host, one, f"http://{reserved(two)}/") == pages[1]
    assert "CLOUDSITE-OUTSIDE" not in asks(host, one, outside)
    refusal = cloud.call("DELETE", f"networks/{inner['id']}/", expect=409)
    assert set(refusal["vms"]) == {"in-1", "in-2"}

    added = cloud.call("POST", f"vms/{one['id']}/nics/", expect=202, json={"network": "default"})
    cloud.succeeded(added["operation"])
    nic = cloud.results(f"vms/{one['id']}/nics/")[0]
    await_answer(host, f"http://{nic['ip']}/", seconds=60, what="the guest's answer on the new interface")
    wait_for(lambda: "CLOUDSITE-OUTSIDE" in asks(host, one, outside), seconds=60, what="the guest's way out", every=1)
    live, next_time = (places(host, one, *flags) for flags in ((), ("--inactive",)))
    assert live == next_time and len(live) == 2
    gone = cloud.call("DELETE", f"nics/{nic['id']}/", expect=202)
    cloud.succeeded(gone["operation"])
    assert nic["mac"] not in host.virsh("domiflist", one["id"])
    cloud.delete_all()
    remove(cloud, inner)
    assert inner["id"][-8:] not in host.virsh("net-list", "--all")


def places(host: LabHost, vm: dict[str, Any], *flags: str) -> list[str]:
    """Where on the bus the interfaces are, by MAC."""
    from lxml import etree

    root = etree.fromstring(host.virsh("dumpxml", *flags, vm["id"]).encode())
    found = {i.find("mac").get("address"): dict(i.find("address").attrib) for i in root.iterfind("devices/interface")}
    return [f"{mac} {sorted(found[mac].items())}" for mac in sorted(found)]


def test_a_port_leads_to_a_guest_until_it_is_closed(
    cloud: Cloud, prepared: LabHost, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]
) -> None:
    """From another machine (this one) and from the host itself, by TCP; also after libvirtd and the host went down."""
    record = enrolled[1]
    vm = cloud.create("served", host=record["name"])
    boot = wait_booted(prepared, vm)
    body = {"host_port": 8080, "guest_port": 80}
    opened = cloud.call("POST", f"vms/{vm['id']}/port-forwards/", expect=202, json=body)
    cloud.succeeded(opened["operation"])
    url = f"http://{prepared.address}:8080/"
    assert fetched(url) == boot
    assert get(prepared, url) == boot
    assert get(lab_hosts[0], url) == boot

    prepared.kill_libvirtd()
    assert fetched(url) == boot
    prepared.start_libvirtd()
    assert fetched(url) == boot
    prepared.reboot()
    wait_for(lambda: fetched(url), seconds=120, what="the guest behind the port after the reboot", every=0.5)
    assert fetched(url) != boot
    taken = cloud.call("POST", f"vms/{vm['id']}/port-forwards/", expect=422, json=body)
    assert taken["code"] == "port_forward.port_taken"
    closed = cloud.call("DELETE", f"port-forwards/{opened['port_forward']['id']}/", expect=202)
    cloud.succeeded(closed["operation"])
    assert fetched(url) == ""
    assert "8080" not in prepared.run("nft", "list", "ruleset").stdout

    again = cloud.call("POST", f"vms/{vm['id']}/port-forwards/", expect=202, json=body)
    cloud.succeeded(again["operation"])
    assert fetched(url)
    cloud.delete(cloud.vm(vm["id"]))
    assert "8080" not in prepared.run("nft", "list", "ruleset").stdout


def fetched(url: str) -> str:
    """What this machine gets there; nothing where nobody answers."""
    try:
        return httpx.get(url, timeout=3).text.strip()
    except httpx.HTTPError:
        return ""


def test_a_lan_is_the_network_of_the_host(
    cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost], laboratory: Any
) -> None:
    """Over macvtap on the host's card: who watches the wire sees the guest ask for an address by its own MAC."""
    record, host = enrolled[0], lab_hosts[0]
    office = network(cloud, "office", "lan", record)
    assert office["device"] == "eth0"
    vm = cloud.create("on-the-wire", network="office")
    nic = cloud.results(f"vms/{vm['id']}/nics/")[0]
    assert nic["ip"] is None and nic["mac"].startswith("56:")
    assert "macvtap" in host.run("ip", "-d", "link").stdout
    seen = lambda: nic["mac"] in neighbours(host)  # noqa: E731
    wait_for(seen, seconds=60, what="the guest's frames on the wire", every=1)
    cloud.delete_all()
    remove(cloud, office)


def neighbours(host: LabHost) -> str:
    """MACs that the bridge, this end of the wire, has heard of."""
    import subprocess

    argv = ["bridge", "fdb", "show", "br", host.bridge]
    return subprocess.run(argv, capture_output=True, text=True, timeout=10, check=True).stdout
