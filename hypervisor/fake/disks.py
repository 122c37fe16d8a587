"""Disks of a fake host's domains: `disks` is the definition, `live_disks` what a running guest has."""

from uuid import UUID

from hypervisor.errors import Conflict, NotFound, Rejected, StaleFence
from hypervisor.fake.domains import UP, disk_body, ours_if_any
from hypervisor.fake.store import Body, State
from hypervisor.specs import DiskSpec, DiskState, DomainMetadata

_CONFIG, _LIVE = "disks", "live_disks"


def states(state: State, uuid: UUID) -> list[DiskState]:
    domain = state.get("domain", str(uuid)) or {}
    defined, live = domain.get(_CONFIG, {}), domain.get(_LIVE, {})
    found = []
    for target in sorted({*defined, *live}):
        disk = live.get(target) or defined[target]
        same = target in defined and defined[target]["path"] == disk["path"]
        told = {key: disk[key] for key in ("path", "serial", "iops", "bytes_per_second")}
        found.append(DiskState(target=target, defined=same, live=target in live, **told))
    return found


def _taken_over(state: State, us: str, uuid: UUID, metadata: DomainMetadata) -> Body | None:
    domain = ours_if_any(state, us, uuid)
    if domain is not None and int(domain["fence"]) > metadata.fence:
        raise StaleFence(f"domain {uuid} has fence {domain['fence']}, asked with {metadata.fence}")
    return None if domain is None else domain | {"fence": metadata.fence}


def _places(domain: Body) -> list[str]:
    return [_CONFIG, _LIVE] if domain["power"] in UP else [_CONFIG]


def _has(state: State, domain: Body, place: str, disk: DiskSpec) -> bool:
    held = domain.get(place, {}).get(disk.target)
    return held is not None and held["path"] == disk_body(state, disk)["path"]


def _keep(state: State, uuid: UUID, domain: Body) -> None:
    disks = domain[_CONFIG].values()
    paths, volumes = [disk["path"] for disk in disks], [disk["volume"] for disk in disks]
    state.put("domain", str(uuid), domain | {"disk_paths": paths, "volumes": volumes})


def attach(state: State, us: str, uuid: UUID, disk: DiskSpec, metadata: DomainMetadata) -> None:
    domain = _taken_over(state, us, uuid, metadata)
    if domain is None:
        raise NotFound(f"no domain {uuid}")
    body = disk_body(state, disk)
    if domain["power"] in UP and state.get("volume", body["volume"]) is None:
        raise Rejected(f"Cannot access storage file {body['path']}")
    for place in _places(domain):
        if disk.target in domain.get(place, {}) and not _has(state, domain, place, disk):
            raise Conflict(f"{disk.target} of domain {uuid} has another file")
        domain = domain | {place: domain.get(place, {}) | {disk.target: body}}
    _keep(state, uuid, domain)


def detach(state: State, us: str, uuid: UUID, disk: DiskSpec, metadata: DomainMetadata) -> bool:
    domain = _taken_over(state, us, uuid, metadata)
    if domain is None:
        return True
    lets_go = (state.get("host", "facts") or {})["lets_go"]
    if not lets_go and domain["power"] in UP and _has(state, domain, _LIVE, disk):
        state.put("domain", str(uuid), domain)
        return False
    for place in (_LIVE, _CONFIG):
        if _has(state, domain, place, disk):
            domain = domain | {place: {key: body for key, body in domain[place].items() if key != disk.target}}
    _keep(state, uuid, domain)
    return True


def grow(state: State, us: str, uuid: UUID, disk: DiskSpec, capacity_bytes: int) -> bool:
    domain = ours_if_any(state, us, uuid)
    if domain is None or domain["power"] not in UP or not _has(state, domain, _LIVE, disk):
        return False
    key = f"{disk.pool}/{disk.volume}"
    volume = state.get("volume", key) or {}
    state.put("volume", key, volume | {"capacity": max(int(volume["capacity"]), capacity_bytes)})
    return True


def limit(state: State, us: str, uuid: UUID, disk: DiskSpec) -> None:
    domain = ours_if_any(state, us, uuid)
    if domain is None:
        return
    limits = {"iops": disk.iops, "bytes_per_second": disk.bytes_per_second}
    for place in _places(domain):
        if _has(state, domain, place, disk):
            domain = domain | {place: domain[place] | {disk.target: domain[place][disk.target] | limits}}
    state.put("domain", str(uuid), domain)
