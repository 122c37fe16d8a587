"""What every implementation of the interface does, real or fake."""

import dataclasses
import io
import os
import queue
from collections.abc import Callable
from ipaddress import IPv4Address
from uuid import uuid4

import pytest

from hypervisor.errors import Conflict, ForeignObject, NotFound, Rejected, StaleFence
from hypervisor.specs import Button, DhcpReservation, DomainSpec, EventKind, HostEvent, PoolSpec, Power
from tests.hypervisor.bed import CIDR, MIB, Bed, refenced, wait_until


# --- the host
def test_facts_are_stable_and_plausible(bed: Bed) -> None:
    first, second = bed.hypervisor.facts(), bed.hypervisor.facts()
    assert first == second
    assert first.cpus > 0
    assert first.memory_mib > 256
    assert first.hostname
    assert bed.architecture in first.architectures
    assert first.boot_id.int != 0


def test_boot_id_is_the_same_for_everybody(bed: Bed) -> None:
    bed.needs("other-process")
    assert bed.another("00000001").facts().boot_id == bed.hypervisor.facts().boot_id


# --- storage
def test_pool_is_made_once(bed: Bed) -> None:
    first, second = bed.hypervisor.ensure_pool(bed.pool), bed.hypervisor.ensure_pool(bed.pool)
    assert (first.name, first.path) == (bed.pool.name, bed.pool.path)
    assert first.capacity_bytes == second.capacity_bytes > 0
    assert 0 < first.available_bytes <= first.capacity_bytes


def test_pool_at_another_path_is_a_conflict(bed: Bed) -> None:
    bed.hypervisor.ensure_pool(bed.pool)
    with pytest.raises(Conflict):
        bed.hypervisor.ensure_pool(PoolSpec(name=bed.pool.name, path=bed.pool.path + "-other"))


def test_volume_is_made_once(bed: Bed) -> None:
    bed.hypervisor.ensure_pool(bed.pool)
    assert bed.hypervisor.volume(bed.pool.name, "disk.qcow2") is None
    made = bed.hypervisor.ensure_volume(bed.volume())
    assert bed.hypervisor.ensure_volume(bed.volume()) == made
    assert bed.hypervisor.volume(bed.pool.name, "disk.qcow2") == made
    assert bed.hypervisor.volumes(bed.pool.name) == [made]
    assert made.capacity_bytes == 8 * MIB
    assert made.path == f"{bed.pool.path}/disk.qcow2"


def test_volume_grows_and_never_shrinks(bed: Bed) -> None:
    bed.needs("files")
    bed.prepare()
    assert bed.hypervisor.ensure_volume(bed.volume(mib=16)).capacity_bytes == 16 * MIB
    assert bed.hypervisor.ensure_volume(bed.volume(mib=4)).capacity_bytes == 16 * MIB


def test_overlay_needs_its_backing_volume(bed: Bed) -> None:
    bed.needs("files")
    bed.prepare()
    assert bed.hypervisor.ensure_volume(bed.volume("over", mib=16, backing="disk")).capacity_bytes == 16 * MIB
    with pytest.raises(Rejected):
        bed.hypervisor.ensure_volume(bed.volume("bad", backing="missing"))


def test_volume_needs_its_pool(bed: Bed) -> None:
    with pytest.raises(NotFound):
        bed.hypervisor.ensure_volume(bed.volume())
    with pytest.raises(NotFound):
        bed.hypervisor.volumes(bed.pool.name)
    assert bed.hypervisor.volume(bed.pool.name, "disk.qcow2") is None


def test_upload_goes_on_where_it_stopped(bed: Bed) -> None:
    bed.needs("files")
    bed.hypervisor.ensure_pool(bed.pool)
    bed.hypervisor.ensure_volume(bed.volume())
    content = io.BytesIO(bytes(range(256)) * 4096)
    pool, name = bed.pool.name, "disk.qcow2"
    sent = bed.hypervisor.upload(pool=pool, name=name, source=content, offset=0, length=300_000)
    assert sent == 300_000
    assert bed.hypervisor.upload(pool=pool, name=name, source=content, offset=sent, length=MIB) == MIB

    def complete() -> bool:
        found = bed.hypervisor.volume(pool, name)
        return found is not None and found.allocated_bytes >= MIB

    wait_until(complete, what="the volume's size")


def test_upload_in_no_time_sends_nothing_and_says_so(bed: Bed) -> None:
    bed.needs("files")
    bed.prepare()
    sent = bed.hypervisor.upload(
        pool=bed.pool.name, name="disk.qcow2", source=io.BytesIO(b"x"), offset=0, length=1, seconds=0
    )
    assert sent == 0


def test_upload_that_is_cut_by_time_goes_on(bed: Bed) -> None:
    bed.needs("files")
    bed.hypervisor.ensure_pool(bed.pool)
    bed.hypervisor.ensure_volume(bed.volume())
    content, pool, name = os.urandom(8 * MIB), bed.pool.name, "disk.qcow2"
    sent = pieces = 0
    while sent < len(content):
        now = bed.hypervisor.upload(
            pool=pool,
            name=name,
            source=io.BytesIO(content),
            offset=sent,
            length=len(content) - sent,
            seconds=0.002,
        )
        assert now > sent, "no progress"
        sent, pieces = now, pieces + 1
    assert pieces > 1
    assert bed.read_file(f"{bed.pool.path}/{name}") in (None, content)


def test_upload_needs_its_volume(bed: Bed) -> None:
    bed.hypervisor.ensure_pool(bed.pool)
    with pytest.raises(NotFound):
        bed.hypervisor.upload(pool=bed.pool.name, name="none.qcow2", source=io.BytesIO(b"x"), offset=0, length=1)


def test_removing_a_volume_twice_is_fine(bed: Bed) -> None:
    bed.prepare()
    bed.hypervisor.remove_volume(bed.pool.name, "disk.qcow2")
    bed.hypervisor.remove_volume(bed.pool.name, "disk.qcow2")
    bed.hypervisor.remove_volume("cs-no-such-pool", "disk.qcow2")
    assert bed.hypervisor.volumes(bed.pool.name) == []


# --- networks
def test_network_is_made_once_and_seen(bed: Bed) -> None:
    bed.hypervisor.ensure_network(bed.network)
    bed.hypervisor.ensure_network(bed.network)
    assert CIDR in bed.hypervisor.used_subnets()
    bed.hypervisor.remove_network(bed.network.name)
    bed.hypervisor.remove_network(bed.network.name)
    assert CIDR not in bed.hypervisor.used_subnets()


def test_network_of_another_installation_is_not_touched(bed: Bed) -> None:
    bed.needs("other-process")
    bed.hypervisor.ensure_network(bed.network)
    other = bed.another("00000002")
    with pytest.raises(ForeignObject):
        other.remove_network(bed.network.name)
    with pytest.raises(ForeignObject):
        other.ensure_network(dataclasses.replace(bed.network, installation="00000002"))
    assert CIDR in bed.hypervisor.used_subnets()


def test_taken_bridge_or_subnet_is_a_conflict(bed: Bed) -> None:
    bed.needs("live-network")
    bed.hypervisor.ensure_network(bed.network)
    same_bridge = dataclasses.replace(bed.network, name=f"cs-{bed.tag}-2", uuid=uuid4())
    same_subnet = dataclasses.replace(same_bridge, bridge=f"ct{bed.tag}")
    for spec in (same_bridge, same_subnet):
        with pytest.raises(Conflict):
            bed.hypervisor.ensure_network(spec)
    bed.hypervisor.remove_network(same_bridge.name)


def test_reservation_follows_its_mac(bed: Bed) -> None:
    bed.hypervisor.ensure_network(bed.network)
    first = DhcpReservation(mac="52:54:00:00:00:01", ip=CIDR[40])
    moved = dataclasses.replace(first, ip=CIDR[41])
    for reservation in (first, first, moved):
        bed.hypervisor.ensure_reservation(bed.network.name, reservation)
    taken = DhcpReservation(mac="52:54:00:00:00:02", ip=CIDR[41])
    if "leases" not in bed.lacks:
        with pytest.raises(Conflict):
            bed.hypervisor.ensure_reservation(bed.network.name, taken)
    bed.hypervisor.remove_reservation(bed.network.name, first.mac)
    bed.hypervisor.remove_reservation(bed.network.name, first.mac)
    bed.hypervisor.ensure_reservation(bed.network.name, taken)


def test_reservation_needs_its_network(bed: Bed) -> None:
    with pytest.raises(NotFound):
        bed.hypervisor.ensure_reservation("cs-none", DhcpReservation(mac=bed.mac(0), ip=IPv4Address(CIDR[9])))
    bed.hypervisor.remove_reservation("cs-none", bed.mac(0))


def test_leases_of_an_idle_network_are_none(bed: Bed) -> None:
    bed.needs("leases")
    bed.hypervisor.ensure_network(bed.network)
    assert bed.hypervisor.leases(bed.network.name) == []
    with pytest.raises(NotFound):
        bed.hypervisor.leases("cs-none")


# --- defining
def test_definition_says_what_the_spec_says(bed: Bed) -> None:
    spec = bed.defined(with_nic=True)
    found = bed.hypervisor.domain(spec.uuid)
    assert found is not None
    assert (found.uuid, found.name, found.title) == (spec.uuid, spec.name, spec.title)
    assert (found.vcpus, found.memory_mib) == (1, 64)
    assert (found.installation, found.fence) == (bed.installation, 1)
    assert (found.power, found.persistent, found.autostart) == (Power.SHUTOFF, True, False)
    assert found.disk_paths == (f"{bed.pool.path}/disk.qcow2",)
    assert found.macs == (bed.mac(0),)
    assert bed.hypervisor.describe([spec.uuid, uuid4()]) == {spec.uuid: found}


def test_defining_again_changes_nothing(bed: Bed) -> None:
    spec = bed.defined()
    before = bed.hypervisor.domain(spec.uuid)
    bed.hypervisor.ensure_defined(spec)
    assert bed.hypervisor.domain(spec.uuid) == before


def test_definition_follows_the_spec(bed: Bed) -> None:
    spec = bed.defined()
    bigger = dataclasses.replace(spec, vcpus=2, memory_mib=96, title="Renamed", nics=())
    bed.hypervisor.ensure_defined(bigger)
    found = bed.hypervisor.domain(spec.uuid)
    assert found is not None
    assert (found.vcpus, found.memory_mib, found.title, found.name) == (2, 96, "Renamed", spec.name)


def test_fence_only_rises(bed: Bed) -> None:
    spec = bed.defined()
    bed.hypervisor.ensure_defined(refenced(spec, 7))
    with pytest.raises(StaleFence):
        bed.hypervisor.ensure_defined(refenced(spec, 6))
    found = bed.hypervisor.domain(spec.uuid)
    assert found is not None
    assert found.fence == 7


def test_fence_of_a_running_guest_rises_too(bed: Bed) -> None:
    spec = bed.running()
    bed.hypervisor.ensure_defined(refenced(spec, 7))
    with pytest.raises(StaleFence):
        bed.hypervisor.ensure_defined(refenced(spec, 6))


def test_name_taken_is_a_conflict(bed: Bed) -> None:
    spec = bed.defined()
    with pytest.raises(Conflict):
        bed.hypervisor.ensure_defined(dataclasses.replace(spec, uuid=uuid4()))


def test_domain_of_another_installation_is_not_touched(bed: Bed) -> None:
    bed.needs("other-process")
    spec = bed.running()
    other = bed.another("00000003")
    marked = dataclasses.replace(spec.metadata, installation="00000003", fence=99)
    acts: tuple[Callable[[], None], ...] = (
        lambda: other.ensure_defined(dataclasses.replace(spec, metadata=marked)),
        lambda: other.ensure_running(spec.uuid),
        lambda: other.power_off(spec.uuid),
        lambda: other.press(spec.uuid, Button.RESET),
        lambda: other.set_paused(spec.uuid, paused=True),
        lambda: other.undefine(spec.uuid),
    )
    for act in acts:
        with pytest.raises(ForeignObject):
            act()
    found = other.domain(spec.uuid)
    assert found is not None
    assert (found.power, found.fence, found.installation) == (Power.RUNNING, 1, bed.installation)


def test_missing_domain(bed: Bed) -> None:
    missing = uuid4()
    assert bed.hypervisor.domain(missing) is None
    assert bed.hypervisor.addresses(missing) == []
    bed.hypervisor.power_off(missing)
    bed.hypervisor.undefine(missing)
    with pytest.raises(NotFound):
        bed.hypervisor.ensure_running(missing)
    with pytest.raises(NotFound):
        bed.hypervisor.press(missing, Button.RESET)


# --- power
def power(bed: Bed, spec: DomainSpec) -> Power:
    found = bed.hypervisor.domain(spec.uuid)
    assert found is not None
    return found.power


def test_start_and_power_off_may_be_repeated(bed: Bed) -> None:
    spec = bed.defined()
    bed.hypervisor.ensure_running(spec.uuid)
    bed.hypervisor.ensure_running(spec.uuid)
    assert power(bed, spec) is Power.RUNNING
    bed.hypervisor.power_off(spec.uuid)
    bed.hypervisor.power_off(spec.uuid)
    assert power(bed, spec) is Power.SHUTOFF


def test_pause_and_resume_may_be_repeated(bed: Bed) -> None:
    spec = bed.running()
    for paused, expected in ((True, Power.PAUSED), (False, Power.RUNNING)):
        bed.hypervisor.set_paused(spec.uuid, paused=paused)
        bed.hypervisor.set_paused(spec.uuid, paused=paused)
        assert power(bed, spec) is expected
    bed.hypervisor.set_paused(spec.uuid, paused=True)
    bed.hypervisor.ensure_running(spec.uuid)
    assert power(bed, spec) is Power.RUNNING


def test_buttons_of_a_guest_that_is_off_do_nothing(bed: Bed) -> None:
    spec = bed.defined()
    for button in Button:
        with pytest.raises(Rejected):
            bed.hypervisor.press(spec.uuid, button)
    with pytest.raises(Rejected):
        bed.hypervisor.set_paused(spec.uuid, paused=True)
    assert power(bed, spec) is Power.SHUTOFF


def test_reset_leaves_a_guest_running(bed: Bed) -> None:
    spec = bed.running()
    bed.hypervisor.press(spec.uuid, Button.RESET)
    assert power(bed, spec) is Power.RUNNING


def test_start_needs_the_disk(bed: Bed) -> None:
    bed.needs("files")
    spec = bed.defined()
    bed.hypervisor.remove_volume(bed.pool.name, "disk.qcow2")
    with pytest.raises(Rejected):
        bed.hypervisor.ensure_running(spec.uuid)
    assert power(bed, spec) is Power.SHUTOFF


def test_start_needs_the_network(bed: Bed) -> None:
    bed.needs("live-network")
    spec = bed.defined(with_nic=True)
    with pytest.raises(NotFound):
        bed.hypervisor.ensure_running(spec.uuid)
    bed.hypervisor.ensure_network(bed.network)
    bed.hypervisor.ensure_running(spec.uuid)
    assert power(bed, spec) is Power.RUNNING


def test_undefine_wants_the_guest_off(bed: Bed) -> None:
    spec = bed.running()
    with pytest.raises(Conflict):
        bed.hypervisor.undefine(spec.uuid)
    bed.hypervisor.power_off(spec.uuid)
    bed.hypervisor.undefine(spec.uuid)
    bed.hypervisor.undefine(spec.uuid)
    assert bed.hypervisor.domain(spec.uuid) is None
    assert bed.hypervisor.volume(bed.pool.name, "disk.qcow2") is not None


# --- reading
def test_domains_lists_power(bed: Bed) -> None:
    spec = bed.defined()
    assert _listed(bed, spec.name) == Power.SHUTOFF
    bed.hypervisor.ensure_running(spec.uuid)
    assert _listed(bed, spec.name) == Power.RUNNING
    bed.hypervisor.power_off(spec.uuid)
    bed.hypervisor.undefine(spec.uuid)
    assert _listed(bed, spec.name) is None


def _listed(bed: Bed, name: str) -> Power | None:
    return next((summary.power for summary in bed.hypervisor.domains() if summary.name == name), None)


def test_addresses_of_a_guest_that_is_off_are_none(bed: Bed) -> None:
    assert bed.hypervisor.addresses(bed.defined(with_nic=True).uuid) == []


# --- events
def test_events_tell_the_life_of_a_domain(bed: Bed) -> None:
    heard: queue.Queue[HostEvent] = queue.Queue()
    subscription = bed.hypervisor.watch(heard.put)
    spec = bed.running()
    bed.hypervisor.power_off(spec.uuid)
    bed.hypervisor.undefine(spec.uuid)
    kinds = [EventKind.DEFINED, EventKind.STARTED, EventKind.STOPPED, EventKind.UNDEFINED]
    seen: list[HostEvent] = []
    while not seen or seen[-1].kind is not EventKind.UNDEFINED:
        event = heard.get(timeout=10)
        if event.uuid == spec.uuid and event.kind in kinds:
            seen.append(event)
    assert [event.kind for event in seen] == kinds
    assert (seen[2].detail, seen[2].name) == ("destroyed", spec.name)
    subscription.close()
    subscription.close()


def test_nothing_is_heard_after_the_subscription_ended(bed: Bed) -> None:
    heard: queue.Queue[HostEvent] = queue.Queue()
    bed.hypervisor.watch(heard.put).close()
    kept: queue.Queue[HostEvent] = queue.Queue()
    still = bed.hypervisor.watch(kept.put)
    bed.defined()
    assert kept.get(timeout=10).kind is EventKind.DEFINED
    assert heard.empty()
    still.close()


# --- the connection
def test_close_is_not_the_end(bed: Bed) -> None:
    bed.needs("other-process")
    facts = bed.hypervisor.facts()
    bed.hypervisor.close()
    bed.hypervisor.close()
    assert bed.hypervisor.facts() == facts
    assert bed.hypervisor.is_alive()
