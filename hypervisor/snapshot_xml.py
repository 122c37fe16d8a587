"""A snapshot as libvirt's XML. The guest's definition in it is written by libvirt."""

from datetime import UTC, datetime
from typing import Final

from hypervisor import domain_xml, xml_tree
from hypervisor.specs import Power, SnapshotSpec, SnapshotState
from hypervisor.xml_tree import E, Element

_POWER: Final = {"running": Power.RUNNING, "paused": Power.PAUSED, "shutoff": Power.SHUTOFF, "crashed": Power.CRASHED}
_LATEST: Final = 1 << 37  # a creation time beyond this is no time of ours


def build(spec: SnapshotSpec) -> str:
    """Disks are not listed: libvirt takes every disk that can be written. Memory is said, so that a guest which was
    switched on or off meanwhile makes the call fail instead of making another kind of snapshot.
    """
    memory = E.memory(snapshot="internal" if spec.memory else "no")
    return xml_tree.render(E.domainsnapshot(E.name(spec.name), memory))


def build_leftover(name: str, definition: str) -> str:
    """The record of a snapshot that only the disk files still know, so that libvirt can be asked to delete it."""
    return xml_tree.render(
        E.domainsnapshot(
            E.name(name),
            E.state("shutoff"),
            E.creationTime("1"),
            E.memory(snapshot="no"),
            xml_tree.parse(definition),
        )
    )


def read(text: str, *, current: bool, complete: bool) -> SnapshotState:
    """What is missing reads as empty: a snapshot of somebody else may be of any kind and age."""
    root = xml_tree.parse(text)
    domain = root.find("domain")
    definition = domain_xml.read(xml_tree.render(domain)) if domain is not None else None
    memory = root.find("memory")
    kind = memory.get("snapshot", "no") if memory is not None else "no"
    return SnapshotState(
        name=xml_tree.text_of(root, "name"),
        parent=xml_tree.text_of(root, "parent/name") or None,
        current=current,
        complete=complete,
        external=kind == "external" or _has_external_disk(root),
        memory=kind != "no",
        power=_POWER.get(xml_tree.text_of(root, "state"), Power.UNKNOWN),
        taken_at=_time(xml_tree.number_of(root, "creationTime")),
        vcpus=definition.vcpus if definition else 0,
        memory_mib=definition.memory_mib if definition else 0,
        max_vcpus=xml_tree.number_of(root, "domain/vcpu"),
        max_memory_mib=xml_tree.number_of(root, "domain/memory") // 1024,
        disk_paths=definition.disk_paths if definition else (),
        macs=definition.macs if definition else (),
    )


def _has_external_disk(root: Element) -> bool:
    """A snapshot of disks alone is in libvirt's words a state of its own."""
    disks = (disk.get("snapshot") == "external" for disk in root.iterfind("disks/disk"))
    return xml_tree.text_of(root, "state") == "disk-snapshot" or any(disks)


def _time(seconds: int) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < _LATEST else None
