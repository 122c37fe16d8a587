"""What the agent says of its host, from trees whose numbers are known."""

import json
from pathlib import Path

import pytest

from agents.host.cloudsite_agent.host import Host, boot_id
from tests.agents.host.tree import MEMINFO, Tree

UNTIL_COMPARED = ("cpu", "iowait", "steal", "disk_read", "disk_write", "net_receive", "net_transmit")


@pytest.fixture
def host(tree: Tree) -> Host:
    """One that has been looked at once, at second 100."""
    made = Host(proc=tree.proc, sys=tree.sys)
    made.values(now=100.0, cores=True)
    return made


def test_the_first_sample_has_what_needs_no_comparison(tree: Tree) -> None:
    values = Host(proc=tree.proc, sys=tree.sys).values(now=100.0, cores=True)
    assert {name: values[name] for name in UNTIL_COMPARED} == dict.fromkeys(UNTIL_COMPARED)
    assert values["cores"] is None
    assert values["load1"] == 1.25
    assert (values["psi_cpu"], values["psi_memory"], values["psi_io"]) == (0.5, 0.0, 12.34)
    assert values["memory_total"] == 24684096 * 1024
    assert values["memory_available"] == 22126640 * 1024
    assert (values["swap_total"], values["swap_used"]) == (2 * 2**30, 2**30)
    assert (values["watts"], values["energy_source"], values["temperature"]) == (None, None, None)


def test_shares_of_the_processors(tree: Tree, host: Host) -> None:
    """Core 0: half busy. Core 1: a tenth waiting for disks, a tenth stolen, the rest idle."""
    tree.cpu([20, 5, 20, 50, 0, 3, 2, 0], [0, 0, 0, 80, 10, 0, 0, 10])
    values = host.values(now=105.0, cores=True)
    assert values["cores"] == [0.5, 0.1]
    assert (values["cpu"], values["iowait"], values["steal"]) == (0.3, 0.05, 0.05)
    assert "cores" not in host.values(now=110.0, cores=False)


def test_an_idle_time_that_goes_back_makes_nothing_negative(tree: Tree, host: Host) -> None:
    tree.cpu([10, 0, 0, 90, 10, 0, 0, 0], [0] * 8)
    host.values(now=105.0, cores=True)
    tree.cpu([20, 0, 0, 180, 5, 0, 0, 0], [0] * 8)
    values = host.values(now=110.0, cores=True)
    assert (values["cpu"], values["iowait"]) == (0.1, 0.0)
    assert values["cores"] == [0.1, None], "a core that passed no time is off-line"


def test_physical_disks_only(tree: Tree, host: Host) -> None:
    tree.disks({"loop0": (9, 9, 9, 9), "sda": (50, 1000, 10, 500), "sda1": (50, 1000, 10, 500), "dm-0": (7, 7, 7, 7)})
    values = host.values(now=105.0, cores=False)
    assert (values["disk_read"], values["disk_write"]) == (1000 * 512 // 5, 500 * 512 // 5)
    assert (values["disk_read_ops"], values["disk_write_ops"]) == (10, 2)


def test_a_disk_that_is_plugged_in_brings_no_leap(tree: Tree, host: Host) -> None:
    (tree.sys / "block" / "sdb" / "device").mkdir(parents=True)
    tree.disks({"sda": (0, 10, 0, 0), "sdb": (10**6, 10**9, 10**6, 10**9)})
    assert host.values(now=105.0, cores=False)["disk_read"] == 1024
    tree.disks({"sda": (0, 10, 0, 0), "sdb": (10**6, 10**9 + 10, 10**6, 10**9)})
    assert host.values(now=110.0, cores=False)["disk_read"] == 1024


def test_physical_interfaces_only(tree: Tree, host: Host) -> None:
    tree.interfaces({"lo": (9**9, 9**9), "virbr0": (9**9, 9**9), "vnet0": (9**9, 9**9), "eth0": (5000, 10000)})
    values = host.values(now=105.0, cores=False)
    assert (values["net_receive"], values["net_transmit"]) == (1000, 2000)


def test_counters_that_begin_anew_count_from_the_next_sample_on(tree: Tree, host: Host) -> None:
    tree.interfaces({"eth0": (5000, 10000)})
    host.values(now=105.0, cores=False)
    tree.interfaces({"eth0": (100, 100)})
    assert host.values(now=110.0, cores=False)["net_receive"] is None
    tree.interfaces({"eth0": (600, 100)})
    assert host.values(now=115.0, cores=False)["net_receive"] == 100


def test_two_looks_at_once_say_nothing_about_rates(tree: Tree, host: Host) -> None:
    tree.interfaces({"eth0": (5000, 10000)})
    assert host.values(now=100.0, cores=False)["net_receive"] is None


def test_many_interfaces_are_all_read(tree: Tree, host: Host) -> None:
    """The kernel hands such a list out in pieces; a file is read whole all the same."""
    many = {f"vnet{index}": (index, index) for index in range(2000)}
    tree.interfaces(many | {"eth0": (5000, 10000)})
    assert host.values(now=105.0, cores=False)["net_receive"] == 1000
    assert len(host.interfaces.traffic) == 2001


def test_the_hottest_sensor_of_the_processors(tree: Tree) -> None:
    tree.write("sys/class/thermal/thermal_zone0/temp", "45000\n")
    tree.chip(0, "coretemp", temp1_input="61500", temp2_input="255000", temp3_input="garbage")
    tree.chip(1, "nvme", temp1_input="80000")
    assert Host(proc=tree.proc, sys=tree.sys).values(now=1.0, cores=False)["temperature"] == 61.5


@pytest.mark.parametrize(
    "garbage", [b"", b"\0\xff\xfe", b"cpu a b c d e f g h\nx: y\nsome avg10=nan\n", b"nan\n" * 999]
)
@pytest.mark.parametrize("file", ["stat", "loadavg", "meminfo", "pressure/cpu", "diskstats", "net/dev"])
def test_garbage_in_one_file_leaves_the_others_alone(tree: Tree, host: Host, file: str, garbage: bytes) -> None:
    tree.write(f"proc/{file}", garbage)
    values = host.values(now=105.0, cores=True)
    assert values.keys() >= {"cpu", "load1", "psi_io", "memory_total", "disk_read", "net_receive", "watts"}
    json.dumps(values, allow_nan=False)
    tree.write("proc/meminfo", MEMINFO)
    assert host.values(now=110.0, cores=True)["memory_total"] == 24684096 * 1024


def test_nothing_there_at_all(tmp_path: Path) -> None:
    values = Host(proc=tmp_path / "proc", sys=tmp_path / "sys").values(now=1.0, cores=True)
    assert set(values.values()) == {None}
    assert boot_id(tmp_path / "proc") is None


def test_on_this_machine() -> None:
    host = Host(proc=Path("/proc"), sys=Path("/sys"))
    host.values(now=1.0, cores=True)
    values = host.values(now=2.0, cores=True)
    assert values["memory_total"] > values["memory_available"] > 0
    assert len(boot_id(Path("/proc")) or "") == 36
