"""The unit of the agent: judged by systemd itself, and in step with the agent."""

from pathlib import Path

import pytest

from bootstrap import service
from bootstrap.errors import BootstrapError
from bootstrap.settings import CODE_DIR

UNIT = CODE_DIR / "deploy" / "systemd" / "cloudsite-agent.service"


def test_systemd_accepts_it() -> None:
    service.verify([UNIT])


@pytest.mark.parametrize(
    ("protection", "replacement"),
    [
        ("NoNewPrivileges=yes", "NoNewPrivilege=yes"),
        ("ExecStart=/usr/bin/python3", "ExecStart=/usr/bin/no-python3"),
        ("CapabilityBoundingSet=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH\n", ""),
    ],
)
def test_a_worse_one_is_refused(tmp_path: Path, protection: str, replacement: str) -> None:
    text = UNIT.read_text()
    assert protection in text
    text = text.replace(protection, replacement)
    if not replacement:
        text = text.replace("DynamicUser=yes\n", "").replace("PrivateDevices=yes\n", "").replace("~@privileged", "~")
    (tmp_path / UNIT.name).write_text(text)
    with pytest.raises(BootstrapError):
        service.verify([tmp_path / UNIT.name])


def test_it_starts_what_is_there() -> None:
    """The command of the unit is the package of the repository, in another place."""
    lines = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line)
    assert lines["ExecStart"].split()[1:3] == ["-m", "cloudsite_agent"]
    assert (CODE_DIR / "agents" / "host" / "cloudsite_agent" / "__main__.py").exists()
    assert lines["ReadOnlyPaths"] == "/proc /sys"
