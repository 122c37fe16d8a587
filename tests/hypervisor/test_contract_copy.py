"""Copying a disk: what every implementation does, real or fake. libvirt's test driver has no block jobs."""

import io

import pytest

from hypervisor.errors import Rejected
from hypervisor.specs import CopyProgress, DiskSpec, DomainSpec, VolumeSpec
from tests.hypervisor.bed import MIB, Bed, wait_until


@pytest.fixture
def copying(bed: Bed) -> Bed:
    bed.needs("files")
    bed.prepare()
    return bed


def source(bed: Bed, *, backing: str = "") -> DiskSpec:
    spec = bed.volume("disk", backing=backing)
    return DiskSpec(pool=bed.pool.name, volume=spec.name, format="qcow2", target="vda", backing=spec.backing)


def copied(bed: Bed, disk: DiskSpec, target: VolumeSpec) -> CopyProgress:
    """Look until it is done."""
    last: list[CopyProgress] = []

    def done() -> bool:
        last.append(bed.hypervisor.copy_volume(source=disk, target=target))
        assert 0 <= last[-1].copied_bytes <= last[-1].total_bytes
        return last[-1].done

    wait_until(done, seconds=30, what="the copy")
    return last[-1]


def test_a_copy_stands_alone(copying: Bed) -> None:
    pool, target = copying.pool.name, copying.volume("copy", mib=8)
    assert copied(copying, source(copying), target).done
    assert copying.hypervisor.domains() == []
    copying.hypervisor.remove_volume(pool, "disk.qcow2")
    found = copying.hypervisor.volume(pool, "copy.qcow2")
    assert found is not None
    assert found.capacity_bytes == 8 * MIB
    copying.hypervisor.remove_volume(pool, "copy.qcow2")


def test_what_an_earlier_attempt_left_is_written_anew(copying: Bed) -> None:
    pool, target = copying.pool.name, copying.volume("copy", mib=8)
    copying.hypervisor.ensure_volume(target)
    rubbish = b"rubbish" * 100_000
    copying.hypervisor.upload(pool=pool, name="copy.qcow2", source=io.BytesIO(rubbish), offset=0, length=len(rubbish))
    assert copied(copying, source(copying), target).done
    found = copying.hypervisor.volume(pool, "copy.qcow2")
    assert found is not None
    assert found.capacity_bytes == 8 * MIB
    copying.hypervisor.remove_volume(pool, "copy.qcow2")


def test_a_stopped_copy_leaves_nothing(copying: Bed) -> None:
    pool, target = copying.pool.name, copying.volume("copy", mib=8)
    if copying.hypervisor.copy_volume(source=source(copying), target=target).done:
        copying.hypervisor.remove_volume(pool, "copy.qcow2")  # so quick that there is nothing to stop
    for _ in range(2):
        copying.hypervisor.stop_copy(pool, "copy.qcow2")
    assert copying.hypervisor.domains() == []
    assert [volume.name for volume in copying.hypervisor.volumes(pool)] == ["disk.qcow2"]


def test_a_finished_copy_is_not_stopped(copying: Bed) -> None:
    pool, target = copying.pool.name, copying.volume("copy", mib=8)
    copied(copying, source(copying), target)
    copying.hypervisor.stop_copy(pool, "copy.qcow2")
    assert copying.hypervisor.volume(pool, "copy.qcow2") is not None
    copying.hypervisor.remove_volume(pool, "copy.qcow2")


def test_the_disk_of_a_running_guest_is_not_copied(copying: Bed) -> None:
    spec: DomainSpec = copying.running()
    target = copying.volume("copy", mib=8)
    with pytest.raises(Rejected):
        copying.hypervisor.copy_volume(source=spec.disks[0], target=target)
    assert [domain.uuid for domain in copying.hypervisor.domains()] == [spec.uuid]
    copying.hypervisor.power_off(spec.uuid)
    assert copied(copying, spec.disks[0], target).done
    copying.hypervisor.remove_volume(copying.pool.name, "copy.qcow2")


def test_nothing_is_copied_from_nothing(copying: Bed) -> None:
    missing = DiskSpec(pool=copying.pool.name, volume="none.qcow2", format="qcow2", target="vda")
    with pytest.raises(Rejected):
        copying.hypervisor.copy_volume(source=missing, target=copying.volume("copy"))
    assert copying.hypervisor.volume(copying.pool.name, "copy.qcow2") is None


def test_an_overlay_is_copied_with_its_backing_volume_shared(copying: Bed) -> None:
    pool = copying.pool.name
    base = copying.volume("base", mib=8)
    copying.hypervisor.ensure_volume(base)
    copying.hypervisor.remove_volume(pool, "disk.qcow2")
    copying.hypervisor.ensure_volume(copying.volume("disk", mib=8, backing="base"))
    target = copying.volume("copy", mib=8, backing="base")
    assert copied(copying, source(copying, backing="base"), target).done
    assert copying.hypervisor.volume(pool, "copy.qcow2") is not None
    for name in ("copy.qcow2", "disk.qcow2", "base.qcow2"):
        copying.hypervisor.remove_volume(pool, name)
