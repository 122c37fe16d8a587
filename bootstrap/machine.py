"""What was changed on the machine beyond the state directories, kept so that it can be taken back.

The record is one per machine, not one per installation: two installations share the packages and the user,
and the last one that goes takes them along.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bootstrap.commands import as_root, run

RECORD = Path(os.environ.get("CLOUDSITE_MACHINE_RECORD", "/var/lib/cloudsite-machine/changes.json"))
"""Another place is for tests, which must not take the packages of the machine they run on."""


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Everything root did for us outside the state directories."""

    packages: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    memberships: tuple[tuple[str, str], ...] = ()
    """Pairs of user and group."""
    units: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    """Device nodes that were root's alone and were given to a group."""
    installations: tuple[str, ...] = ()
    """State directories that use the above."""


def read(record: Path = RECORD) -> Changes:
    """The record, or an empty one where nothing was changed."""
    try:
        values = json.loads(record.read_text())
    except FileNotFoundError:
        return Changes()
    memberships = tuple((str(user), str(group)) for user, group in values.pop("memberships", ()))
    return Changes(memberships=memberships, **{key: tuple(value) for key, value in values.items()})


def write(changes: Changes, record: Path = RECORD) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as source:
        json.dump(asdict(changes), source, indent=2)
        source.flush()
        run(as_root(["install", "-D", "-m", "644", source.name, str(record)]), timeout=20)


def add(
    *,
    packages: Sequence[str] = (),
    users: Sequence[str] = (),
    memberships: Sequence[tuple[str, str]] = (),
    units: Sequence[str] = (),
    devices: Sequence[str] = (),
    installations: Sequence[str] = (),
) -> None:
    """Add to the record what was just done."""
    before = read()
    after = replace(
        before,
        packages=_union(before.packages, packages),
        users=_union(before.users, users),
        memberships=tuple(sorted({*before.memberships, *memberships})),
        units=_union(before.units, units),
        devices=_union(before.devices, devices),
        installations=_union(before.installations, installations),
    )
    if after != before:
        write(after)


def _union(before: Sequence[str], added: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({*before, *added}))
