"""Hosts for tests of decisions, and hypothesis strategies for everything a decision is made of."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from apps.placement.engine.cpu import expanded
from apps.placement.engine.group import Group, Member
from apps.placement.engine.network import Reach
from apps.placement.engine.snapshot import HostView, Request, Room

HOST = HostView(
    id="id-a",
    name="a",
    up=True,
    enabled=True,
    reason="",
    architectures=("x86_64",),
    vcpus=Room(size=2, limit=16, claimed=0),
    memory=Room(size=16000, limit=16000, claimed=0),
    disk=Room(size=50, limit=100, claimed=0),
    proven=True,
)
REQUEST = Request(vcpus=2, memory_mib=2112, disk_gib=10)
amount = st.integers(0, 64)


def host(name: str, *, vcpus: int = 0, memory: int = 0, disk: int = 0, **more: Any) -> HostView:
    """``HOST`` by another name, with so much claimed."""
    claimed = {
        "vcpus": replace(HOST.vcpus, claimed=vcpus),
        "memory": replace(HOST.memory, claimed=memory),
        "disk": replace(HOST.disk, claimed=disk),
    }
    return replace(HOST, id=f"id-{name}", name=name, **{**claimed, **more})


rooms = st.builds(Room, size=amount, limit=amount, claimed=amount)
labels = st.dictionaries(
    st.sampled_from(["ssd", "rack", "idle_watts", "max_watts"]),
    st.sampled_from(["true", "a", True, False, 3, 2.5, "12", "nan", -1e308]),
    max_size=3,
)


@st.composite
def host_lists(draw: st.DrawFn) -> list[HostView]:
    """Hosts with distinct names, some down, closed, foreign, stale or overcommitted."""
    names = draw(st.lists(st.text("abc", min_size=1, max_size=3), unique=True, max_size=8))
    return [
        HostView(
            id=f"id-{name}",
            name=name,
            up=draw(st.booleans()),
            enabled=draw(st.booleans()),
            reason=draw(st.sampled_from(["", "unreachable: no route"])),
            architectures=draw(st.sampled_from([(), ("x86_64",), ("aarch64", "x86_64")])),
            uefi=draw(st.sampled_from([(), ("x86_64",)])),
            native=draw(st.sampled_from(["x86_64", "aarch64"])),
            accelerator=draw(st.sampled_from(["", "kvm", "tcg"])),
            proven=draw(st.booleans()),
            vms=draw(st.integers(0, 4)),
            age_s=draw(st.sampled_from([None, 0.0, 9.4, 60.0, 1e6])),
            image_cached=draw(st.booleans()),
            cpu_features=draw(st.sampled_from([None, (), ("aes",), tuple(sorted(expanded(["aes", "x86-64-v3"])))])),
            pull_interval_s=draw(st.sampled_from([5, 10, 600])),
            labels=draw(labels),
            vcpus=draw(rooms),
            memory=draw(rooms),
            disk=draw(rooms),
        )
        for name in names
    ]


def members(names: list[str]) -> tuple[Member, ...]:
    """One of a group on each of these hosts."""
    return tuple(Member(name=f"on-{name}", host_id=f"id-{name}", host=name) for name in names)


groups = st.builds(
    Group,
    id=st.just("g"),
    name=st.just("db"),
    rule=st.sampled_from(["affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"]),
    members=st.lists(st.sampled_from(["a", "b", "ab", "gone"]), max_size=4).map(members),
)
requests = st.builds(
    Request,
    vcpus=st.integers(0, 64),
    memory_mib=st.integers(0, 64),
    disk_gib=st.integers(0, 64),
    architecture=st.sampled_from(["x86_64", "aarch64", ""]),
    firmware=st.sampled_from(["bios", "bios", "uefi"]),
    host_id=st.sampled_from([None, None, None, "id-a", "id-nowhere"]),
    group=st.none() | groups,
    network=st.sampled_from([None, None, Reach(name="lab", host_id="id-a", host="a")]),
    cpu_features=st.sampled_from([(), (), ("aes",), ("x86-64-v2",), ("aes", "x86-64-v4")]),
)
