"""What ``make lab`` does with ``--enrol``: hosts of the lab are added to a running cloud by its API, and taken out."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.enrol import Api, enrol, withdraw
from lab.host import Host as LabHost
from lab.laboratory import Lab
from tests.client import PASSWORD
from tests.cloud import Cloud

pytestmark = pytest.mark.lab


def lab_of(*hosts: LabHost) -> Lab:
    """A lab that consists of these hosts."""
    return cast(Lab, SimpleNamespace(hosts=hosts))


@pytest.fixture
def api(cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]) -> Iterator[Api]:
    found = Api(cloud.url, username="admin", password=PASSWORD)
    yield found
    withdraw(found, lab_of(lab_hosts[2]))


@pytest.mark.parametrize("transport", ["ssh", "tls"])
def test_a_host_is_added_used_and_taken_out(
    cloud: Cloud, api: Api, lab_hosts: Sequence[LabHost], transport: str
) -> None:
    known, new = lab_hosts[0], lab_hosts[2]
    lab = lab_of(new) if transport == "ssh" else lab_of(known, new)  # the first one goes over SSH
    api._token = "as after five minutes"
    for _twice in range(2):
        enrol(api, lab)
    (record,) = [host for host in cloud.results("hosts/") if host["name"] == new.name]
    assert (record["status"], record["uri"].split(":")[0]) == ("up", f"qemu+{transport}")
    vm = cloud.create("in-the-lab", host=new.name)
    cloud.call("PATCH", f"vms/{vm['id']}/", expect=200, json={"protected": True})
    withdraw(api, lab_of(new))
    assert new.name not in [host["name"] for host in cloud.results("hosts/")]
    assert vm["id"] not in new.virsh("list", "--all", "--uuid")
