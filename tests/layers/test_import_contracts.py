"""The import contracts hold, and each of them has been seen to break."""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from bootstrap.commands import run
from bootstrap.settings import CODE_DIR

PROJECT = tomllib.loads((CODE_DIR / "pyproject.toml").read_text())
ROOTS = PROJECT["tool"]["importlinter"]["root_packages"]

VIOLATIONS = [
    ("Workers and consoles stand above the project", "apps/events/services.py", "import cloudsite.celery"),
    ("Workers and consoles stand above the project", "workers/watch.py", "import console.gateway"),
    ("Apps are layered", "apps/hosts/services.py", "import apps.compute.models"),
    ("Inside an app", "apps/hosts/models.py", "import apps.hosts.services"),
    ("Inside an app", "apps/compute/selectors/vm.py", "import apps.compute.views.vm"),
    ("libvirt is imported by its driver only", "lab/__init__.py", "import libvirt"),
    ("Apps and project cannot reach a host", "apps/compute/services/vm.py", "import hypervisor.interface"),
    ("Apps and project cannot reach a host", "apps/hosts/services.py", "import paramiko"),
    ("Apps and project cannot reach a host", "cloudsite/views.py", "import workers.tasks"),
    ("Apps and project cannot reach a host", "cloudsite/consoles.py", "import console.gateway"),
    ("Policies and decisions know", "apps/placement/engine/__init__.py", "import django.db"),
    ("Policies and decisions know", "apps/placement/policy/__init__.py", "import apps.hosts.models"),
    ("The hypervisor package knows nothing of ours", "hypervisor/interface.py", "import apps.errors"),
    ("What handles hostile image files knows nothing of ours", "imagefile/job.py", "import apps.errors"),
    ("Agents know nothing of ours", "agents/host/cloudsite_agent/agent.py", "import apps.errors"),
    ("Agents know nothing of ours", "agents/host/cloudsite_agent/push.py", "import yaml"),
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The code without anything else, to be broken."""
    target = tmp_path / "code"
    target.mkdir()
    shutil.copy(CODE_DIR / "pyproject.toml", target)
    for name in ROOTS:
        shutil.copytree(CODE_DIR / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "migrations"))
    return target


def lint(tree: Path) -> tuple[int, str]:
    program = Path(sys.executable).with_name("lint-imports")
    result = run([str(program), "--no-cache"], timeout=120, cwd=tree, check=False)
    return result.returncode, result.stdout


def broken(output: str) -> list[str]:
    return [line.removesuffix(" BROKEN") for line in output.splitlines() if line.endswith(" BROKEN")]


def test_all_contracts_are_kept(tree: Path) -> None:
    status, output = lint(tree)
    assert (status, broken(output)) == (0, []), output


@pytest.mark.parametrize(("contract", "file", "line"), VIOLATIONS)
def test_a_violation_is_seen(tree: Path, contract: str, file: str, line: str) -> None:
    path = tree / file
    path.write_text(path.read_text() + f"\n{line}\n")
    status, output = lint(tree)
    assert status != 0
    assert any(name.startswith(contract) for name in broken(output)), output


def test_every_contract_has_a_violation_here() -> None:
    names = [contract["name"] for contract in PROJECT["tool"]["importlinter"]["contracts"]]
    seen = {name for name in names for wanted, _, _ in VIOLATIONS if name.startswith(wanted)}
    assert seen == set(names)
