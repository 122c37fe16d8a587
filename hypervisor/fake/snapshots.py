"""Snapshots of a fake host: the domain's body and its disks' sizes as they were.

`snapshot_looks` says how often somebody has to look before the host has finished one: a guest with much memory.
"""

from datetime import UTC, datetime
from uuid import UUID

from hypervisor.errors import NotFound, Unsupported
from hypervisor.fake.domains import UP, ours_if_any
from hypervisor.fake.host import set_power
from hypervisor.fake.store import Body, State
from hypervisor.specs import EventKind, Power, SnapshotSpec, SnapshotState

_KEPT = ("name", "installation")


def _key(uuid: UUID, name: str) -> str:
    return f"{uuid}/{name}"


def _of(state: State, uuid: UUID) -> dict[str, Body]:
    every = state.all("snapshot").values()
    return {body["name"]: body for body in every if body["domain_uuid"] == str(uuid)}


def states(state: State, uuid: UUID) -> list[SnapshotState] | None:
    """Looking lets the time pass that the host needs."""
    if state.get("domain", str(uuid)) is None:
        return None
    _pass_time(state, uuid)
    return [_state(body) for body in _of(state, uuid).values()]


def _state(body: Body) -> SnapshotState:
    domain = body["domain"]
    return SnapshotState(
        name=body["name"],
        parent=body["parent"],
        current=body["current"],
        complete=body["looks"] == 0,
        external=body["external"],
        memory=body["memory"],
        power=Power(domain["power"]),
        taken_at=datetime.fromisoformat(body["taken_at"]),
        vcpus=domain["vcpus"],
        memory_mib=domain["memory_mib"],
        max_vcpus=domain.get("max_vcpus", domain["vcpus"]),
        max_memory_mib=domain.get("max_memory_mib", domain["memory_mib"]),
        disk_paths=tuple(domain["disk_paths"]),
        macs=tuple(domain["macs"]),
    )


def create(state: State, installation: str, uuid: UUID, spec: SnapshotSpec) -> bool:
    domain = _ours(state, installation, uuid)
    known = _of(state, uuid).get(spec.name)
    if known is not None:
        return int(known["looks"]) == 0
    if spec.memory != (domain["power"] in UP):
        raise Unsupported("internal snapshot of a running VM must include the memory state, one that is off none")
    return record(state, uuid, spec.name, memory=spec.memory, looks=_looks(state))


def record(state: State, uuid: UUID, name: str, *, memory: bool, looks: int = 0, external: bool = False) -> bool:
    """Enter a snapshot of a domain as it is now, below the one that is current."""
    domain = state.get("domain", str(uuid)) or {}
    current = next((body["name"] for body in _of(state, uuid).values() if body["current"]), None)
    sizes = {key: (state.get("volume", key) or {}).get("capacity") for key in domain.get("volumes", [])}
    body: Body = {"name": name, "domain_uuid": str(uuid), "parent": current, "current": False, "domain": domain}
    body |= {"memory": memory, "external": external, "looks": looks, "sizes": sizes}
    body |= {"taken_at": datetime.now(UTC).isoformat()}
    state.put("snapshot", _key(uuid, name), body)
    if looks == 0:
        _make_current(state, uuid, name)
    return looks == 0


def revert(state: State, installation: str, uuid: UUID, name: str) -> bool:
    _ours(state, installation, uuid)
    if name not in _of(state, uuid):
        raise NotFound(f"no snapshot {name}")
    looks = _looks(state)
    if looks == 0:
        _revert(state, uuid, name)
        return True
    set_power(state, uuid, Power.PAUSED, "starting-up", EventKind.SUSPENDED, "paused")
    domain = state.get("domain", str(uuid)) or {}
    state.put("domain", str(uuid), domain | {"reverting": {"name": name, "looks": looks}})
    return False


def remove(state: State, installation: str, uuid: UUID, name: str) -> bool:
    """What lies below it moves up."""
    if ours_if_any(state, installation, uuid) is None:
        return True
    known = _of(state, uuid)
    gone = known.get(name)
    if gone is None:
        return True
    if gone["looks"] > 0:
        return False
    for body in known.values():
        if body["parent"] == name:
            state.put("snapshot", _key(uuid, body["name"]), body | {"parent": gone["parent"]})
    state.remove("snapshot", _key(uuid, name))
    if gone["current"] and gone["parent"] is not None:
        _make_current(state, uuid, gone["parent"])
    return True


def forget(state: State, uuid: UUID) -> None:
    """The domain is undefined, and its snapshots with it."""
    for name in _of(state, uuid):
        state.remove("snapshot", _key(uuid, name))


def _ours(state: State, installation: str, uuid: UUID) -> Body:
    domain = ours_if_any(state, installation, uuid)
    if domain is None:
        raise NotFound(f"no domain {uuid}")
    return domain


def _looks(state: State) -> int:
    return int((state.get("host", "facts") or {})["snapshot_looks"])


def _make_current(state: State, uuid: UUID, name: str) -> None:
    for other in _of(state, uuid).values():
        if other["current"] != (other["name"] == name):
            state.put("snapshot", _key(uuid, other["name"]), other | {"current": other["name"] == name})


def _pass_time(state: State, uuid: UUID) -> None:
    for body in _of(state, uuid).values():
        if body["looks"] > 0:
            state.put("snapshot", _key(uuid, body["name"]), body | {"looks": body["looks"] - 1})
            if body["looks"] == 1:
                _make_current(state, uuid, body["name"])
    domain = state.get("domain", str(uuid)) or {}
    if pending := domain.get("reverting"):
        if pending["looks"] > 1:
            pending["looks"] -= 1
            state.put("domain", str(uuid), domain)
        else:
            _revert(state, uuid, pending["name"])


def _revert(state: State, uuid: UUID, name: str) -> None:
    body, domain = _of(state, uuid)[name], state.get("domain", str(uuid)) or {}
    then = body["domain"]
    state.put("domain", str(uuid), then | {key: domain[key] for key in _KEPT})
    for key, capacity in body["sizes"].items():
        if (volume := state.get("volume", key)) is not None and capacity is not None:
            state.put("volume", key, volume | {"capacity": capacity})
    _make_current(state, uuid, name)
    power = Power(then["power"])
    kind = {Power.RUNNING: EventKind.STARTED, Power.PAUSED: EventKind.SUSPENDED}.get(power, EventKind.STOPPED)
    set_power(state, uuid, power, "from-snapshot", kind, "from-snapshot")
