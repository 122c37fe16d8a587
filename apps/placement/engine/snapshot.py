"""The hosts as a decision sees them: one NumPy column per number, in the order of their names."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from apps.placement.engine.group import Group
from apps.placement.engine.network import Reach

Bools: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]
Label: TypeAlias = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class Room:
    """One resource of a host. ``limit`` is what may be claimed: its ``size`` times its own ratio."""

    size: int
    limit: int
    claimed: int


@dataclass(frozen=True, kw_only=True)
class HostView:
    """One host. Memory is MiB, disk GiB; the size of memory is what guests can have of it.

    ``cpu_features`` are those that guests have, of what somebody asks for; None: not known.
    """

    id: str
    name: str
    up: bool
    enabled: bool
    reason: str
    architectures: tuple[str, ...]
    vcpus: Room
    memory: Room
    disk: Room
    uefi: tuple[str, ...] = ()
    native: str = "x86_64"
    accelerator: str = "tcg"
    proven: bool = False
    vms: int = 0
    age_s: float | None = 0.0
    image_cached: bool = False
    labels: Mapping[str, Label] = field(default_factory=dict)
    cpu_features: tuple[str, ...] | None = None
    pull_interval_s: int = 10

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be placed. ``memory_mib`` includes the overhead; ``host_id`` is a person's choice."""

    vcpus: int
    memory_mib: int
    disk_gib: int
    architecture: str = "x86_64"
    firmware: str = "bios"
    host_id: str | None = None
    group: Group | None = None
    network: Reach | None = None
    cpu_features: tuple[str, ...] = ()


def nothing_is_nothing(whole: Floats) -> Floats:
    """To divide by: a share of nothing is nothing."""
    return np.where(whole > 0, whole, np.inf)


@dataclass(frozen=True, kw_only=True)
class Rooms:
    """One resource of all hosts, as columns."""

    size: Floats
    limit: Floats
    claimed: Floats
    limits: dict[float | None, Floats] = field(default_factory=dict, compare=False)
    divisors: dict[float | None, Floats] = field(default_factory=dict, compare=False)

    def limit_under(self, ratio: float | None) -> Floats:
        """What may be claimed under a policy's ratio: the host's own limit always holds as well."""
        if ratio is None:
            return self.limit
        if ratio not in self.limits:
            self.limits[ratio] = np.minimum(self.limit, np.floor(self.size * ratio))
        return self.limits[ratio]

    def divisor(self, ratio: float | None) -> Floats:
        """The limit, for shares of it."""
        if ratio not in self.divisors:
            self.divisors[ratio] = nothing_is_nothing(self.limit_under(ratio))
        return self.divisors[ratio]


class Snapshot:
    """All hosts, sorted by name: the order in which they were read changes nothing. Never written to after."""

    def __init__(self, hosts: Iterable[HostView]) -> None:
        self.hosts = tuple(sorted(hosts, key=lambda host: (host.name, host.id)))
        self._columns: dict[tuple[object, ...], Any] = {}

    def __len__(self) -> int:
        return len(self.hosts)

    def column(self, key: tuple[object, ...], make: Callable[[], Any]) -> Any:
        """A column that only depends on the snapshot and this key, made once."""
        if key not in self._columns:
            self._columns[key] = make()
        return self._columns[key]

    def numbers(self, name: str) -> Floats:
        """An attribute of every host as numbers; None is not a number."""
        found: Floats = self.column(
            ("numbers", name), lambda: np.array([getattr(host, name) for host in self.hosts], dtype=np.float64)
        )
        return found

    def truths(self, name: str, what: Callable[[HostView], bool]) -> Bools:
        """Which hosts this holds for."""
        found: Bools = self.column(
            ("truths", name), lambda: np.fromiter(map(what, self.hosts), dtype=np.bool_, count=len(self))
        )
        return found

    @cached_property
    def vcpus(self) -> Rooms:
        return self._rooms("vcpus")

    @cached_property
    def cpus_divisor(self) -> Floats:
        """Real CPUs, for what is counted by each of them."""
        return nothing_is_nothing(self.vcpus.size)

    @cached_property
    def memory(self) -> Rooms:
        return self._rooms("memory")

    @cached_property
    def disk(self) -> Rooms:
        return self._rooms("disk")

    def _rooms(self, name: str) -> Rooms:
        rooms: list[Room] = [getattr(host, name) for host in self.hosts]
        table = np.array([(room.size, room.limit, room.claimed) for room in rooms], dtype=np.float64).reshape(-1, 3)
        size, limit, claimed = (np.ascontiguousarray(table[:, number]) for number in range(3))
        return Rooms(size=size, limit=limit, claimed=claimed)
