"""Nearly full hosts under parallel creates, and twenty small VMs while a host goes down."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from lab.host import Host as LabHost
from tests.cloud import Cloud
from tests.e2e.conftest import wait_up
from tests.parallel import in_parallel
from tests.waiting import wait_for

pytestmark = pytest.mark.lab

ROOM = 2  # VMs of one vCPU that each host has room for
CREATES = 50
MANY = 20
SMALL = {"image": "tiny", "vcpus": 1, "memory_mib": 64, "disk_gib": 1}


@pytest.fixture
def nearly_full(cloud: Cloud, enrolled: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Both hosts with room for a few VMs only."""
    for record in enrolled:
        ratio = {"vcpu_ratio": ROOM / record["cpus"]}
        changed = cloud.call("PATCH", f"hosts/{record['id']}/", expect=200, json=ratio)
        assert changed["capacity"]["vcpus"] == ROOM
    yield enrolled
    for record in enrolled:
        cloud.call("PATCH", f"hosts/{record['id']}/", expect=200, json={"vcpu_ratio": 8.0})


def claimed(cloud: Cloud, record: dict[str, Any]) -> int:
    """vCPUs that are claimed on a host."""
    return int(cloud.get(f"hosts/{record['id']}/")["claimed"]["vcpus"])


def test_parallel_creates_never_overcommit(cloud: Cloud, nearly_full: list[dict[str, Any]]) -> None:
    def ask(number: int) -> Any:
        return cloud.http.post("vms/", json={"name": f"crowd-{number}", **SMALL})

    answers = in_parallel(ask, range(CREATES))
    assert {answer.status_code for answer in answers} <= {202, 422}, [answer.text for answer in answers]
    for answer in answers:
        if answer.status_code == 422:
            assert answer.json()["code"] == "placement.no_host_fits"
    ended = [cloud.finished(answer.json()["operation"]) for answer in answers if answer.status_code == 202]
    outcomes = Counter(operation["status"] for operation in ended)
    assert outcomes["succeeded"] == ROOM * len(nearly_full), outcomes
    for operation in ended:
        if operation["status"] == "failed":
            assert operation["error"]["code"] == "placement.no_host_fits"
            assert operation["error"]["retryable"] is True
    assert [claimed(cloud, record) for record in nearly_full] == [ROOM] * len(nearly_full)
    refusal = cloud.call("POST", "vms/", expect=422, json={"name": "one-more", **SMALL})
    assert refusal["code"] == "placement.no_host_fits"

    waiting = next(operation for operation in ended if operation["status"] == "failed")
    cloud.delete(next(vm for vm in cloud.results("vms/?limit=200") if vm["status"] == "running"))
    retried = cloud.call("POST", f"operations/{waiting['id']}/retry/", expect=202)
    cloud.succeeded(retried)
    assert [claimed(cloud, record) for record in nearly_full] == [ROOM] * len(nearly_full)


def test_twenty_vms_while_a_host_goes_down(
    cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]
) -> None:
    asked = [cloud.ask(f"many-{number}", memory_mib=64) for number in range(MANY)]
    down = lab_hosts[1]
    wait_for(
        lambda: claimed(cloud, enrolled[1]) >= MANY // 2 - 2,
        seconds=120,
        what="the second host to have its share",
        every=0.2,
    )
    down.power_off()
    wait_for(
        lambda: cloud.get(f"hosts/{enrolled[1]['id']}/")["status"] == "unreachable",
        seconds=90,
        what="the host to be known as down",
        every=0.2,
    )
    down.start()
    wait_up(cloud, enrolled)
    for _, operation in asked:
        cloud.succeeded(operation, seconds=240)
    for vm, _ in asked:
        cloud.wait_status(vm, "running", seconds=120)
    hosts = Counter(cloud.vm(vm["id"])["host"] for vm, _ in asked)
    assert set(hosts) == {record["name"] for record in enrolled}
