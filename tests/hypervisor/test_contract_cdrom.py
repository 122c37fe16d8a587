"""Taking a CD out: what every implementation does, real or fake. libvirt's test driver changes no running guest."""

import dataclasses
from uuid import uuid4

import pytest

from hypervisor.errors import NotFound
from hypervisor.specs import DiskSpec, DomainSpec, VolumeSpec
from tests.hypervisor.bed import Bed


def with_cd(bed: Bed) -> DomainSpec:
    bed.needs("files")
    bed.prepare()
    bed.hypervisor.ensure_volume(VolumeSpec(pool=bed.pool.name, name="cd.iso", capacity_bytes=65536, format="iso"))
    disk = DiskSpec(pool=bed.pool.name, volume="cd.iso", format="iso", target="sde", bus="sata", device="cdrom")
    spec = bed.domain()
    spec = dataclasses.replace(spec, disks=(*spec.disks, disk), boot_order=("cdrom", "hd"))
    bed.hypervisor.ensure_defined(spec)
    return spec


def test_a_cd_is_taken_out_of_a_running_guest(bed: Bed) -> None:
    spec = with_cd(bed)
    bed.hypervisor.ensure_running(spec.uuid)
    for _ in range(2):
        bed.hypervisor.eject(spec.uuid, bed.pool.name, "cd.iso")
    bed.hypervisor.ensure_defined(dataclasses.replace(spec, disks=spec.disks[:1], boot_order=("hd",)))
    bed.hypervisor.remove_volume(bed.pool.name, "cd.iso")
    bed.hypervisor.power_off(spec.uuid)
    bed.hypervisor.ensure_running(spec.uuid)
    found = bed.hypervisor.domain(spec.uuid)
    assert found is not None
    assert not any(path.endswith("cd.iso") for path in found.disk_paths)


def test_nothing_to_take_out_is_fine(bed: Bed) -> None:
    spec = with_cd(bed)
    bed.hypervisor.eject(spec.uuid, bed.pool.name, "cd.iso")  # off
    bed.hypervisor.ensure_running(spec.uuid)
    bed.hypervisor.eject(spec.uuid, bed.pool.name, "other.iso")
    with pytest.raises(NotFound):
        bed.hypervisor.eject(uuid4(), bed.pool.name, "cd.iso")
    bed.hypervisor.power_off(spec.uuid)
    bed.hypervisor.remove_volume(bed.pool.name, "cd.iso")
