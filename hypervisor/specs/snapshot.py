"""Snapshots of a guest: what we ask for, and what was seen."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hypervisor import names
from hypervisor.specs.domain import Power


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSpec:
    """A snapshot inside the guest's own disk files. With `memory` the guest has to be up, without it off."""

    name: str
    memory: bool

    def __post_init__(self) -> None:
        names.object_name(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotState:
    """One snapshot as its host knows it; a name that we did not give may be any text.

    `complete` is false while the host still writes it. `external` ones lie in files of their own and are somebody
    else's. `power`, `vcpus`, `memory_mib`, `disk_paths` and `macs` are the guest's as it was then.
    """

    name: str
    parent: str | None
    current: bool
    complete: bool
    external: bool
    memory: bool
    power: Power
    taken_at: datetime | None
    vcpus: int
    memory_mib: int
    max_vcpus: int
    max_memory_mib: int
    disk_paths: tuple[str, ...]
    macs: tuple[str, ...]


def snapshot_name(snapshot_id: UUID) -> str:
    """What a host calls the snapshot with this id: a repeated call finds its own, and no text of a person is in it."""
    return f"cs-{snapshot_id}"
