"""Directory pools and the volumes in them."""

from dataclasses import dataclass
from typing import Literal

from hypervisor import names

VolumeFormat = Literal["qcow2", "raw", "iso"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpec:
    """A directory pool. Below /var/lib/libvirt/images, AppArmor and directory modes let a guest reach its
    disk.
    """

    name: str
    path: str

    def __post_init__(self) -> None:
        names.object_name(self.name)
        if not self.path.startswith("/") or ".." in self.path.split("/") or not self.path.isprintable():
            raise ValueError(f"not an absolute path: {self.path!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolInfo:
    name: str
    path: str
    capacity_bytes: int
    available_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backing:
    """The volume of the same pool an overlay reads through. The format is stated, so that nobody ever has to
    guess it.
    """

    volume: str
    format: VolumeFormat

    def __post_init__(self) -> None:
        names.volume_name(self.volume)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSpec:
    pool: str
    name: str
    capacity_bytes: int
    format: VolumeFormat
    backing: Backing | None = None

    def __post_init__(self) -> None:
        names.object_name(self.pool)
        names.volume_name(self.name)
        if self.capacity_bytes <= 0:
            raise ValueError("a volume has a size")
        if self.backing is not None and self.format != "qcow2":
            raise ValueError("only a qcow2 volume has a backing volume")


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyProgress:
    """How far a copy has come. `done` is told once."""

    copied_bytes: int
    total_bytes: int
    done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeInfo:
    """`capacity_bytes` is what a guest sees, `allocated_bytes` what the host has spent."""

    pool: str
    name: str
    path: str
    capacity_bytes: int
    allocated_bytes: int
