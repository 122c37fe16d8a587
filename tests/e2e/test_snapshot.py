"""Snapshots of real guests: what they bring back, and what is left when somebody dies over one."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.compute.timetable import DAYS
from lab.host import Host as LabHost
from tests.cloud import Cloud
from tests.e2e.guests import event_kinds, get, reserved, type_into, wait_booted, wish
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
SEEN_SECONDS = 60


class Guest:
    """A VM with snapshots, from the API's side and from its host's."""

    def __init__(self, cloud: Cloud, host: LabHost, vm: dict[str, Any]) -> None:
        self.cloud, self.host, self.vm = cloud, host, vm

    # --- the API
    def ask(self, name: str) -> dict[str, Any]:
        operation: dict[str, Any] = self.cloud.call(
            "POST", f"vms/{self.vm['id']}/snapshots/", expect=202, json={"name": name}
        )["operation"]
        return operation

    def take(self, name: str) -> dict[str, Any]:
        self.cloud.succeeded(self.ask(name))
        return self.named(name)

    def named(self, name: str) -> dict[str, Any]:
        (found,) = self.cloud.results(f"snapshots/?vm={self.vm['id']}&name={name}")
        return found

    def is_idle(self) -> bool:
        query = "SELECT 1 FROM operations_operation WHERE target_id = %s AND status IN ('queued', 'running')"
        return not self.cloud.sql(query, self.vm["id"])

    def scheduled(self, known: Sequence[str]) -> str:
        """A complete one by the clock that is not known yet, or nothing."""
        found = self.cloud.results(f"snapshots/?vm={self.vm['id']}&status=ready")
        return next((one["name"] for one in found if one["schedule"] and one["name"] not in known), "")

    def revert(self, snapshot: dict[str, Any]) -> dict[str, Any]:
        answer = self.cloud.call("POST", f"snapshots/{snapshot['id']}/revert/", expect=202)
        self.cloud.succeeded(answer["operation"])
        return self.now()

    def now(self) -> dict[str, Any]:
        return self.cloud.vm(self.vm["id"])

    def rows(self) -> dict[str, str | None]:
        """Every complete snapshot with its parent, by the host's names."""
        query = "SELECT s.host_name, p.host_name FROM compute_snapshot s LEFT JOIN compute_snapshot p"
        found = self.cloud.sql(f"{query} ON p.id = s.parent_id WHERE s.vm_id = %s AND s.phase = 'ready'", self.vm["id"])
        return dict(found)

    # --- the host
    def tree(self) -> dict[str, str | None]:
        """The same as virsh says it."""
        table = self.host.virsh("snapshot-list", self.vm["id"], "--parent").splitlines()
        names = self.host.virsh("snapshot-list", self.vm["id"], "--name").split()
        found: dict[str, str | None] = dict.fromkeys(names)
        for words in (line.split() for line in table):
            if words and words[0] in found and words[-1] in found:
                found[words[0]] = words[-1]
        return found

    def in_disk(self) -> list[str]:
        """The snapshots that the disk file itself knows."""
        path = self.host.virsh("domblklist", self.vm["id"]).split()[1]
        shown = json.loads(self.host.run("qemu-img", "info", "-U", "--output=json", path).stdout)
        return [item["name"] for item in shown.get("snapshots", [])]

    def page(self, path: str = "") -> str:
        return get(self.host, f"http://{reserved(self.vm)}/{path}")

    def qemu(self, signal: str) -> None:
        """Stop QEMU in its tracks, or let it go on: a host that needs long for something."""
        self.host.run("pkill", f"-{signal}", "-f", self.vm["id"])


@pytest.fixture
def guest(cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]) -> Iterator[Guest]:
    """A VM that has booted, on the qemu+ssh host."""
    vm = cloud.create("snapped-1", host=enrolled[0]["name"])
    made = Guest(cloud, lab_hosts[0], vm)
    wait_booted(made.host, vm)
    yield made
    made.host.run("pkill", "-CONT", "-f", vm["id"], check=False)


def test_a_revert_undoes_what_was_done_since(guest: Guest) -> None:
    """With memory it goes on without a boot; one that was off is off again, with its old disk."""
    booted = guest.page()
    first = guest.take("first")
    assert (first["memory"], first["power"], first["current"]) == (True, "running", True)
    type_into(guest.host, guest.vm, "echo later > /www/later; echo marker | dd of=/dev/vda bs=512 seek=2000000; sync")
    wait_for(lambda: guest.page("later") == "later", seconds=20, what="the file in the guest", every=0.2)
    second = guest.take("second")
    assert guest.revert(first)["status"] == "running"
    wait_for(lambda: guest.page() == booted, seconds=20, what="the guest of then", every=0.2)
    assert guest.page("later") == ""
    guest.take("third")
    assert guest.rows() == guest.tree()
    assert len(guest.tree()) == 3
    assert guest.tree()[f"cs-{second['id']}"] == guest.tree()[f"cs-{guest.named('third')['id']}"] == f"cs-{first['id']}"

    guest.cloud.succeeded(guest.cloud.verb(guest.vm, "power-off"))
    off = guest.take("off")
    assert (off["memory"], off["power"]) == (False, "shutoff")
    assert guest.revert(second)["status"] == "running"
    wait_for(lambda: guest.page("later") == "later", seconds=20, what="the second snapshot's file", every=0.2)
    assert guest.revert(off)["status"] == "stopped"
    assert wish(guest.cloud, guest.vm) == "off"
    guest.cloud.succeeded(guest.cloud.verb(guest.vm, "start"))
    assert wait_booted(guest.host, guest.vm) != booted
    type_into(
        guest.host,
        guest.vm,
        "dd if=/dev/vda bs=512 skip=2000000 count=1 | tr -d '\\0' > /www/disk; echo . >> /www/disk",
    )
    assert wait_for(lambda: guest.page("disk"), seconds=20, what="the disk's content", every=0.2) == "."


def test_the_clock_takes_them_and_the_oldest_goes(guest: Guest) -> None:
    """Due twice, as after a day: the host has the newest of the schedule and the one that was made by hand."""
    by_hand = guest.take("mine")
    now = datetime.now(UTC) - timedelta(minutes=1)
    plan = {"action": "snapshot", "keep": 1, "weekdays": list(DAYS), "time": f"{now:%H:%M}"}
    schedule = guest.cloud.call("POST", f"vms/{guest.vm['id']}/schedules/", expect=201, json=plan)
    names: list[str] = []
    for _ in range(2):
        wait_for(guest.is_idle, seconds=60, what="the end of what is done with it", every=0.2)
        due = now.replace(second=0, microsecond=0)
        guest.cloud.sql("UPDATE compute_schedule SET next_run = %s WHERE id = %s", due, schedule["id"])
        names.append(wait_for(lambda: guest.scheduled(names), seconds=60, what="another snapshot", every=0.5))
    assert names[0].startswith(f"auto-{now:%Y-%m-%d}") and names[0] != names[1]
    wait_for(lambda: len(guest.rows()) == 2, seconds=60, what="the end of the older one", every=0.5)
    newest = guest.named(names[1])
    assert (newest["memory"], newest["schedule"]) == (True, schedule["id"])
    wait_for(lambda: guest.rows() == guest.tree(), seconds=SEEN_SECONDS, what="the same on the host", every=0.5)
    assert set(guest.tree()) == {f"cs-{by_hand['id']}", f"cs-{newest['id']}"}
    assert "snapshot.surplus" in event_kinds(guest.cloud, guest.vm)
    guest.cloud.call("DELETE", f"schedules/{schedule['id']}/", expect=204)


def test_somebody_uses_virsh_beside_us(guest: Guest) -> None:
    ours = guest.take("ours")
    guest.host.virsh("snapshot-create-as", guest.vm["id"], "theirs")
    wait_for(lambda: guest.rows() == guest.tree(), seconds=SEEN_SECONDS, what="the foreign snapshot", every=0.5)
    theirs = guest.named("theirs")
    assert (theirs["foreign"], theirs["parent"], theirs["current"]) == (True, ours["id"], True)
    guest.cloud.call("DELETE", f"snapshots/{theirs['id']}/", expect=409)
    guest.host.virsh("snapshot-delete", guest.vm["id"], f"cs-{ours['id']}")
    wait_for(lambda: guest.rows() == guest.tree(), seconds=SEEN_SECONDS, what="the end of ours", every=0.5)
    assert list(guest.rows()) == ["theirs"]
    assert {"snapshot.found", "snapshot.gone"} <= set(event_kinds(guest.cloud, guest.vm))
    assert guest.page()


def test_worker_and_libvirtd_die_while_it_is_written(guest: Guest) -> None:
    """QEMU stands still, as if the memory were large: nobody waits for it, and the host is not taken for dead."""
    booted = guest.page()
    guest.qemu("STOP")
    operation = guest.ask("long")

    def written() -> bool:
        return "writing" in str(guest.cloud.get(f"operations/{operation['id']}/")["step"])

    wait_for(written, seconds=40, what="the operation to wait for the host", every=0.2)
    host = next(item for item in guest.cloud.results("hosts/") if item["name"] == guest.vm["host"])
    assert host["status"] == "up"
    guest.cloud.kill("worker")
    guest.host.kill_libvirtd()
    guest.qemu("CONT")
    guest.host.start_libvirtd()
    guest.cloud.revive()
    guest.cloud.succeeded(operation)
    assert guest.now()["status"] == "running"
    assert guest.in_disk() == list(guest.tree()) == [f"cs-{guest.named('long')['id']}"]
    assert guest.rows() == guest.tree()
    assert guest.page() == booted
