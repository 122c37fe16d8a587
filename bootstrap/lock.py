"""The hash-locked requirement lists: written from one lock, and known to be unchanged."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from bootstrap.commands import run
from bootstrap.console import say, step
from bootstrap.settings import CODE_DIR

LOCK_SECONDS = 600.0
LISTS: Mapping[str, Sequence[str]] = {"base.txt": ("--no-dev",), "dev.txt": ()}
EXPORT = (
    "export",
    "--frozen",
    "--offline",
    "--no-header",
    "--no-emit-project",
    "--format",
    "requirements-txt",
)


def exported(uv: Path, options: Sequence[str]) -> str:
    """What the lock says, as pip reads it: every file by its hash, no address of an index."""
    return run([str(uv), *EXPORT, "--quiet", *options], timeout=LOCK_SECONDS, cwd=CODE_DIR).stdout


def write(uv: Path, arguments: Sequence[str]) -> int:
    """``make lock``: resolve (``ARGS="--upgrade"`` for newer versions) and write both lists."""
    with step("Resolving") as detail:
        command = [str(uv), "lock", "--python", "/usr/bin/python3", *arguments]
        run(command, timeout=LOCK_SECONDS, cwd=CODE_DIR, on_line=detail)
    for name, options in LISTS.items():
        path = CODE_DIR / "requirements" / name
        path.write_text(exported(uv, options))
        say(f"wrote {path.relative_to(CODE_DIR)}")
    return 0


def stale(uv: Path) -> list[str]:
    """One sentence per list that is not what the lock says, and per dependency the lock does not know."""
    found = [
        f"requirements/{name} is not what uv.lock says; `make lock` writes it."
        for name, options in LISTS.items()
        if (CODE_DIR / "requirements" / name).read_text() != exported(uv, options)
    ]
    return found + [f"{name} is in pyproject.toml and not in uv.lock; `make lock`." for name in unlocked()]


def unlocked() -> list[str]:
    """Dependencies of the project that the lock was made without."""
    project = tomllib.loads((CODE_DIR / "pyproject.toml").read_text())
    lock = tomllib.loads((CODE_DIR / "uv.lock").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {_bare(requirement) for requirement in wanted}
    ours = next(entry for entry in lock["package"] if entry["name"] == project["project"]["name"])
    metadata = ours["metadata"]
    known = {entry["name"] for entry in [*metadata["requires-dist"], *metadata["requires-dev"]["dev"]]}
    return sorted(names - known)


def _bare(requirement: str) -> str:
    """The name at the start of a requirement, as the lock spells it."""
    end = next((at for at, char in enumerate(requirement) if not (char.isalnum() or char in "-_.")), None)
    return requirement[:end].lower().replace("_", "-").replace(".", "-")
