"""Things die in the middle of an operation: it ends as asked, once, and nothing is left over."""

import signal
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from lab.host import Host as LabHost
from tests.cloud import Cloud
from tests.e2e.clean import look
from tests.e2e.guests import wish
from tests.waiting import wait_for

pytestmark = pytest.mark.lab


def stands_still(fault: Path) -> None:
    """Wait until a worker child came by the point of a fault."""
    wait_for(lambda: not fault.exists(), seconds=90, what=f"a worker at {fault.name}")


def ends_said(cloud: Cloud, operation: dict[str, Any]) -> int:
    """How often the success of an operation was told."""
    rows = cloud.sql(
        "SELECT count(*) FROM events_event WHERE operation_id = %s AND message LIKE '%% succeeded'", operation["id"]
    )
    return int(rows[0][0])


def test_worker_killed_between_define_and_start(
    cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]
) -> None:
    fault = cloud.stop_worker_at("vm.create.start.b")
    vm, operation = cloud.ask("killed-1", host=enrolled[0]["name"])
    stands_still(fault)
    found = look(lab_hosts[0])
    assert (found["domain"], found.get("running", [])) == ([vm["id"]], [])
    cloud.kill("worker", signal.SIGKILL)
    cloud.start_worker()
    cloud.lease_is_over(operation)
    ended = cloud.succeeded(operation)
    assert ended["attempts"] >= 2
    assert look(lab_hosts[0])["running"] == [vm["id"]]
    assert ends_said(cloud, operation) == 1


def test_libvirtd_stopped_and_started_during_a_create(
    cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]
) -> None:
    fault = cloud.stop_worker_at("vm.create.define.b")
    vm, operation = cloud.ask("stopped-1", host=enrolled[0]["name"])
    stands_still(fault)
    lab_hosts[0].stop_libvirtd()
    cloud.kill("worker", signal.SIGCONT)
    waiting = wait_for(
        lambda: (now := cloud.get(f"operations/{operation['id']}/"))["status"] == "queued" and now,
        seconds=60,
        what="the operation to wait for the host",
    )
    assert waiting["step"]
    assert cloud.vm(vm["id"])["status"] == "creating"
    lab_hosts[0].start_libvirtd()
    cloud.succeeded(operation)
    assert look(lab_hosts[0])["running"] == [vm["id"]]
    assert ends_said(cloud, operation) == 1


def test_redis_flushed_beat_dead_and_a_message_many_times(cloud: Cloud, enrolled: list[dict[str, Any]]) -> None:
    """What no bell announces is found by the worker's own sweep; what rings twenty times is done once."""
    cloud.kill("beat")
    cloud.kill("worker")
    lost, lost_operation = cloud.ask("lost-1")
    doubled, doubled_operation = cloud.ask("doubled-1")
    cloud.flush_redis()
    ring = f"from apps.operations.doorbell import ring; [ring('{doubled_operation['id']}') for _ in range(20)]"
    cloud.manage("shell", "-c", ring)
    cloud.start_worker()
    for vm, operation in ((lost, lost_operation), (doubled, doubled_operation)):
        cloud.succeeded(operation)
        assert cloud.vm(vm["id"])["status"] == "running"
        assert ends_said(cloud, operation) == 1


def test_beat_and_watch_dead_virsh_is_still_seen(
    cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]
) -> None:
    """The workers notice that beat is silent, here at once: Redis forgot its last sign of life."""
    vm = cloud.create("unwatched-1", host=enrolled[1]["name"])
    cloud.kill("watch")
    cloud.kill("beat")
    cloud.flush_redis()
    lab_hosts[1].virsh("destroy", vm["id"])
    cloud.wait_status(vm, "stopped", seconds=60)
    assert wish(cloud, vm) == "off"


def test_postgresql_restarted_during_a_create(
    cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]
) -> None:
    assert cloud.page("/vms/").status_code == 200
    fault = cloud.stop_worker_at("vm.create.define.b")
    vm, operation = cloud.ask("restarted-1", host=enrolled[1]["name"])
    stands_still(fault)
    cloud.sign_in()  # a token that ends meanwhile would be refused without a look into the database
    cloud.postgres.stop()
    cloud.kill("worker", signal.SIGCONT)
    for answer in (cloud.http.get("vms/"), cloud.http.post("vms/", json={"name": "no"})):
        assert answer.status_code == 503, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert "retry-after" in answer.headers
    page = cloud.page("/vms/")
    assert page.status_code == 503
    assert "The database does not answer" in page.text
    cloud.postgres.start()
    wait_for(lambda: cloud.http.get("vms/").status_code == 200, seconds=30, what="the API after the restart", every=0.2)
    cloud.lease_is_over(operation)
    cloud.succeeded(operation)
    assert look(lab_hosts[1])["running"] == [vm["id"]]
    assert ends_said(cloud, operation) == 1


def test_web_killed_after_the_commit_before_the_ring(cloud: Cloud, enrolled: list[dict[str, Any]]) -> None:
    """The answer was lost, so the client asks again with its key: one VM, found by the sweep."""
    cloud.kill("web")
    cloud.start_web(REDIS_URL=f"unix://{cloud.state_dir}/nobody.sock?db=0")
    body = {"name": "unrung-1", "image": "tiny", "vcpus": 1, "memory_mib": 128, "disk_gib": 1}
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    first = cloud.call("POST", "vms/", expect=202, json=body, headers=headers)
    cloud.kill("web")
    with pytest.raises(httpx.HTTPError):
        cloud.http.post("vms/", json=body, headers=headers)
    cloud.start_web()
    again = cloud.call("POST", "vms/", expect=202, json=body, headers=headers)
    assert again == first
    cloud.succeeded(first["operation"])
    assert len(cloud.results("vms/?search=unrung-1")) == 1
