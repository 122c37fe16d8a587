"""Growing a guest while it runs: what every implementation of the interface does."""

import dataclasses

import pytest

from hypervisor.errors import ForeignObject, NotFound, Rejected
from hypervisor.specs import DomainSpec, DomainState
from tests.hypervisor.bed import MIB, Bed, refenced, wait_until


def state_of(bed: Bed, spec: DomainSpec) -> DomainState:
    found = bed.hypervisor.domain(spec.uuid)
    assert found is not None
    return found


def roomy(bed: Bed) -> DomainSpec:
    """A guest of one vCPU and 64 MiB that may grow to three and 128."""
    bed.prepare()
    spec = dataclasses.replace(bed.domain("roomy"), max_vcpus=3, max_memory_mib=128)
    bed.hypervisor.ensure_defined(spec)
    return spec


def test_a_definition_says_what_the_guest_may_grow_to(bed: Bed) -> None:
    spec = roomy(bed)
    found = state_of(bed, spec)
    assert (found.vcpus, found.memory_mib, found.max_vcpus, found.max_memory_mib) == (1, 64, 3, 128)
    assert (found.live_vcpus, found.live_memory_mib) == (None, None)


def test_vcpus_are_added_while_it_runs(bed: Bed) -> None:
    spec = roomy(bed)
    bed.hypervisor.ensure_running(spec.uuid)
    for _ in range(2):
        bed.hypervisor.set_live_size(spec.uuid, vcpus=2, memory_mib=64)
        assert state_of(bed, spec).live_vcpus == 2
    assert state_of(bed, spec).vcpus == 1  # the definition is another call's
    bed.hypervisor.ensure_defined(refenced(dataclasses.replace(spec, vcpus=2), 2))
    assert state_of(bed, spec).vcpus == 2
    bed.hypervisor.power_off(spec.uuid)
    bed.hypervisor.ensure_running(spec.uuid)
    assert state_of(bed, spec).live_vcpus == 2


def test_vcpus_are_not_taken_from_a_running_guest_nor_beyond_the_maximum(bed: Bed) -> None:
    spec = roomy(bed)
    bed.hypervisor.ensure_running(spec.uuid)
    bed.hypervisor.set_live_size(spec.uuid, vcpus=2, memory_mib=64)
    for vcpus in (1, 4):
        with pytest.raises(Rejected):
            bed.hypervisor.set_live_size(spec.uuid, vcpus=vcpus, memory_mib=64)
    with pytest.raises(Rejected):
        bed.hypervisor.set_live_size(spec.uuid, vcpus=2, memory_mib=256)
    assert state_of(bed, spec).live_vcpus == 2


def test_memory_is_asked_for_within_the_maximum(bed: Bed) -> None:
    """Whether a guest without a system gives or takes it is another matter: nobody runs its balloon."""
    spec = roomy(bed)
    bed.hypervisor.ensure_running(spec.uuid)
    for memory in (128, 96):
        bed.hypervisor.set_live_size(spec.uuid, vcpus=1, memory_mib=memory)
    if "balloon" not in bed.lacks:
        wait_until(lambda: state_of(bed, spec).live_memory_mib == 96, what="the balloon")


def test_a_guest_that_is_off_has_no_live_size(bed: Bed) -> None:
    spec = roomy(bed)
    bed.hypervisor.set_live_size(spec.uuid, vcpus=2, memory_mib=128)
    assert state_of(bed, spec).live_vcpus is None
    assert state_of(bed, spec).vcpus == 1


def test_only_ours_are_resized(bed: Bed) -> None:
    with pytest.raises(NotFound):
        bed.hypervisor.set_live_size(bed.domain().uuid, vcpus=1, memory_mib=64)
    bed.needs("other-process")
    spec = roomy(bed)
    bed.hypervisor.ensure_running(spec.uuid)
    with pytest.raises(ForeignObject):
        bed.another("00000001").set_live_size(spec.uuid, vcpus=2, memory_mib=64)


def test_a_disk_grows_under_the_running_guest(bed: Bed) -> None:
    bed.needs("files")
    spec = roomy(bed)
    (disk,) = spec.disks

    def capacity() -> int:
        found = bed.hypervisor.volume(bed.pool.name, disk.volume)
        assert found is not None
        return found.capacity_bytes

    assert not bed.hypervisor.grow_disk(spec.uuid, disk, 16 * MIB)
    assert capacity() == 8 * MIB
    bed.hypervisor.ensure_running(spec.uuid)
    for wanted in (16, 16, 12):
        assert bed.hypervisor.grow_disk(spec.uuid, disk, wanted * MIB)
    other = dataclasses.replace(disk, volume="other.qcow2")
    assert not bed.hypervisor.grow_disk(spec.uuid, other, 32 * MIB)
    bed.hypervisor.power_off(spec.uuid)
    assert capacity() == 16 * MIB
