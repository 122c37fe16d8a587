"""One host hangs, one is cut off, one is well: the well one does not notice, and neither does a page."""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from lab.host import Host as LabHost
from tests.cloud import Cloud
from tests.e2e.conftest import wait_up
from tests.e2e.guests import wait_booted
from tests.waiting import wait_for

pytestmark = pytest.mark.lab

ASKS = 6  # more than the worker has children
WELL_SECONDS = 20  # less than the call to the frozen host lasts
ANSWER_SECONDS = 5.0  # generous: the machine that runs the tests runs the guests too


def test_one_hangs_one_is_cut_off_one_is_well(
    cloud: Cloud, enrolled: list[dict[str, Any]], third: dict[str, Any], lab_hosts: Sequence[LabHost]
) -> None:
    frozen, cut, well = lab_hosts[0], lab_hosts[1], lab_hosts[2]
    runs_on = cloud.create("runs-on", host=cut.name)
    boot = wait_booted(cut, runs_on)
    warm = cloud.create("warm", host=frozen.name)
    frozen.freeze()
    cut.cut_network()

    waiting = [cloud.ask(f"frozen-{number}", host=frozen.name) for number in range(ASKS)]
    for name in ("well-1", "well-2"):
        assert cloud.create(name, host=well.name, seconds=WELL_SECONDS)["status"] == "running"

    for record in enrolled:
        seen = wait_for(
            lambda: (now := cloud.get(f"hosts/{record['id']}/"))["status"] == "unreachable" and now,  # noqa: B023
            seconds=90,
            what=f"{record['name']} to be known as unreachable",
            every=0.2,
        )
        assert seen["reason"]
    for vm in (runs_on, warm):
        assert cloud.vm(vm["id"])["status"] == "unknown"
    for path in ("/vms/", f"/vms/{runs_on['id']}/", "/hosts/", "/"):
        begun = time.monotonic()
        assert cloud.page(path).status_code == 200
        assert time.monotonic() - begun < ANSWER_SECONDS
    for _, operation in waiting:
        now = cloud.get(f"operations/{operation['id']}/")
        assert now["status"] in ("queued", "running"), now

    frozen.thaw()
    cut.restore_network()
    wait_up(cloud, enrolled, seconds=90)
    for vm, operation in waiting:
        assert cloud.succeeded(operation)["status"] == "succeeded"
        assert cloud.vm(vm["id"])["status"] == "running"
    cloud.wait_status(runs_on, "running")
    assert wait_booted(cut, runs_on) == boot
