"""Domains of a fake host."""

from collections.abc import Collection
from uuid import UUID

from hypervisor.errors import Conflict, ForeignObject, NotFound, OutOfMemory, Rejected, StaleFence
from hypervisor.fake import networks, storage
from hypervisor.fake.host import set_power
from hypervisor.fake.store import Body, State
from hypervisor.specs import (
    Button,
    DiskSpec,
    DomainSpec,
    DomainState,
    DomainSummary,
    EventKind,
    GuestAddress,
    NicSpec,
    Power,
)
from hypervisor.storage_xml import volume_path
from hypervisor.xml_tree import clean_line

UP = (Power.RUNNING, Power.PAUSED)


def ours_if_any(state: State, installation: str, uuid: UUID) -> Body | None:
    domain = state.get("domain", str(uuid))
    if domain is not None and domain["installation"] != installation:
        raise ForeignObject(f"domain {uuid} is nobody's of ours")
    return domain


def ours(state: State, installation: str, uuid: UUID) -> Body:
    domain = ours_if_any(state, installation, uuid)
    if domain is None:
        raise NotFound(f"no domain {uuid}")
    return domain


def ensure_defined(state: State, installation: str, spec: DomainSpec) -> None:
    if spec.metadata.installation != installation:
        raise ForeignObject("the spec is marked for another installation")
    old = ours_if_any(state, installation, spec.uuid)
    if old is not None and int(old["fence"]) > spec.metadata.fence:
        raise StaleFence(f"domain {spec.uuid} has fence {old['fence']}, asked with {spec.metadata.fence}")
    for key, other in state.all("domain").items():
        if key != str(spec.uuid) and other["name"] == spec.name:
            raise Conflict(f"domain {spec.name} already exists")
    body = _body(state, spec)
    if old is None:
        body |= {"power": Power.SHUTOFF, "reason": "unknown", "autostart": False}
        state.record({"kind": EventKind.DEFINED, "detail": "added", "uuid": spec.uuid, "name": spec.name})
    elif any(old[key] != value for key, value in body.items() if key != "fence"):
        state.record({"kind": EventKind.DEFINED, "detail": "updated", "uuid": spec.uuid, "name": spec.name})
    state.put("domain", str(spec.uuid), (old or {}) | body)


def _body(state: State, spec: DomainSpec) -> Body:
    return {
        "name": spec.name,
        "title": clean_line(spec.title),
        "vcpus": spec.vcpus,
        "memory_mib": spec.memory_mib,
        "max_vcpus": spec.max_vcpus or spec.vcpus,
        "max_memory_mib": spec.max_memory_mib or spec.memory_mib,
        "installation": spec.metadata.installation,
        "fence": spec.metadata.fence,
        "disk_paths": [volume_path(storage.pool_path(state, d.pool), d.volume) for d in spec.disks],
        "volumes": [f"{disk.pool}/{disk.volume}" for disk in spec.disks],
        "disks": {disk.target: disk_body(state, disk) for disk in spec.disks},
        "cdroms": [disk_body(state, disk)["path"] for disk in spec.disks if disk.device == "cdrom"],
        "macs": [nic.mac for nic in spec.nics],
        "networks": [nic.network for nic in spec.nics],
    }


def disk_body(state: State, disk: DiskSpec) -> Body:
    return {
        "volume": f"{disk.pool}/{disk.volume}",
        "path": volume_path(storage.pool_path(state, disk.pool), disk.volume),
        "serial": disk.serial,
        "iops": disk.iops,
        "bytes_per_second": disk.bytes_per_second,
    }


def ensure_running(state: State, installation: str, uuid: UUID) -> None:
    domain = ours(state, installation, uuid)
    if domain["power"] == Power.RUNNING:
        return
    if domain["power"] == Power.PAUSED:
        set_power(state, uuid, Power.RUNNING, "unpaused", EventKind.RESUMED, "unpaused")
        return
    for volume in domain["volumes"]:
        if state.get("volume", volume) is None:
            raise Rejected(f"Cannot access storage file {volume}")
    for network in domain["networks"]:
        if state.get("network", network) is None:
            raise NotFound(f"no network {network}")
    if int(domain["memory_mib"]) > int((state.get("host", "facts") or {})["memory_mib"]):
        raise OutOfMemory("Cannot allocate memory")
    live = {"live": {key: domain[key] for key in ("vcpus", "memory_mib", "max_vcpus", "max_memory_mib")}}
    state.put("domain", str(uuid), domain | live)
    set_power(state, uuid, Power.RUNNING, "booted", EventKind.STARTED, "booted")


def set_paused(state: State, installation: str, uuid: UUID, *, paused: bool) -> None:
    domain = ours(state, installation, uuid)
    if domain["power"] not in UP:
        raise Rejected(f"domain {uuid} is {domain['power']}")
    if paused and domain["power"] == Power.RUNNING:
        set_power(state, uuid, Power.PAUSED, "user", EventKind.SUSPENDED, "paused")
    elif not paused and domain["power"] == Power.PAUSED:
        set_power(state, uuid, Power.RUNNING, "unpaused", EventKind.RESUMED, "unpaused")


def set_live_size(state: State, installation: str, uuid: UUID, *, vcpus: int, memory_mib: int) -> None:
    """A guest whose balloon driver is at work, unless the host was told that guests have none."""
    domain = ours(state, installation, uuid)
    if domain["power"] not in UP:
        return
    live = domain["live"]
    if not live["vcpus"] <= vcpus <= live["max_vcpus"] or memory_mib > live["max_memory_mib"]:
        raise Rejected(f"domain {uuid} cannot have {vcpus} vCPUs and {memory_mib} MiB while it runs")
    if not (state.get("host", "facts") or {})["balloons"]:
        memory_mib = live["memory_mib"]
    state.put("domain", str(uuid), domain | {"live": live | {"vcpus": vcpus, "memory_mib": memory_mib}})


def power_off(state: State, installation: str, uuid: UUID) -> None:
    domain = ours_if_any(state, installation, uuid)
    if domain is not None and domain["power"] in UP:
        set_power(state, uuid, Power.SHUTOFF, "destroyed", EventKind.STOPPED, "destroyed")


def require_up(state: State, installation: str, uuid: UUID) -> None:
    domain = ours(state, installation, uuid)
    if domain["power"] not in UP:
        raise Rejected(f"domain {uuid} is {domain['power']}")


def press(state: State, installation: str, uuid: UUID, button: Button) -> None:
    domain = ours(state, installation, uuid)
    if domain["power"] not in UP:
        raise Rejected(f"domain {uuid} is {domain['power']}")
    obeys = (state.get("host", "facts") or {})["obeys_acpi"] and domain["power"] == Power.RUNNING
    if button is Button.SHUTDOWN and obeys:
        set_power(state, uuid, Power.SHUTOFF, "shutdown", EventKind.STOPPED, "shutdown")


def ensure_nic(state: State, installation: str, uuid: UUID, nic: NicSpec) -> None:
    domain = ours(state, installation, uuid)
    if state.get("network", nic.network) is None and domain["power"] in UP:
        raise NotFound(f"no network {nic.network}")
    if nic.mac not in domain["macs"]:
        changed = {"macs": [*domain["macs"], nic.mac], "networks": [*domain["networks"], nic.network]}
        state.put("domain", str(uuid), domain | changed)
        state.record({"kind": EventKind.DEFINED, "detail": "updated", "uuid": uuid, "name": domain["name"]})


def remove_nic(state: State, installation: str, uuid: UUID, mac: str) -> bool:
    domain = ours_if_any(state, installation, uuid)
    if domain is None or mac not in domain["macs"]:
        return True
    if domain["power"] in UP and not (state.get("host", "facts") or {})["lets_go"]:
        return False
    index = domain["macs"].index(mac)
    for key in ("macs", "networks"):
        domain[key] = [*domain[key][:index], *domain[key][index + 1 :]]
    state.put("domain", str(uuid), domain)
    state.record({"kind": EventKind.DEFINED, "detail": "updated", "uuid": uuid, "name": domain["name"]})
    return True


def eject(state: State, installation: str, uuid: UUID, pool: str, volume: str) -> None:
    domain = ours(state, installation, uuid)
    path = volume_path(storage.pool_path(state, pool), volume)
    if path in domain["cdroms"] and domain["power"] in UP:
        domain["cdroms"].remove(path)
        domain["disk_paths"].remove(path)
        state.put("domain", str(uuid), domain)


def undefine(state: State, installation: str, uuid: UUID) -> None:
    domain = ours_if_any(state, installation, uuid)
    if domain is None:
        return
    if domain["power"] in UP:
        raise Conflict(f"domain {uuid} is not off")
    state.remove("domain", str(uuid))
    state.record({"kind": EventKind.UNDEFINED, "detail": "removed", "uuid": uuid, "name": domain["name"]})


def summaries(state: State) -> list[DomainSummary]:
    return [
        DomainSummary(uuid=UUID(key), name=body["name"], power=Power(body["power"]), reason=body["reason"])
        for key, body in state.all("domain").items()
    ]


def describe(state: State, uuids: Collection[UUID]) -> dict[UUID, DomainState]:
    return {uuid: found for uuid in uuids if (found := describe_one(state, uuid)) is not None}


def describe_one(state: State, uuid: UUID) -> DomainState | None:
    body = state.get("domain", str(uuid))
    if body is None:
        return None
    live = body.get("live", {}) if body["power"] in UP else {}
    return DomainState(
        uuid=uuid,
        name=body["name"],
        power=Power(body["power"]),
        reason=body["reason"],
        title=body["title"],
        vcpus=body["vcpus"],
        memory_mib=body["memory_mib"],
        persistent=True,
        autostart=body["autostart"],
        installation=body["installation"],
        fence=body["fence"],
        max_vcpus=body.get("max_vcpus", 0),
        max_memory_mib=body.get("max_memory_mib", 0),
        live_vcpus=live.get("vcpus"),
        live_memory_mib=live.get("memory_mib"),
        disk_paths=tuple(body["disk_paths"]),
        macs=tuple(body["macs"]),
    )


def addresses(state: State, uuid: UUID) -> list[GuestAddress]:
    domain = state.get("domain", str(uuid))
    if domain is None or domain["power"] not in UP:
        return []
    return [
        GuestAddress(mac=lease.mac, ip=lease.ip, source="lease")
        for network in sorted(set(domain["networks"]))
        if state.get("network", network) is not None
        for lease in networks.leases(state, network)
        if lease.mac in domain["macs"]
    ]
