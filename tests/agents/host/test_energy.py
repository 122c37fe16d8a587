"""Watts, and where they come from."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from agents.host.cloudsite_agent.energy import LONGEST_SECONDS, Energy, consumed
from tests.agents.host.tree import Tree

LIMIT = 262_143_328_850


def energy(tree: Tree, *, idle: float | None = None, most: float | None = None) -> Energy:
    return Energy(tree.sys, idle_watts=idle, max_watts=most)


def watts(meter: Energy, now: float, cpu: float | None = 0.5) -> float | str | None:
    return meter.values(now=now, cpu=cpu)["watts"]


@given(
    limit=some.integers(1, 2**48), start=some.integers(0, 2**48), steps=some.lists(some.integers(0, 2**48), max_size=20)
)
def test_a_counter_that_begins_again_loses_nothing(limit: int, start: int, steps: list[int]) -> None:
    """Whatever was used between readings, as long as it was less than a whole round, is found again exactly."""
    counter = start % (limit + 1)
    for step in (step % (limit + 1) for step in steps):
        reading = (counter + step) % (limit + 1)
        assert consumed(counter, reading, limit) == step
        counter = reading


@settings(max_examples=40)
@given(old=some.integers(), new=some.integers(), limit=some.integers(1, 2**40))
def test_what_is_consumed_is_never_negative_nor_more_than_a_round(old: int, new: int, limit: int) -> None:
    used = consumed(old, new, limit)
    assert used is None or 0 <= used <= limit


def test_packages_and_their_memory_are_added_up_and_nothing_twice(tree: Tree) -> None:
    zones = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "uncore",
        "intel-rapl:0:2": "dram",
        "intel-rapl:1": "package-1",
        "intel-rapl:2": "psys",
        "intel-rapl-mmio:0": "package-0",
    }
    for name, label in zones.items():
        tree.zone(name, label, 1_000_000)
    meter = energy(tree)
    assert meter.values(now=100.0, cpu=0.5) == {"watts": None, "energy_source": "rapl"}
    for name, label in zones.items():
        tree.zone(name, label, 1_000_000 + 50_000_000)
    assert watts(meter, 105.0) == 30.0, "two packages and one memory with 10 W each"


def test_a_wrap_around_between_two_samples(tree: Tree) -> None:
    tree.zone("intel-rapl:0", "package-0", LIMIT - 10_000_000)
    meter = energy(tree)
    watts(meter, 100.0)
    tree.zone("intel-rapl:0", "package-0", 40_000_000 - 1)
    assert watts(meter, 105.0) == 10.0


@pytest.mark.parametrize("reading", ["garbage", "", "-5", str(LIMIT + 1)])
def test_an_impossible_reading_gives_no_watts(tree: Tree, reading: str) -> None:
    tree.zone("intel-rapl:0", "package-0", 1_000_000)
    meter = energy(tree)
    watts(meter, 100.0)
    tree.write("sys/class/powercap/intel-rapl:0/energy_uj", reading)
    assert watts(meter, 105.0) is None
    tree.zone("intel-rapl:0", "package-0", 2_000_000)
    assert watts(meter, 110.0) is None
    tree.zone("intel-rapl:0", "package-0", 52_000_000)
    assert watts(meter, 115.0) == 10.0


def test_a_counter_that_was_reset_is_no_lightning(tree: Tree) -> None:
    """It looks like a wrap-around in which a quarter of a megajoule was used in five seconds."""
    tree.zone("intel-rapl:0", "package-0", 5_000_000)
    meter = energy(tree)
    watts(meter, 100.0)
    tree.zone("intel-rapl:0", "package-0", 0)
    assert watts(meter, 105.0) is None


def test_after_a_long_pause_nobody_knows_how_often_it_wrapped_around(tree: Tree) -> None:
    tree.zone("intel-rapl:0", "package-0", 0)
    meter = energy(tree)
    watts(meter, 100.0)
    tree.zone("intel-rapl:0", "package-0", 5_000_000)
    assert watts(meter, 101.0 + LONGEST_SECONDS) is None


def test_a_sensor_where_there_are_no_counters(tree: Tree) -> None:
    tree.zone("intel-rapl:0", "package-0", 1, limit=0)
    tree.chip(0, "amdgpu", power1_average="250000000")
    tree.chip(1, "power_meter", power1_average="87500000", power1_input="99000000")
    assert energy(tree, idle=10, most=50).values(now=1.0, cpu=None) == {"watts": 87.5, "energy_source": "hwmon"}


def test_a_sensor_that_knows_the_moment_alone(tree: Tree) -> None:
    tree.chip(0, "ina226", power1_input="12340000")
    meter = energy(tree)
    assert watts(meter, 1.0) == 12.34
    tree.chip(0, "ina226", power1_input="garbage")
    assert watts(meter, 2.0) is None


def test_a_model_where_there_is_no_sensor(tree: Tree) -> None:
    tree.chip(0, "amdgpu", power1_average="250000000")
    meter = energy(tree, idle=20, most=100)
    assert meter.values(now=1.0, cpu=0.25) == {"watts": 40.0, "energy_source": "model"}
    assert meter.values(now=1.0, cpu=None) == {"watts": None, "energy_source": "model"}


@pytest.mark.parametrize(("idle", "most"), [(None, None), (20, None), (None, 100)])
def test_nothing_is_invented(tree: Tree, idle: float | None, most: float | None) -> None:
    assert energy(tree, idle=idle, most=most).values(now=1.0, cpu=0.5) == {"watts": None, "energy_source": None}
