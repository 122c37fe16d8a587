"""What every implementation of the interface does with snapshots, real or fake."""

import dataclasses
from uuid import UUID, uuid4

import pytest

from hypervisor.errors import ForeignObject, HypervisorError, NotFound
from hypervisor.specs import Power, SnapshotSpec, SnapshotState, snapshot_name
from tests.hypervisor.bed import Bed, wait_until


def names(count: int) -> list[str]:
    return [snapshot_name(uuid4()) for _ in range(count)]


def take(bed: Bed, uuid: UUID, name: str) -> None:
    """A snapshot of the guest as it is, on or off."""
    seen = bed.hypervisor.domain(uuid)
    assert seen is not None
    up = seen.power in (Power.RUNNING, Power.PAUSED)
    assert bed.hypervisor.create_snapshot(uuid, SnapshotSpec(name=name, memory=up))


def look(bed: Bed, uuid: UUID) -> dict[str, SnapshotState]:
    return {state.name: state for state in bed.hypervisor.snapshots([uuid])[uuid]}


def parents(bed: Bed, uuid: UUID) -> dict[str, str | None]:
    return {state.name: state.parent for state in look(bed, uuid).values()}


def current(bed: Bed, uuid: UUID) -> list[str]:
    return [state.name for state in look(bed, uuid).values() if state.current]


def power(bed: Bed, uuid: UUID) -> Power:
    seen = bed.hypervisor.domain(uuid)
    assert seen is not None
    return seen.power


def test_a_snapshot_is_made_once_and_says_what_the_guest_was(bed: Bed) -> None:
    spec, (name,) = bed.running(), names(1)
    take(bed, spec.uuid, name)
    take(bed, spec.uuid, name)
    (state,) = look(bed, spec.uuid).values()
    assert (state.name, state.parent, state.current, state.complete) == (name, None, True, True)
    assert (state.power, state.memory, state.external) == (Power.RUNNING, True, False)
    assert (state.vcpus, state.memory_mib) == (spec.vcpus, spec.memory_mib)
    assert state.disk_paths == (f"{bed.pool.path}/disk.qcow2",)
    assert state.taken_at is not None
    assert power(bed, spec.uuid) is Power.RUNNING


def test_memory_belongs_to_a_guest_that_is_up_and_to_no_other(bed: Bed) -> None:
    bed.needs("snapshot-kinds")
    spec, (first, second) = bed.defined(), names(2)
    with pytest.raises(HypervisorError):
        bed.hypervisor.create_snapshot(spec.uuid, SnapshotSpec(name=first, memory=True))
    bed.hypervisor.ensure_running(spec.uuid)
    with pytest.raises(HypervisorError):
        bed.hypervisor.create_snapshot(spec.uuid, SnapshotSpec(name=second, memory=False))
    assert look(bed, spec.uuid) == {}


def test_a_revert_brings_back_power_and_place_in_the_tree(bed: Bed) -> None:
    spec, (off, on, paused) = bed.defined(), names(3)
    take(bed, spec.uuid, off)
    bed.hypervisor.ensure_running(spec.uuid)
    take(bed, spec.uuid, on)
    bed.hypervisor.set_paused(spec.uuid, paused=True)
    take(bed, spec.uuid, paused)
    assert parents(bed, spec.uuid) == {off: None, on: off, paused: on}
    for name, wanted in ((off, Power.SHUTOFF), (on, Power.RUNNING), (on, Power.RUNNING), (paused, Power.PAUSED)):
        assert bed.hypervisor.revert_snapshot(spec.uuid, name)
        assert power(bed, spec.uuid) is wanted
        assert current(bed, spec.uuid) == [name]
    (branch,) = names(1)
    bed.hypervisor.revert_snapshot(spec.uuid, off)
    take(bed, spec.uuid, branch)
    assert parents(bed, spec.uuid) == {off: None, on: off, paused: on, branch: off}


def test_a_revert_brings_back_the_old_size(bed: Bed) -> None:
    spec, (name,) = bed.running(), names(1)
    take(bed, spec.uuid, name)
    bed.hypervisor.power_off(spec.uuid)
    bed.hypervisor.ensure_defined(dataclasses.replace(spec, memory_mib=96, vcpus=2))
    bed.hypervisor.ensure_running(spec.uuid)
    bed.hypervisor.revert_snapshot(spec.uuid, name)
    seen = bed.hypervisor.domain(spec.uuid)
    assert seen is not None
    assert (seen.power, seen.memory_mib, seen.vcpus) == (Power.RUNNING, 64, 1)


def test_what_lies_below_a_deleted_one_moves_up(bed: Bed) -> None:
    spec, (first, second, third) = bed.defined(), names(3)
    for name in (first, second, third):
        take(bed, spec.uuid, name)
    assert bed.hypervisor.remove_snapshot(spec.uuid, second)
    assert parents(bed, spec.uuid) == {first: None, third: first}
    assert current(bed, spec.uuid) == [third]
    assert bed.hypervisor.remove_snapshot(spec.uuid, third)
    assert current(bed, spec.uuid) == [first]


def test_a_deleted_one_stays_deleted(bed: Bed) -> None:
    spec, (name,) = bed.running(), names(1)
    take(bed, spec.uuid, name)
    for _ in range(2):
        assert bed.hypervisor.remove_snapshot(spec.uuid, name)
        assert look(bed, spec.uuid) == {}
    with pytest.raises(NotFound):
        bed.hypervisor.revert_snapshot(spec.uuid, name)
    take(bed, spec.uuid, name)
    assert current(bed, spec.uuid) == [name]


def test_an_undefined_guest_has_none(bed: Bed) -> None:
    spec, (name,) = bed.defined(), names(1)
    take(bed, spec.uuid, name)
    bed.hypervisor.undefine(spec.uuid)
    assert bed.hypervisor.snapshots([spec.uuid, uuid4()]) == {}
    assert bed.hypervisor.remove_snapshot(spec.uuid, name)
    with pytest.raises(NotFound):
        bed.hypervisor.create_snapshot(spec.uuid, SnapshotSpec(name=name, memory=False))
    bed.hypervisor.ensure_defined(spec)
    assert look(bed, spec.uuid) == {}


def test_somebody_elses_guest_is_read_only(bed: Bed) -> None:
    bed.needs("other-process")
    spec, (name,) = bed.defined(), names(1)
    take(bed, spec.uuid, name)
    other = bed.another("00000001")
    assert [state.name for state in other.snapshots([spec.uuid])[spec.uuid]] == [name]
    for call in (
        lambda: other.create_snapshot(spec.uuid, SnapshotSpec(name=names(1)[0], memory=False)),
        lambda: other.revert_snapshot(spec.uuid, name),
        lambda: other.remove_snapshot(spec.uuid, name),
    ):
        with pytest.raises(ForeignObject):
            call()
    assert list(look(bed, spec.uuid)) == [name]
    other.close()


def test_who_comes_back_finds_it(bed: Bed) -> None:
    """Nobody waits for the host: it is asked again and again until it has finished."""
    spec, (name,) = bed.running(), names(1)

    def done() -> bool:
        seen = look(bed, spec.uuid).get(name)
        if seen is None:
            return bed.hypervisor.create_snapshot(spec.uuid, SnapshotSpec(name=name, memory=True), seconds=0.04)
        return seen.complete

    wait_until(done, what="the snapshot")
    assert look(bed, spec.uuid)[name].complete
    assert power(bed, spec.uuid) is Power.RUNNING
