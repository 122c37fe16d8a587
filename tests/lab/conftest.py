"""A lab of these tests' own, whose hosts are as they were made, whatever other tests did to theirs."""

import secrets
from collections.abc import Iterator, Sequence

import pytest

from lab import Host
from lab.laboratory import Lab
from lab.pytest_plugin import need_root

HOSTS = 2


@pytest.fixture(scope="package")
def laboratory() -> Iterator[Lab]:
    need_root()
    with Lab(prefix=f"t{secrets.token_hex(3)}", hosts=HOSTS) as lab:
        yield lab


@pytest.fixture(scope="package")
def lab_hosts(laboratory: Lab) -> Sequence[Host]:
    return laboratory.hosts


@pytest.fixture
def host(lab_hosts: Sequence[Host]) -> Iterator[Host]:
    """The first host; afterwards it is on, connected and its libvirtd runs."""
    chosen = lab_hosts[0]
    yield chosen
    chosen.restore_network()
    if not chosen.running():
        chosen.start()
    chosen.ensure_libvirtd()
