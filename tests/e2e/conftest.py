"""Every test here ends in a state that all agree about, then with nothing at all."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from lab.host import Host as LabHost
from tests.cloud import Cloud, add_ssh, probed
from tests.e2e.clean import assert_clean
from tests.waiting import wait_for


@pytest.fixture(autouse=True)
def converged(cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]) -> Iterator[None]:
    """A test begins with all hosts watched. Whatever it broke is mended; then records and hosts must agree, before
    and after all VMs are deleted."""
    for record in enrolled:
        wait_for(partial(cloud.watches, record["name"]), seconds=60, what=f"the watch on {record['name']}", every=0.2)
    yield
    ours = lab_hosts[: len(enrolled)]
    mend(cloud, ours)
    wait_up(cloud, enrolled)
    assert_clean(cloud, ours)
    cloud.delete_all()
    assert_clean(cloud, ours)


@pytest.fixture
def third(cloud: Cloud, enrolled: list[dict[str, Any]], lab_hosts: Sequence[LabHost]) -> Iterator[dict[str, Any]]:
    """A third host, by qemu+ssh, that is forgotten after the test."""
    record = probed(cloud, add_ssh(cloud, lab_hosts[2]))
    yield record
    mend(cloud, lab_hosts)
    wait_up(cloud, [*enrolled, record])
    assert_clean(cloud, lab_hosts)
    cloud.delete_all()
    cloud.call("DELETE", f"hosts/{record['id']}/", expect=204)


def mend(cloud: Cloud, hosts: Sequence[LabHost]) -> None:
    """Put right whatever a test broke."""
    for host in hosts:
        host.restore_network()
        host.ensure_libvirtd()
    cloud.revive()


def wait_up(cloud: Cloud, records: Sequence[dict[str, Any]], *, seconds: float = 60) -> None:
    """Wait until these hosts are up again, by themselves."""

    def up() -> bool:
        return all(cloud.get(f"hosts/{record['id']}/")["status"] == "up" for record in records)

    wait_for(up, seconds=seconds, what="all hosts to be up", every=0.2)
