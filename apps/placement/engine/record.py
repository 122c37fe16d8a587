"""A decision as it is kept: what it saw, as compressed columns, not a row per host.

The decision is a pure function, so the reasons need not be stored: they are worked out again from what was seen. Hosts
are known by the names that they had.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from apps.placement.engine.decide import Decision, decide
from apps.placement.engine.group import Group, Member
from apps.placement.engine.network import Reach
from apps.placement.engine.snapshot import HostView, Request, Room
from apps.placement.policy.language import policy_read
from apps.placement.policy.tree import PolicyError

ENGINE = 1
ROOMS = ("vcpus", "memory", "disk")
PLAIN = tuple(part.name for part in fields(HostView) if part.name not in (*ROOMS, "id"))
ROOM = tuple(part.name for part in fields(Room))
LATER: dict[str, Any] = {"cpu_features": None, "pull_interval_s": 10}
"""What older records do not have, and what stands for it."""


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
    request = decision.request
    wanted = next((host.name for host in hosts if host.id == request.host_id), request.host_id)
    network = request.network and replace(request.network, host_id=request.network.host)
    columns = json.dumps(seen, separators=(",", ":"), sort_keys=True)
    head = {
        "engine": ENGINE,
        "policy": decision.policy.text,
        "request": asdict(replace(request, host_id=wanted, network=network, group=_by_names(request.group))),
    }
    content = json.dumps(head, separators=(",", ":")) + "\n" + columns
    digest = hashlib.sha256(columns.encode()).hexdigest()
    return Record(content=zlib.compress(content.encode(), 6), snapshot_hash=digest)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What can be read of a record. ``decision`` is None where it cannot be made again; ``problem`` says why."""

    policy: str = ""
    request: Mapping[str, Any] = field(default_factory=dict)
    decision: Decision | None = None
    problem: str = ""


def kept(content: bytes) -> Kept:
    """The decision, made again, or what is left of it: what was kept is older than the code that reads it."""
    if not content:
        return Kept(problem="What this decision saw is not kept any more, or was not kept yet.")
    try:
        first, _, rest = zlib.decompress(content).decode().partition("\n")
        head, seen = json.loads(first), json.loads(rest)
        found = Kept(policy=head["policy"], request=head["request"])
    except (zlib.error, ValueError, KeyError):
        return Kept(problem="What this decision saw is damaged and cannot be read.")
    try:
        return replace(found, decision=_again(head, seen))
    except PolicyError as error:
        return replace(found, problem=f"Its policy is refused by now, so its reasons cannot be worked out: {error}")
    except (KeyError, TypeError, ValueError, IndexError):
        return replace(found, problem="Another version of Cloudsite kept this; its reasons cannot be worked out.")


def _again(head: dict[str, Any], seen: dict[str, list[Any]]) -> Decision:
    hosts = [_host(seen, number) for number in range(len(seen["name"]))]
    return decide(hosts=hosts, request=_request(head["request"]), policy=policy_read(head["policy"]))


def _request(seen: dict[str, Any]) -> Request:
    network, features = seen.get("network"), tuple(seen.get("cpu_features", ()))
    reach = Reach(**network) if network else None
    return Request(**{**seen, "group": _group(seen.get("group")), "network": reach, "cpu_features": features})


def _by_names(group: Group | None) -> Group | None:
    return group and replace(group, members=tuple(replace(item, host_id=item.host) for item in group.members))


def _group(seen: dict[str, Any] | None) -> Group | None:
    """None: it was in no group, or the decision is from before there were any."""
    return Group(**{**seen, "members": tuple(Member(**item) for item in seen["members"])}) if seen else None


def _host(seen: dict[str, list[Any]], number: int) -> HostView:
    given = {name: seen[name][number] for name in PLAIN if name in seen or name not in LATER}
    values: dict[str, Any] = {**LATER, **given}
    for name in ("architectures", "uefi", "cpu_features"):
        values[name] = None if values[name] is None else tuple(values[name])
    values |= {name: Room(**{part: seen[f"{name}.{part}"][number] for part in ROOM}) for name in ROOMS}
    return HostView(id=values["name"], **values)
