"""A decision as it is kept: what it saw, as compressed columns, not a row per host.

The decision is a pure function, so the reasons need not be stored: they are worked out again from what was seen. Hosts
are known by the names that they had.
"""

import hashlib
import json
import zlib
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from apps.placement.engine.decide import Decision, decide
from apps.placement.engine.snapshot import HostView, Request, Room
from apps.placement.policy.language import policy_read

ENGINE = 1
ROOMS = ("vcpus", "memory", "disk")
PLAIN = tuple(field.name for field in fields(HostView) if field.name not in (*ROOMS, "id"))
ROOM = tuple(field.name for field in fields(Room))


@dataclass(frozen=True, kw_only=True)
class Record:
    """The bytes to keep, and the hash of what was seen: equal for equal snapshots."""

    content: bytes
    snapshot_hash: str


def pack(decision: Decision) -> Record:
    """What is needed to make the decision again."""
    hosts = decision.snapshot.hosts
    seen: dict[str, list[Any]] = {name: [getattr(host, name) for host in hosts] for name in PLAIN}
    for name in ROOMS:
        for part in ROOM:
            seen[f"{name}.{part}"] = [getattr(getattr(host, name), part) for host in hosts]
    seen["age_s"] = [None if host.age_s is None else round(host.age_s) for host in hosts]
    wanted = next((host.name for host in hosts if host.id == decision.request.host_id), decision.request.host_id)
    columns = json.dumps(seen, separators=(",", ":"), sort_keys=True)
    head = {
        "engine": ENGINE,
        "policy": decision.policy.text,
        "request": asdict(replace(decision.request, host_id=wanted)),
    }
    content = json.dumps(head, separators=(",", ":")) + "\n" + columns
    digest = hashlib.sha256(columns.encode()).hexdigest()
    return Record(content=zlib.compress(content.encode(), 6), snapshot_hash=digest)


def unpack(content: bytes) -> Decision:
    """The decision, made again."""
    first, _, rest = zlib.decompress(content).decode().partition("\n")
    head, seen = json.loads(first), json.loads(rest)
    hosts = [_host(seen, number) for number in range(len(seen["name"]))]
    return decide(hosts=hosts, request=Request(**head["request"]), policy=policy_read(head["policy"]))


def _host(seen: dict[str, list[Any]], number: int) -> HostView:
    values: dict[str, Any] = {name: seen[name][number] for name in PLAIN}
    for name in ("architectures", "uefi"):
        values[name] = tuple(values[name])
    values |= {name: Room(**{part: seen[f"{name}.{part}"][number] for part in ROOM}) for name in ROOMS}
    return HostView(id=values["name"], **values)
