"""Reading the disks of a domain: its definition and what the running guest has are compared target by target."""

from collections.abc import Mapping
from dataclasses import replace

from hypervisor import xml_tree
from hypervisor.specs import DiskState
from hypervisor.xml_tree import Element


def read(text: str) -> dict[str, DiskState]:
    """The disks of one XML by target, said to be in neither place; what is missing reads as empty."""
    disks = map(_disk, xml_tree.parse(text).iterfind("devices/disk"))
    return {disk.target: disk for disk in disks if disk.target}


def compare(*, defined: Mapping[str, DiskState], live: Mapping[str, DiskState]) -> list[DiskState]:
    """One state for each target. Where the two differ, what the guest has is told."""
    return [
        replace(live.get(target) or defined[target], defined=_same(defined, live, target), live=target in live)
        for target in sorted({*defined, *live})
    ]


def _same(defined: Mapping[str, DiskState], live: Mapping[str, DiskState], target: str) -> bool:
    return target in defined and (target not in live or live[target].path == defined[target].path)


def _disk(element: Element) -> DiskState:
    source, target = element.find("source"), element.find("target")
    return DiskState(
        target="" if target is None else target.get("dev", ""),
        path="" if source is None else source.get("file", ""),
        serial=xml_tree.text_of(element, "serial"),
        iops=xml_tree.number_of(element, "iotune/total_iops_sec"),
        bytes_per_second=xml_tree.number_of(element, "iotune/total_bytes_sec"),
        defined=False,
        live=False,
    )
