"""A real guest on a real host: it boots, gets the address that belongs to its MAC, obeys the power button."""

import dataclasses
import io
import json
import queue
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from hypervisor.errors import NotFound, Rejected
from hypervisor.libvirt_driver import LibvirtHypervisor
from hypervisor.specs import (
    Accelerator,
    AcceleratorProof,
    Button,
    ConnectionSettings,
    DirectBoot,
    DomainSpec,
    EventKind,
    HostAddress,
    HostEvent,
    Power,
    VolumeSpec,
)
from imagebuild.probe import ProbeKernel
from lab import Host
from tests.hypervisor.bed import CIDR, MIB, Bed, wait_until

pytestmark = pytest.mark.lab
BOOT_SECONDS = 60
AGENT = Path(__file__).resolve().parents[2] / "agents" / "host"
TALK = """import socket, threading
for _ in range(1500):  # the guest answers each knock at a closed door
    with socket.socket() as knocking:
        knocking.settimeout(0.2)
        knocking.connect_ex(("{ip}", 9))
    threading.Event().wait(0.001)
"""


@pytest.fixture
def bed(ssh_address: HostAddress, connection_settings: ConnectionSettings, probe_kernel: ProbeKernel) -> Iterator[Bed]:
    """A pool with kernel and initrd, and a network, on the first host."""
    settings = dataclasses.replace(connection_settings, call_timeout=25.0)
    installation = secrets.token_hex(4)
    driver = LibvirtHypervisor(ssh_address, settings, installation)
    made = Bed(hypervisor=driver, another=lambda _: driver, installation=installation)
    made.prepare()
    made.hypervisor.ensure_network(made.network)
    for name, file in (("kernel.raw", probe_kernel.vmlinuz), ("initrd.raw", probe_kernel.initrd)):
        put(made, name, file)
    yield made
    made.clean()
    for name in ("kernel.raw", "initrd.raw", "disk.qcow2"):
        driver.remove_volume(made.pool.name, name)
    driver.close()


def put(bed: Bed, name: str, file: Path) -> None:
    content = file.read_bytes()
    bed.hypervisor.ensure_volume(VolumeSpec(pool=bed.pool.name, name=name, capacity_bytes=len(content), format="raw"))
    sent = bed.hypervisor.upload(
        pool=bed.pool.name, name=name, source=io.BytesIO(content), offset=0, length=len(content)
    )
    assert sent == len(content)


def guest(bed: Bed) -> DomainSpec:
    boot = DirectBoot(
        pool=bed.pool.name,
        kernel="kernel.raw",
        initrd="initrd.raw",
        command_line="console=ttyS0 quiet cloudsite.stay",
    )
    return dataclasses.replace(bed.domain(with_nic=True), direct_boot=boot, memory_mib=192)


def as_the_agent_sees_it(host: Host, spec: DomainSpec, ip: IPv4Address) -> dict[str, Any]:
    """One sample, while somebody talks to the guest; with the rights of the agent's unit and no more.

    Everything is put into the host, which has directories of its own where this machine's tests write.
    """
    inside = host.path("/root/agent")
    shutil.copytree(AGENT, inside)
    (inside / "agent.json").write_text(json.dumps(dict.fromkeys(("ca", "certificate", "key", "state_dir"), "/nowhere")))
    (inside / "talk.py").write_text(TALK.format(ip=ip))
    rights = "+sys_ptrace,+dac_read_search"
    nobody = f"setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps {rights} --ambient-caps {rights}"
    agent = (
        "env PYTHONPATH=/root/agent /usr/bin/python3 -S -B -m cloudsite_agent --config /root/agent/agent.json --once"
    )
    said = host.run("sh", "-c", f"/usr/bin/python3 /root/agent/talk.py >/dev/null 2>&1 & {nobody} {agent}")
    shutil.rmtree(inside)
    return json.loads(said.stdout)["guests"][str(spec.uuid)]


def test_guest_lives_a_life(bed: Bed, lab_hosts: list[Host]) -> None:
    spec, driver = guest(bed), bed.hypervisor
    heard: queue.Queue[HostEvent] = queue.Queue()
    subscription = driver.watch(heard.put)
    driver.ensure_defined(spec)
    driver.ensure_running(spec.uuid)
    wait_until(lambda: bool(driver.addresses(spec.uuid)), seconds=BOOT_SECONDS, what="an address")
    lease = driver.addresses(spec.uuid, sources=("lease",))[0]
    assert (lease.ip, lease.mac) == (IPv4Address(CIDR[100]), bed.mac(0))
    assert driver.leases(bed.network.name)[0].mac == bed.mac(0)
    assert driver.addresses(spec.uuid, sources=("agent",)) == []
    seen = as_the_agent_sees_it(lab_hosts[0], spec, lease.ip)
    assert 0 < seen["cpu"] <= spec.vcpus + 1
    assert 32 * MIB < seen["memory"] < 2048 * MIB
    assert seen["disk_read"] >= 0
    assert seen["net_receive"] > 1000
    assert seen["net_transmit"] > 0
    assert "/vnc.sock" in lab_hosts[0].virsh("dumpxml", str(spec.uuid))
    assert lab_hosts[0].run("ss", "-Hltn", "sport", "ge", ":5900").stdout.count(":59") == 0

    def obeyed() -> bool:
        """A guest that is still booting misses a press, so press again, as a person would."""
        found = driver.domain(spec.uuid)
        assert found is not None
        if found.power is Power.RUNNING:
            with suppress(Rejected):  # it went off just now
                driver.press(spec.uuid, Button.SHUTDOWN)
        return found.power is Power.SHUTOFF and found.reason == "shutdown"

    wait_until(obeyed, seconds=BOOT_SECONDS, what="the guest's own shutdown")
    subscription.close()
    while (event := heard.get(timeout=5)).kind is not EventKind.STOPPED:
        assert event.uuid == spec.uuid
    assert event.detail == "shutdown"
    assert driver.leases(bed.network.name)
    driver.release_lease(bed.network.name, bed.mac(0))
    assert driver.leases(bed.network.name) == []


def prove(bed: Bed, kind: Accelerator) -> AcceleratorProof:
    return bed.hypervisor.prove_accelerator(pool=bed.pool.name, kernel="kernel.raw", initrd="initrd.raw", kind=kind)


def test_accelerator_is_proven_by_booting(bed: Bed, lab_hosts: list[Host]) -> None:
    proof = prove(bed, "tcg")
    assert proof.works, proof
    assert "CLOUDSITE-PROBE-OK" in proof.output
    advertised = prove(bed, "kvm")
    assert not advertised.works
    assert "kvm" in advertised.detail
    assert lab_hosts[0].virsh("list", "--all", "--name") == ""


def test_kernel_that_does_not_boot_proves_nothing(bed: Bed, tmp_path: Path, lab_hosts: list[Host]) -> None:
    bad = tmp_path / "bad"
    bad.write_bytes(bytes(4096))
    put(bed, "bad.raw", bad)
    proof = bed.hypervisor.prove_accelerator(
        pool=bed.pool.name, kernel="bad.raw", initrd="initrd.raw", kind="tcg", timeout=3
    )
    assert not proof.works
    assert lab_hosts[0].virsh("list", "--all", "--name") == ""
    bed.hypervisor.remove_volume(bed.pool.name, "bad.raw")
    with pytest.raises(NotFound):
        bed.hypervisor.prove_accelerator(pool=bed.pool.name, kernel="bad.raw", initrd="initrd.raw", kind="tcg")
