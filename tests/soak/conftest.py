"""Whole installations on this machine, one at a time, of which nothing is left."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import add_host, cloud, empty_cloud  # noqa: F401  # fixtures of the fake's tests
from tests.soak.installed import Installed


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """`make soak` alone runs these, whatever else names them."""
    return None if config.getoption("markexpr") == "soak" else True


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """Below it the service user finds its way, and the names of sockets are short enough."""
    path = Path(tempfile.mkdtemp(prefix="cs-soak-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def installed(directory: Path) -> Iterator[Installed]:
    """An installation that has not been started yet; whatever becomes of the tests, it is taken back."""
    installation = Installed(directory)
    yield installation
    installation.remove()
