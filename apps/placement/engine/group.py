"""Machines that want to be together or apart, as a decision sees them."""

from dataclasses import dataclass

AFFINITY, ANTI_AFFINITY = "affinity", "anti-affinity"
SOFT_AFFINITY, SOFT_ANTI_AFFINITY = "soft-affinity", "soft-anti-affinity"
MOST_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Member:
    """One of a group that has its place: its name, and the host's id and name."""

    name: str
    host_id: str
    host: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group that the machine joins, with those that have their place already."""

    id: str
    name: str
    rule: str
    members: tuple[Member, ...] = ()

    @property
    def host_ids(self) -> frozenset[str]:
        return frozenset(member.host_id for member in self.members)

    @property
    def hosts(self) -> str:
        """Where it is, in words."""
        return _some(sorted({member.host for member in self.members}))

    def on(self, host_id: str) -> str:
        """Who of it is on this host, in words."""
        return _some(sorted(member.name for member in self.members if member.host_id == host_id))


def _some(names: list[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
