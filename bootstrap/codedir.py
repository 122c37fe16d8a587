"""Where the processes run from: the checkout itself, or a copy where the service user cannot read it."""

from __future__ import annotations

import filecmp
import os
import shutil
from pathlib import Path

from bootstrap.accounts import Identity
from bootstrap.commands import is_root, run
from bootstrap.console import step
from bootstrap.settings import CODE_DIR

LEFT_OUT = {
    ".git",
    ".venv",
    ".state",
    "node_modules",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
}
PARTS_NEEDED = (
    "manage.py",
    "agents",
    "bootstrap",
    "cloudsite",
    "console",
    "apps",
    "workers",
    "hypervisor",
    "static",
    "templates",
)


def ensure(copy: Path, identity: Identity) -> Path:
    """The directory to run from; a copy is brought up to date by size and time of change."""
    if not is_root() or readable(identity):
        return CODE_DIR
    with step(f"Copying the code to {copy}, because {identity.name} cannot read {CODE_DIR}"):
        synchronise(CODE_DIR, copy)
    return copy


def readable(identity: Identity) -> bool:
    """Whether the user can read everything that runs: the way to it as well as each file."""
    parts = [str(CODE_DIR / part) for part in PARTS_NEEDED if (CODE_DIR / part).exists()]
    command = [
        "find",
        *parts,
        "(",
        "!",
        "-readable",
        "-o",
        "-type",
        "d",
        "!",
        "-executable",
        ")",
        "-print",
        "-quit",
    ]
    result = run(command, timeout=60, check=False, identity=identity, cwd=Path("/"))
    return result.returncode == 0 and not result.stdout.strip()


def synchronise(source: Path, target: Path) -> None:
    """Make the target the same tree as the source, readable by everybody; what is equal stays untouched."""
    target.mkdir(parents=True, exist_ok=True)
    wanted = {entry.name: entry for entry in source.iterdir() if entry.name not in LEFT_OUT}
    for stale in [entry for entry in target.iterdir() if entry.name not in wanted]:
        _remove(stale)
    for name, entry in wanted.items():
        destination = target / name
        if entry.is_symlink():
            _remove(destination)
            destination.symlink_to(entry.readlink())
        elif entry.is_dir():
            if not destination.is_dir():
                _remove(destination)
            synchronise(entry, destination)
        elif not (destination.is_file() and filecmp.cmp(entry, destination, shallow=True)):
            _remove(destination)
            shutil.copy2(entry, destination)
        if not destination.is_symlink():
            destination.chmod(0o755 if entry.is_dir() or os.access(entry, os.X_OK) else 0o644)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
