"""An agent that answers, on the fake; a real one is in the guest of ``tests/e2e/test_image_ssh.py``."""

from pathlib import Path

import pytest

from hypervisor.fake import FakeHost, FakeHypervisor
from tests.hypervisor.bed import Bed


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path, "fake-1")


@pytest.mark.parametrize("may", [True, False], ids=["guest-exec", "no guest-exec"])
def test_a_password_is_set_and_expires_where_it_can(host: FakeHost, may: bool) -> None:
    host.configure(guest_exec=may)
    driver = FakeHypervisor(host, "1a2b3c4d")
    uuid = Bed(hypervisor=driver, another=lambda _: driver, installation="1a2b3c4d").running().uuid
    assert driver.expire_password(uuid, "debian") is False
    driver.set_password(uuid, "debian", "secret")
    assert driver.expire_password(uuid, "root") is False
    assert driver.expire_password(uuid, "debian") is may
    assert host.password_in(uuid) == {"user": "debian", "password": "secret", "expired": may}
