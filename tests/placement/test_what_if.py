"""What-if questions: nothing is over a limit, nothing gets lost, and a quick count is the slow one."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.placement.engine.decide import decide
from apps.placement.engine.filters import RESOURCES
from apps.placement.engine.snapshot import HostView, Request
from apps.placement.engine.what_if import (
    Cloud,
    Machine,
    grown,
    hosts_in_use,
    joined,
    left,
    losses,
    over,
    replaced_by,
    room_for,
    watts,
)
from apps.placement.policy.language import policy_read
from apps.placement.policy.shipped import shipped
from tests.placement.hosts import HOST, host, host_lists
from tests.placement.policies import policies

SPREAD, PACK, ENERGY = (shipped(name) for name in ("spread", "pack", "energy"))
SMALL = Request(vcpus=1, memory_mib=1064, disk_gib=5)
sizes = st.builds(Request, vcpus=st.integers(0, 8), memory_mib=st.integers(1, 16), disk_gib=st.integers(0, 8))


def machine(name: str, on: str, request: Request = SMALL, **more: object) -> Machine:
    return Machine(id=f"id-{name}", name=name, host=on, request=request, **{"policy": SPREAD, **more})  # type: ignore[arg-type]


def carrying(name: str, *requests: Request, **more: object) -> tuple[HostView, tuple[Machine, ...]]:
    """A host, and the machines that its claims are from."""
    sums = [sum(resource.needs(request) for request in requests) for resource in RESOURCES]
    view = host(name, vcpus=sums[0], memory=sums[1], disk=sums[2], vms=len(requests), **more)
    return view, tuple(machine(f"{name}{number}", name, request) for number, request in enumerate(requests))


def cloud_of(*parts: tuple[HostView, tuple[Machine, ...]]) -> Cloud:
    return Cloud(hosts=tuple(view for view, _ in parts), machines=tuple(item for _, held in parts for item in held))


@st.composite
def clouds(draw: st.DrawFn) -> Cloud:
    """Hosts of every kind with machines of ours beside what is not ours."""
    views, machines = draw(host_lists()), []
    policy = draw(st.sampled_from([SPREAD, PACK, ENERGY, shipped("performance")]))
    for place, view in enumerate(views):
        for number, request in enumerate(draw(st.lists(sizes, max_size=4))):
            machines.append(machine(f"m{place}-{number}", view.name, request, policy=policy))
            views[place] = replace(
                views[place],
                vms=views[place].vms + 1,
                **{
                    name: replace(room, claimed=room.claimed + resource.needs(request))
                    for name, resource in zip(("vcpus", "memory", "disk"), RESOURCES, strict=True)
                    for room in (resource.room(views[place]),)
                },
            )
    return Cloud(hosts=tuple(views), machines=tuple(machines))


@settings(max_examples=30, deadline=None)
@given(clouds())
def test_the_loss_of_a_host(cloud: Cloud) -> None:
    before = {view.name: view for view in cloud.hosts}
    for lost in before:
        moved = left(cloud, [lost])
        displaced = {item.id for item in cloud.machines if item.host == lost}
        assert {item.id for item, _ in moved.placed} | {item.id for item in moved.homeless} == displaced
        assert len(moved.placed) + len(moved.homeless) == len(displaced)
        for view in moved.cloud.hosts:
            came = [item.request for item, where in moved.placed if where == view.name]
            for resource in RESOURCES:
                more = sum(resource.needs(request) for request in came)
                room = resource.room(view)
                assert room.claimed == resource.room(before[view.name]).claimed + more
                assert not more or room.claimed <= room.limit
        for item in moved.homeless:
            assert decide(hosts=moved.cloud.hosts, request=item.request, policy=item.policy).winner is None
    told = {loss.host: len(loss.homeless) for loss in losses(cloud)}
    assert told == {name: len(left(cloud, [name]).homeless) for name in {item.host for item in cloud.machines}}


@settings(max_examples=30, deadline=None)
@given(host_lists(), sizes, policies())
def test_the_room_is_what_can_be_placed_one_after_the_other(
    views: list[HostView], request: Request, policy: object
) -> None:
    many = tuple(machine(f"n{number}", "lost", request, policy=policy) for number in range(200))
    lost = replace(HOST, name="lost", id="id-lost")
    moved = left(Cloud(hosts=(*views, lost), machines=many), ["lost"])
    room = room_for(views, request, policy)  # type: ignore[arg-type]
    assert min(sum(room.values()), 200) == len(moved.placed)
    if moved.homeless:
        assert {name: [where for _, where in moved.placed].count(name) for name in room} == room


@settings(max_examples=20, deadline=None)
@given(clouds(), st.integers(0, 300))
def test_growth(cloud: Cloud, percent: int) -> None:
    assert grown(cloud, 0, overhead_mib=64) == cloud
    bigger = grown(cloud, percent, overhead_mib=0)
    for old, new in zip(cloud.hosts, bigger.hosts, strict=True):
        assert all(resource.room(old).claimed <= resource.room(new).claimed for resource in RESOURCES)
        ours = [item.request for item in bigger.machines if item.host == new.name]
        foreign = old.memory.claimed - sum(item.request.memory_mib for item in cloud.machines if item.host == old.name)
        assert new.memory.claimed == foreign + sum(request.memory_mib for request in ours)


@settings(max_examples=15, deadline=None)
@given(clouds(), st.randoms(use_true_random=False))
def test_the_order_of_the_hosts_changes_no_answer(cloud: Cloud, random: object) -> None:
    hosts = list(cloud.hosts)
    random.shuffle(hosts)  # type: ignore[attr-defined]
    assert losses(replace(cloud, hosts=tuple(hosts))) == losses(cloud)


def test_growth_in_numbers() -> None:
    cloud = cloud_of(carrying("a", Request(vcpus=4, memory_mib=1064, disk_gib=10), SMALL))
    bigger = grown(cloud, 20, overhead_mib=64)
    assert [item.request for item in bigger.machines] == [
        Request(vcpus=5, memory_mib=1264, disk_gib=12),
        Request(vcpus=1, memory_mib=1264, disk_gib=6),
    ]
    tight = replace(cloud, hosts=(replace(cloud.hosts[0], memory=replace(cloud.hosts[0].memory, limit=2300)),))
    assert [(item.host, item.resource, item.excess) for item in over(grown(tight, 20, overhead_mib=64))] == [
        ("a", "memory", 228)
    ]


def test_no_host_can_be_lost_where_the_others_are_full() -> None:
    big = Request(vcpus=1, memory_mib=9000, disk_gib=1)
    cloud = cloud_of(carrying("a", big, SMALL), carrying("b", big))
    first, second = losses(cloud)
    assert [(loss.host, loss.machines, [item.name for item in loss.homeless]) for loss in (first, second)] == [
        ("a", 2, ["a0"]),
        ("b", 1, ["b0"]),
    ]
    helped = losses(joined(cloud, [host("c")]))
    assert [loss.homeless for loss in helped] == [(), ()]


def test_each_machine_goes_by_its_own_policy() -> None:
    first, held = carrying("a", SMALL, SMALL)
    cloud = Cloud(
        hosts=(first, host("b", memory=4000), host("c")),
        machines=(replace(held[0], policy=PACK), held[1]),
    )
    assert {item.name: where for item, where in left(cloud, ["a"]).placed} == {"a0": "b", "a1": "c"}


def test_the_room_obeys_the_number_of_machines() -> None:
    few = policy_read("{name: few, filters: {max_vms: 3}, score: [{metric: vms}]}")
    assert room_for([host("a", vms=1), host("b", vms=3)], SMALL, few) == {"a": 2}
    assert room_for([], SMALL, SPREAD) == {}


@pytest.mark.parametrize("policy", [SPREAD, ENERGY])
def test_what_energy_saves(policy: object) -> None:
    """Four small machines on three hosts of 2 CPUs: 60 W idle, 60 W for each reserved CPU, empty hosts off."""
    cloud = cloud_of(carrying("a", SMALL, SMALL), carrying("b", SMALL), carrying("c", SMALL))
    moved = replaced_by(cloud, policy)  # type: ignore[arg-type]
    assert not moved.homeless and sum(view.vcpus.claimed for view in moved.cloud.hosts) == 4
    used, power = (1, 180.0) if policy is ENERGY else (3, 60 * 3 + 60 * 4)
    assert (hosts_in_use(moved.cloud.hosts), watts(moved.cloud.hosts, ENERGY)) == (used, power)
    assert watts([], ENERGY) == 0
