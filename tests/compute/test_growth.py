"""What of a resize a running machine can have."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.compute.growth import Numbers, needs_stop, resized

FIELDS = ("vcpus", "memory_mib", "disk_gib", "max_vcpus", "max_memory_mib")


@st.composite
def machines(draw: st.DrawFn) -> Numbers:
    vcpus, memory = draw(st.integers(1, 8)), draw(st.integers(64, 512))
    return Numbers(
        vcpus=vcpus,
        memory_mib=memory,
        disk_gib=draw(st.integers(1, 8)),
        max_vcpus=draw(st.none() | st.integers(vcpus, 12)),
        max_memory_mib=draw(st.none() | st.integers(memory, 1024)),
    )


asked_for = st.fixed_dictionaries(
    {},
    optional={
        "vcpus": st.integers(1, 12),
        "memory_mib": st.integers(64, 1024),
        "disk_gib": st.integers(1, 12),
        "max_vcpus": st.integers(1, 12),
        "max_memory_mib": st.integers(64, 1024),
    },
)


@given(now=machines(), asked=asked_for, live=st.booleans())
def test_what_is_not_named_stays_and_what_is_named_comes(now: Numbers, asked: dict[str, int], live: bool) -> None:
    new = resized(now, live=live, **asked)
    for field in FIELDS:
        if field in asked:
            assert getattr(new, field) == asked[field]
        elif not field.startswith("max_"):
            assert getattr(new, field) == getattr(now, field)
    for most, field in (("max_vcpus", "vcpus"), ("max_memory_mib", "memory_mib")):
        if most not in asked:
            assert (getattr(new, most) or getattr(new, field)) >= getattr(new, field)
            if getattr(now, most) is not None:
                assert getattr(new, most) >= getattr(now, most)


@given(now=machines(), asked=asked_for)
def test_what_a_running_machine_can_have_changes_nothing_that_qemu_was_started_with(
    now: Numbers, asked: dict[str, int]
) -> None:
    new = resized(now, live=True, **asked)
    if not needs_stop(now, new):
        assert (new.most_vcpus, new.most_memory_mib) == (now.most_vcpus, now.most_memory_mib)
        assert now.vcpus <= new.vcpus <= now.most_vcpus
        assert new.memory_mib <= now.most_memory_mib


@given(now=machines(), asked=asked_for, live=st.booleans())
def test_each_reason_names_something_that_would_change(now: Numbers, asked: dict[str, int], live: bool) -> None:
    new = resized(now, live=live, **asked)
    effective = {"max_vcpus": "most_vcpus", "max_memory_mib": "most_memory_mib"}
    for field in needs_stop(now, new, paused=True):
        name = effective.get(field, field)
        assert getattr(now, name) != getattr(new, name)
    assert not needs_stop(now, now, paused=True)


@given(now=machines(), disk=st.integers(1, 12))
def test_a_disk_never_needs_a_stop(now: Numbers, disk: int) -> None:
    assert needs_stop(now, resized(now, live=True, disk_gib=disk), paused=True) == {}


PLAIN = Numbers(vcpus=2, memory_mib=1024, disk_gib=10)
ROOMY = Numbers(vcpus=2, memory_mib=1024, disk_gib=10, max_vcpus=4, max_memory_mib=2048)


@pytest.mark.parametrize(
    ("now", "live", "asked", "most"),
    [
        (PLAIN, False, {"vcpus": 4, "memory_mib": 2048}, (4, 2048)),  # nobody chose room: there is none
        (PLAIN, False, {"vcpus": 1, "memory_mib": 512}, (1, 512)),
        (PLAIN, True, {"memory_mib": 512}, (2, 1024)),  # QEMU has it until it is stopped, and it is claimed
        (ROOMY, False, {"vcpus": 1, "memory_mib": 512}, (4, 2048)),
        (ROOMY, False, {"vcpus": 8, "memory_mib": 4096}, (8, 4096)),
        (ROOMY, False, {"max_vcpus": 2, "max_memory_mib": 1024}, (2, 1024)),
    ],
)
def test_what_becomes_of_the_maxima(now: Numbers, live: bool, asked: dict[str, Any], most: tuple[int, int]) -> None:
    new = resized(now, live=live, **asked)
    assert (new.most_vcpus, new.most_memory_mib) == most
