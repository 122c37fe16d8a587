"""The trash with a real guest on a real host: off and whole while it waits, back as it was, gone in the end."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from lab.host import Host as LabHost
from tests.cloud import Cloud
from tests.e2e.guests import await_answer, reserved, type_into, wait_booted
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
SECTOR = 200_000  # beyond the file system of the tiny disk
WRITE = f"echo -n was-there | dd of=/dev/vda bs=512 seek={SECTOR} conv=fsync; echo done > /www/told"
READ = f"dd if=/dev/vda bs=512 skip={SECTOR} count=1 2>/dev/null | head -c 9 > /www/told"


def told(host: LabHost, vm: dict[str, Any], command: str) -> str:
    """What a command in the guest leaves for its web server."""
    type_into(host, vm, command)
    return await_answer(host, f"http://{reserved(vm)}/told", seconds=20, what="the guest's answer")


@pytest.fixture
def with_trash(cloud: Cloud) -> Iterator[Cloud]:
    """The same installation, its trash switched on for a while."""
    cloud.kill("web")
    cloud.start_web(CLOUDSITE_TRASH_HOURS="1")
    yield cloud
    cloud.kill("web")
    cloud.start_web()


def test_a_machine_is_put_away_comes_back_and_expires(
    with_trash: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]
) -> None:
    cloud, host = with_trash, lab_hosts[0]
    vm = cloud.create("put-away-1", host=enrolled[0]["name"])
    boot = wait_booted(host, vm)
    assert told(host, vm, WRITE) == "done"

    cloud.succeeded(cloud.call("DELETE", f"vms/{vm['id']}/", expect=202)["operation"])
    there = cloud.vm(vm["id"])
    assert (there["status"], there["power"], there["addresses"]) == ("trashed", "shutoff", vm["addresses"])
    assert host.virsh("domstate", vm["id"]).strip() == "shut off"
    assert cloud.results("vms/?name=put-away-1") == []
    cloud.call("POST", f"vms/{vm['id']}/start/", expect=409, json={})
    cloud.call("DELETE", f"vms/{vm['id']}/", expect=409)

    cloud.call("POST", f"vms/{vm['id']}/restore/", expect=200, json={})
    cloud.succeeded(cloud.verb(vm, "start"))
    assert wait_booted(host, vm) != boot
    assert told(host, vm, READ) == "was-there"

    cloud.succeeded(cloud.call("DELETE", f"vms/{vm['id']}/", expect=202)["operation"])
    code = "from apps.compute.models import VM; from django.utils.timezone import now; "
    cloud.manage("shell", "-c", f"{code}VM.objects.filter(pk='{vm['id']}').update(trashed_until=now())")
    wait_for(
        lambda: cloud.http.get(f"vms/{vm['id']}/").status_code == 404, seconds=60, what="the end of its time", every=0.5
    )
    assert vm["id"] not in host.virsh("list", "--all", "--uuid")
    kinds = [operation["kind"] for operation in cloud.results(f"operations/?target={vm['id']}&limit=50")]
    assert kinds == ["vm.delete", "vm.trash", "vm.start", "vm.trash", "vm.create"]
