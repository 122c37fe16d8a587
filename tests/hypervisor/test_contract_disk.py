"""What every implementation does with the disks of a domain, real or fake. The lab's guests here have no system,
so nobody in them lets go of a disk.
"""

import dataclasses

import pytest

from hypervisor.errors import Conflict, ForeignObject, NotFound, StaleFence
from hypervisor.specs import DiskSpec, DiskState, DomainMetadata, DomainSpec
from tests.hypervisor.bed import MIB, Bed


def data_disk(bed: Bed, name: str = "data", *, target: str = "vdc", **limits: int) -> DiskSpec:
    return DiskSpec(
        pool=bed.pool.name, volume=f"{name}.qcow2", format="qcow2", target=target, serial=f"serial-{name}", **limits
    )


def mark(bed: Bed, fence: int = 1) -> DomainMetadata:
    return DomainMetadata(installation=bed.installation, fence=fence, owner="ann", project="p")


@pytest.fixture
def off(bed: Bed) -> DomainSpec:
    """A guest that is off, and a volume that nobody has."""
    spec = bed.defined()
    bed.hypervisor.ensure_volume(bed.volume("data"))
    return spec


@pytest.fixture
def running(bed: Bed, off: DomainSpec) -> DomainSpec:
    bed.needs("hot-plug")
    bed.hypervisor.ensure_running(off.uuid)
    return off


def at(bed: Bed, spec: DomainSpec, target: str = "vdc") -> DiskState | None:
    return next((disk for disk in bed.hypervisor.disks(spec.uuid) if disk.target == target), None)


def test_a_domain_tells_its_disks(bed: Bed, off: DomainSpec) -> None:
    (root,) = bed.hypervisor.disks(off.uuid)
    assert (root.target, root.path) == ("vda", f"{bed.pool.path}/disk.qcow2")
    assert (root.defined, root.live, root.iops, root.bytes_per_second) == (True, False, 0, 0)
    bed.hypervisor.ensure_running(off.uuid)
    assert [(disk.defined, disk.live) for disk in bed.hypervisor.disks(off.uuid)] == [(True, True)]


def test_attach_to_one_that_is_off_changes_the_definition(bed: Bed, off: DomainSpec) -> None:
    bed.needs("hot-plug")
    disk = data_disk(bed, iops=500, bytes_per_second=20 * MIB)
    for _ in range(2):
        bed.hypervisor.attach_disk(off.uuid, disk, mark(bed))
    seen = at(bed, off)
    assert seen == DiskState(
        target="vdc",
        path=f"{bed.pool.path}/data.qcow2",
        serial="serial-data",
        iops=500,
        bytes_per_second=20 * MIB,
        defined=True,
        live=False,
    )
    bed.hypervisor.ensure_running(off.uuid)
    assert at(bed, off) == dataclasses.replace(seen, live=True)


def test_attach_to_a_running_one_is_seen_at_once(bed: Bed, running: DomainSpec) -> None:
    for _ in range(2):
        bed.hypervisor.attach_disk(running.uuid, data_disk(bed), mark(bed))
    seen = at(bed, running)
    assert seen is not None
    assert (seen.defined, seen.live, seen.serial) == (True, True, "serial-data")
    assert len(bed.hypervisor.disks(running.uuid)) == 2


def test_a_new_definition_with_the_disk_in_it_keeps_it(bed: Bed, running: DomainSpec) -> None:
    bed.hypervisor.attach_disk(running.uuid, data_disk(bed), mark(bed))
    bed.hypervisor.ensure_defined(dataclasses.replace(running, disks=(*running.disks, data_disk(bed))))
    seen = at(bed, running)
    assert seen is not None
    assert (seen.defined, seen.live) == (True, True)
    bed.hypervisor.ensure_defined(running)
    seen = at(bed, running)
    assert seen is not None
    assert (seen.defined, seen.live) == (False, True)


def test_eight_disks_fit_while_it_runs(bed: Bed, running: DomainSpec) -> None:
    targets = [f"vd{letter}" for letter in "cdefghij"]
    for target in targets:
        bed.hypervisor.ensure_volume(bed.volume(target))
        bed.hypervisor.attach_disk(running.uuid, data_disk(bed, target, target=target), mark(bed))
    assert [disk.target for disk in bed.hypervisor.disks(running.uuid) if disk.live] == ["vda", *targets]


def test_a_taken_target_is_a_conflict(bed: Bed, running: DomainSpec) -> None:
    bed.hypervisor.attach_disk(running.uuid, data_disk(bed), mark(bed))
    bed.hypervisor.ensure_volume(bed.volume("other"))
    with pytest.raises(Conflict):
        bed.hypervisor.attach_disk(running.uuid, data_disk(bed, "other"), mark(bed))
    assert bed.hypervisor.detach_disk(running.uuid, data_disk(bed, "other"), mark(bed))
    seen = at(bed, running)
    assert seen is not None
    assert (seen.path, seen.defined, seen.live) == (f"{bed.pool.path}/data.qcow2", True, True)


def test_detach_from_one_that_is_off(bed: Bed, off: DomainSpec) -> None:
    bed.needs("hot-plug")
    bed.hypervisor.attach_disk(off.uuid, data_disk(bed), mark(bed))
    for _ in range(2):
        assert bed.hypervisor.detach_disk(off.uuid, data_disk(bed), mark(bed))
    assert at(bed, off) is None


def test_a_guest_that_does_not_let_go_keeps_it_in_both_places(bed: Bed, running: DomainSpec) -> None:
    bed.stubborn()
    bed.hypervisor.attach_disk(running.uuid, data_disk(bed), mark(bed))
    for _ in range(2):
        assert not bed.hypervisor.detach_disk(running.uuid, data_disk(bed), mark(bed))
        seen = at(bed, running)
        assert seen is not None
        assert (seen.defined, seen.live) == (True, True)
    bed.hypervisor.power_off(running.uuid)
    assert bed.hypervisor.detach_disk(running.uuid, data_disk(bed), mark(bed))
    assert at(bed, running) is None


def test_grow_under_a_running_guest(bed: Bed, running: DomainSpec) -> None:
    assert not bed.hypervisor.grow_disk(running.uuid, data_disk(bed), 16 * MIB)
    bed.hypervisor.attach_disk(running.uuid, data_disk(bed), mark(bed))
    for mib in (16, 16, 4):
        assert bed.hypervisor.grow_disk(running.uuid, data_disk(bed), mib * MIB)
        volume = bed.hypervisor.volume(bed.pool.name, "data.qcow2")
        assert volume is not None
        assert volume.capacity_bytes == 16 * MIB
    bed.hypervisor.power_off(running.uuid)
    assert not bed.hypervisor.grow_disk(running.uuid, data_disk(bed), 32 * MIB)


def test_limits_hold_at_once_and_in_the_definition(bed: Bed, running: DomainSpec) -> None:
    bed.hypervisor.attach_disk(running.uuid, data_disk(bed), mark(bed))
    for iops, rate in ((100, 5 * MIB), (100, 0), (0, 0), (7, 0)):
        bed.hypervisor.limit_disk(running.uuid, data_disk(bed, iops=iops, bytes_per_second=rate))
        seen = at(bed, running)
        assert seen is not None
        assert (seen.iops, seen.bytes_per_second, seen.live) == (iops, rate, True)
    bed.hypervisor.power_off(running.uuid)
    seen = at(bed, running)
    assert seen is not None
    assert (seen.iops, seen.live) == (7, False)
    bed.hypervisor.limit_disk(running.uuid, data_disk(bed, "other", iops=9))
    assert at(bed, running) == seen


def test_who_comes_late_changes_nothing(bed: Bed, running: DomainSpec) -> None:
    bed.hypervisor.attach_disk(running.uuid, data_disk(bed), mark(bed, 5))
    assert getattr(bed.hypervisor.domain(running.uuid), "fence", None) == 5
    with pytest.raises(StaleFence):
        bed.hypervisor.detach_disk(running.uuid, data_disk(bed), mark(bed, 4))
    with pytest.raises(StaleFence):
        bed.hypervisor.attach_disk(running.uuid, data_disk(bed, target="vdd"), mark(bed, 4))
    seen = at(bed, running)
    assert seen is not None
    assert seen.live


def test_others_domains_are_left_alone(bed: Bed, off: DomainSpec) -> None:
    bed.needs("other-process")
    stranger, disk = bed.another("00000001"), data_disk(bed)
    metadata = DomainMetadata(installation="00000001", fence=9)
    for change in (
        lambda: stranger.attach_disk(off.uuid, disk, metadata),
        lambda: stranger.detach_disk(off.uuid, disk, metadata),
        lambda: stranger.grow_disk(off.uuid, disk, 32 * MIB),
        lambda: stranger.limit_disk(off.uuid, disk),
    ):
        with pytest.raises(ForeignObject):
            change()


def test_a_missing_domain_has_no_disks(bed: Bed, off: DomainSpec) -> None:
    bed.hypervisor.undefine(off.uuid)
    disk = data_disk(bed)
    assert bed.hypervisor.disks(off.uuid) == []
    assert bed.hypervisor.detach_disk(off.uuid, disk, mark(bed))
    assert not bed.hypervisor.grow_disk(off.uuid, disk, 32 * MIB)
    bed.hypervisor.limit_disk(off.uuid, disk)
    with pytest.raises(NotFound):
        bed.hypervisor.attach_disk(off.uuid, disk, mark(bed))
