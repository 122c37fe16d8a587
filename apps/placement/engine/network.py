"""A network that the machine shall be in: each is on one host."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Reach:
    """A network, and the host that it is on: its id and name."""

    name: str
    host_id: str
    host: str
