"""Somebody uses virsh beside us: it is seen, nothing is lost, and whatever we are asked next still works."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from lab.host import Host as LabHost
from tests.cloud import Cloud
from tests.e2e.guests import SEEN_SECONDS, event_kinds, type_into, wait_booted, wish
from tests.waiting import wait_for

pytestmark = pytest.mark.lab

FOREIGN = """
<domain type="qemu"><name>somebody</name><memory unit="MiB">96</memory><vcpu>1</vcpu>
<os><type machine="q35">hvm</type></os><devices>
<interface type="network"><source network="default"/><model type="virtio"/></interface></devices></domain>
"""


class Beside:
    """A VM, and what happens to it by virsh on its host."""

    def __init__(self, cloud: Cloud, host: LabHost, vm: dict[str, Any]) -> None:
        self.cloud, self.host, self.vm = cloud, host, vm

    def virsh(self, verb: str, *arguments: str) -> None:
        self.host.virsh(verb, self.vm["id"], *arguments)

    def is_seen(self, status: str, event: str, wanted: str) -> None:
        """Shown with its new status and as one more event of this kind; the wish is what was done."""
        before = self.count
        self.cloud.wait_status(self.vm, status, seconds=SEEN_SECONDS)
        wait_for(
            lambda: event_kinds(self.cloud, self.vm).count(event) > before.get(event, 0),
            seconds=SEEN_SECONDS,
            what=f"an event {event}",
        )
        assert wish(self.cloud, self.vm) == wanted
        self.remember()

    def remember(self) -> None:
        kinds = event_kinds(self.cloud, self.vm)
        self.count = {kind: kinds.count(kind) for kind in kinds}

    def do(self, verb: str, status: str, **body: Any) -> None:
        """One of our own verbs, which must end as asked."""
        self.cloud.succeeded(self.cloud.verb(self.vm, verb, body))
        assert self.cloud.vm(self.vm["id"])["status"] == status
        self.remember()


@pytest.fixture(autouse=True)
def the_watch_lives(cloud: Cloud, converged: None) -> Iterator[None]:
    """It was the watch that saw it: had it died of what it saw, its successor would have read the host."""
    log = cloud.state_dir / "watch.log"
    begin = log.stat().st_size
    yield
    said = log.read_bytes()[begin:]
    assert b"watch.failed" not in said
    assert b"watch.ended" not in said


@pytest.fixture
def beside(cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]) -> Beside:
    """A VM on the qemu+ssh host."""
    vm = Beside(cloud, lab_hosts[0], cloud.create("ours-1", host=enrolled[0]["name"]))
    vm.remember()
    return vm


@pytest.fixture
def beside_tls(cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]) -> Beside:
    """A VM on the qemu+tls host."""
    vm = Beside(cloud, lab_hosts[1], cloud.create("ours-2", host=enrolled[1]["name"]))
    vm.remember()
    return vm


def test_power_by_virsh(beside: Beside) -> None:
    beside.virsh("suspend")
    beside.is_seen("paused", "vm.paused", "on")
    beside.virsh("resume")
    beside.is_seen("running", "vm.started", "on")
    beside.virsh("destroy")
    beside.is_seen("stopped", "vm.stopped", "off")
    beside.virsh("start")
    beside.is_seen("running", "vm.started", "on")
    wait_booted(beside.host, beside.cloud.vm(beside.vm["id"]))
    beside.virsh("shutdown")
    beside.is_seen("stopped", "vm.stopped", "off")
    beside.do("start", "running")
    beside.do("power-off", "stopped")


def test_power_off_from_inside_is_a_wish_and_a_restart_is_not(beside_tls: Beside) -> None:
    vm = beside_tls.cloud.vm(beside_tls.vm["id"])
    first = wait_booted(beside_tls.host, vm)
    type_into(beside_tls.host, vm, "reboot")
    wait_for(
        lambda: wait_booted(beside_tls.host, vm) != first, seconds=90, what="a new boot id in the guest", every=0.2
    )
    assert beside_tls.cloud.vm(vm["id"])["status"] == "running"
    type_into(beside_tls.host, vm, "poweroff")
    beside_tls.is_seen("stopped", "vm.stopped", "off")
    beside_tls.do("start", "running")


def test_edit_and_snapshot(beside: Beside) -> None:
    editor = "EDITOR=sed -i s/131072/163840/g"
    beside.host.run("env", editor, "virsh", "--connect", "qemu:///system", "edit", beside.vm["id"])
    beside.is_seen("running", "vm.edited", "on")
    beside.virsh("snapshot-create-as", "before")
    beside.cloud.wait_status(beside.vm, "running", seconds=SEEN_SECONDS)
    beside.virsh("snapshot-revert", "before")
    beside.cloud.wait_status(beside.vm, "running", seconds=SEEN_SECONDS)
    beside.remember()
    beside.do("power-off", "stopped")
    beside.do("start", "running")
    assert "before" in beside.host.virsh("snapshot-list", beside.vm["id"], "--name")
    assert beside.host.virsh("dumpxml", beside.vm["id"]).count("163840</memory>") == 1


def test_undefine(beside_tls: Beside) -> None:
    beside_tls.virsh("destroy")
    beside_tls.is_seen("stopped", "vm.stopped", "off")
    beside_tls.virsh("undefine")
    beside_tls.is_seen("error", "vm.missing", "off")
    beside_tls.do("start", "running")
    beside_tls.virsh("undefine")  # a running guest then lives without a definition
    beside_tls.do("power-off", "error")
    beside_tls.do("start", "running")
    beside_tls.do("shutdown", "stopped", timeout_s=1, on_timeout="power-off")


@pytest.fixture
def foreign(lab_hosts: Sequence[LabHost]) -> Iterator[LabHost]:
    """The qemu+ssh host with somebody else's guest on libvirt's own network ``default``."""
    host = lab_hosts[0]
    host.virsh("net-start", "default")
    host.run("tee", "/root/foreign.xml", text=FOREIGN)
    host.virsh("define", "/root/foreign.xml")
    host.virsh("start", "somebody")
    yield host
    host.virsh("destroy", "somebody", check=False)
    host.virsh("undefine", "somebody", check=False)
    host.virsh("net-destroy", "default")


def test_a_foreign_guest_is_counted_and_left_alone(
    cloud: Cloud, enrolled: list[dict[str, Any]], foreign: LabHost
) -> None:
    record = f"hosts/{enrolled[0]['id']}/"
    wait_for(
        lambda: cloud.get(record)["claimed"]["memory_mib"] == 96, seconds=30, what="its share of the host", every=0.2
    )
    shown = cloud.sql("SELECT kind, power FROM hosts_allocation WHERE label = 'somebody'")
    assert shown == [("foreign", "running")]
    vm = cloud.create("ours-3", host=enrolled[0]["name"])
    wait_booted(foreign, vm)
    before = foreign.virsh("dumpxml", "somebody")
    cloud.delete(vm)
    assert foreign.virsh("domstate", "somebody") == "running"
    assert foreign.virsh("dumpxml", "somebody") == before
    assert "default" in foreign.virsh("net-list", "--name")
    foreign.virsh("destroy", "somebody")
    wait_for(
        lambda: cloud.get(record)["claimed"]["memory_mib"] == 0, seconds=30, what="its share given back", every=0.2
    )
