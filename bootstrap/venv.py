"""Virtual environments from hash-locked lists, made again only when the list changes."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

from bootstrap.commands import CommandFailed, environment_without_python, run
from bootstrap.console import step
from bootstrap.errors import BootstrapError

PYTHON = Path("/usr/bin/python3")
"""Debian's own: one that lives in somebody's home cannot be read by the service user."""
STAMP = "cloudsite.stamp"
PIP_SECONDS = 1500.0


def wanted_stamp(requirements: Path) -> str:
    """What the environment depends on: the locked list and the interpreter."""
    version = run([str(PYTHON), "-V"], timeout=20).stdout.strip()
    return f"{version} {hashlib.sha256(requirements.read_bytes()).hexdigest()}\n"


def is_current(directory: Path, requirements: Path) -> bool:
    stamp = directory / STAMP
    return stamp.exists() and stamp.read_text() == wanted_stamp(requirements)


def ensure(directory: Path, requirements: Path) -> Path:
    """Make the environment if its list changed, and return its Python.

    The stamp is written last, so an interrupted installation is done again.

    :raises BootstrapError: with pip's last lines.
    """
    python = directory / "bin" / "python"
    if is_current(directory, requirements):
        return python
    with step(f"Python packages from {requirements.name}") as detail:
        shutil.rmtree(directory, ignore_errors=True)
        directory.parent.mkdir(parents=True, exist_ok=True)
        run([str(PYTHON), "-m", "venv", str(directory)], timeout=180, env=_environment())
        command = [
            str(python),
            "-m",
            "pip",
            "install",
            "--no-input",
            "--require-hashes",
            "--progress-bar=off",
        ]
        count = [0]

        def progress(line: str) -> None:
            match = re.match(r"\s*(Collecting|Building wheel for|Installing collected) ([\w.-]+)", line)
            if match:
                count[0] += 1
                detail(f"{count[0]} packages, {match[1].lower()} {match[2]}")

        try:
            run([*command, "-r", str(requirements)], timeout=PIP_SECONDS, env=_environment(), on_line=progress)
        except CommandFailed as error:
            raise BootstrapError(f"The Python packages could not be installed.\n{error}") from error
        (directory / STAMP).write_text(wanted_stamp(requirements))
    return python


def _environment() -> dict[str, str]:
    """pip finds its index and certificates in the machine's environment, so that is kept."""
    return environment_without_python(dict(os.environ)) | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
