"""What copying a disk needs: a guest that never runs and holds the source, and where its mirror goes."""

import dataclasses
from typing import Final
from uuid import UUID, uuid5

from hypervisor import names, xml_tree
from hypervisor.domain_xml import PathOf
from hypervisor.specs import DiskSpec, DomainMetadata, DomainSpec, VolumeSpec, default_cpu
from hypervisor.xml_tree import E

TARGET: Final = "vda"
_MEMORY_MIB: Final = 32
_COPIES: Final = UUID("6f0c8b1e-53c4-4f60-9d1a-0a2f6f0f5b11")


def holder_uuid(installation: str, pool: str, volume: str) -> UUID:
    """Derives from what is made, so that whoever comes next finds the copy that is under way."""
    return uuid5(_COPIES, f"{installation}/{pool}/{volume}")


def holder(installation: str, source: DiskSpec, target: VolumeSpec, architecture: str) -> DomainSpec:
    """The guest that holds the source. It is started paused and never resumed."""
    identity = holder_uuid(installation, target.pool, target.name)
    return DomainSpec(
        uuid=identity,
        name=f"{names.COPY_PREFIX}{identity.hex[:12]}",
        title="",
        vcpus=1,
        memory_mib=_MEMORY_MIB,
        metadata=DomainMetadata(installation=installation),
        accelerator="tcg",
        cpu=default_cpu("tcg"),
        architecture=architecture,
        machine="virt" if architecture == "aarch64" else "q35",
        disks=(dataclasses.replace(source, target=TARGET, bus="virtio", device="disk"),),
    )


def build_target(target: VolumeSpec, path_of: PathOf) -> str:
    """The disk that is written to."""
    return xml_tree.render(
        E.disk(
            E.driver(name="qemu", type=target.format),
            E.source(file=path_of(target.pool, target.name)),
            type="file",
            device="disk",
        )
    )


def read_mirror(text: str) -> bool | None:
    """Whether the mirror holds everything; None where there is no mirror (not begun, or given up)."""
    mirror = xml_tree.parse(text).find(f"devices/disk[target]/target[@dev='{TARGET}']/../mirror")
    return None if mirror is None else mirror.get("ready") == "yes"
