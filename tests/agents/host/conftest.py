from pathlib import Path

import pytest

from tests.agents.host.pki import Authority
from tests.agents.host.tree import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A machine with two cores, one disk and one network interface, and no guest yet."""
    made = Tree(tmp_path)
    made.host()
    return made


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)
