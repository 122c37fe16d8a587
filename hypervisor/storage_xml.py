"""Pools and volumes as libvirt's XML."""

import posixpath

from hypervisor import xml_tree
from hypervisor.specs import PoolSpec, VolumeSpec
from hypervisor.xml_tree import E

DIRECTORY_MODE = "0711"  # QEMU's own user passes through, nobody lists
FILE_MODE = "0600"


def volume_path(pool_path: str, name: str) -> str:
    """Where a directory pool keeps a volume; the name was checked when its spec was made."""
    return posixpath.join(pool_path, name)


def build_pool(spec: PoolSpec) -> str:
    return xml_tree.render(
        E.pool(
            E.name(spec.name),
            E.target(E.path(spec.path), E.permissions(E.mode(DIRECTORY_MODE))),
            type="dir",
        )
    )


def read_pool_path(text: str) -> str:
    return xml_tree.text_of(xml_tree.parse(text), "target/path")


def read_backing_path(text: str) -> str:
    """The path that a volume reads through, or nothing."""
    return xml_tree.parse(text).findtext("backingStore/path") or ""


def build_volume(spec: VolumeSpec, *, pool_path: str) -> str:
    """Sparse (allocation 0); a qcow2 in the format that lets several overlays share clusters lazily."""
    volume = E.volume(
        E.name(spec.name),
        E.capacity(str(spec.capacity_bytes), unit="bytes"),
        E.allocation("0", unit="bytes"),
        E.target(E.format(type=spec.format), E.permissions(E.mode(FILE_MODE))),
    )
    if spec.backing is not None:
        volume.append(
            E.backingStore(
                E.path(volume_path(pool_path, spec.backing.volume)),
                E.format(type=spec.backing.format),
            )
        )
    return xml_tree.render(volume)
