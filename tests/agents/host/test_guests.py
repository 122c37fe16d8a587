"""Guests as QEMU processes in a tree: found, measured, gone."""

import os
import shutil
from pathlib import Path

import pytest

from agents.host.cloudsite_agent.guests import FIND_AGAIN, Guests
from tests.agents.host.tree import ONE, TICKS, TWO, Tree

MIB = 2**20


@pytest.fixture
def guests(tree: Tree) -> Guests:
    return Guests(tree.proc)


def end(tree: Tree, pid: int) -> None:
    shutil.rmtree(tree.proc / str(pid))


def test_a_guest_between_two_samples(tree: Tree, guests: Guests) -> None:
    tree.guest(77, ONE, taps=["vnet0", "vnet1"])
    tree.usage(77, user=100, system=50, resident=256 * MIB)
    first = guests.values(traffic={"vnet0": (0, 0), "vnet1": (0, 0), "eth0": (5, 5)}, now=100.0)
    assert first[ONE] == {
        "cpu": None,
        "memory": 256 * MIB,
        "disk_read": None,
        "disk_write": None,
        "net_receive": None,
        "net_transmit": None,
    }
    tree.usage(77, user=100 + 6 * TICKS, system=50 + TICKS, resident=300 * MIB)
    tree.storage(77, read=5 * MIB, written=10 * MIB)
    second = guests.values(traffic={"vnet0": (500, 1000), "vnet1": (500, 4000), "eth0": (9999, 9999)}, now=105.0)
    assert second[ONE] == {
        "cpu": 1.4,
        "memory": 300 * MIB,
        "disk_read": MIB,
        "disk_write": 2 * MIB,
        "net_receive": 1000,  # what the host sent into the taps
        "net_transmit": 200,
    }


def test_only_qemu_with_a_uuid_is_a_guest(tree: Tree, guests: Guests) -> None:
    tree.guest(10, ONE)
    tree.process(11, "/usr/bin/vim", "-uuid", TWO, comm="vim")
    tree.process(12, "/usr/bin/qemu-system-x86_64", "-machine", "none", comm="qemu-system-x86")
    tree.process(13, "/usr/bin/qemu-system-x86_64", "-uuid", "../../etc/passwd", comm="qemu-system-x86")
    tree.process(14, "/usr/bin/qemu-system-x86_64", "-uuid", comm="qemu-system-x86")
    tree.process(15, comm="kvm-nx-lpage-re")
    tree.process(16, "/bin/sh", "-uuid", TWO, comm="qemu-system-x86")
    tree.write("proc/17/comm", b"")
    assert guests.values(traffic={}, now=1.0).keys() == {ONE}
    assert [guest.name for guest in guests] == ["web"]


def test_the_command_line_of_others_is_not_even_read(tree: Tree, guests: Guests) -> None:
    """A process that is stuck may hold up whoever reads its command line; a FIFO that nobody writes does as well."""
    tree.process(11, "/usr/bin/stuck", comm="stuck")
    (tree.proc / "11" / "cmdline").unlink()
    os.mkfifo(tree.proc / "11" / "cmdline")
    assert guests.values(traffic={}, now=1.0) == {}


def test_libvirts_child_becomes_qemu(tree: Tree, guests: Guests) -> None:
    tree.process(20, "/usr/sbin/libvirtd", comm="libvirtd")
    assert guests.values(traffic={}, now=1.0) == {}
    tree.guest(20, ONE)
    assert guests.values(traffic={}, now=6.0).keys() == {ONE}


def test_a_number_that_was_used_again_is_found_at_the_latest_after_a_minute(tree: Tree, guests: Guests) -> None:
    tree.process(20, "/bin/sh", comm="sh")
    for turn in range(10):
        guests.values(traffic={}, now=float(turn))
    tree.guest(20, ONE)
    assert guests.values(traffic={}, now=10.0) == {}
    assert guests.values(traffic={}, now=FIND_AGAIN).keys() == {ONE}


def test_a_guest_that_ends_is_gone_and_may_come_again(tree: Tree, guests: Guests) -> None:
    tree.guest(30, ONE)
    tree.guest(31, TWO)
    guests.values(traffic={}, now=1.0)
    end(tree, 30)
    assert guests.values(traffic={}, now=6.0).keys() == {TWO}
    tree.guest(32, ONE)
    values = guests.values(traffic={}, now=11.0)
    assert values.keys() == {ONE, TWO}
    assert values[ONE]["cpu"] is None, "nothing is compared with what an earlier process used"


def test_two_that_claim_one_name(tree: Tree, guests: Guests) -> None:
    tree.guest(40, ONE)
    tree.guest(41, ONE)
    tree.usage(40, resident=MIB)
    tree.usage(41, resident=2 * MIB)
    assert guests.values(traffic={}, now=1.0)[ONE]["memory"] == MIB


def test_without_the_right_to_read_storage_and_descriptors(tree: Tree, guests: Guests) -> None:
    tree.guest(50, ONE, taps=["vnet0"])
    (tree.proc / "50" / "io").unlink()
    shutil.rmtree(tree.proc / "50" / "fd")
    for now in (1.0, 6.0):
        values = guests.values(traffic={"vnet0": (1, 1)}, now=now)[ONE]
    assert values["cpu"] == 0.0
    assert (values["disk_read"], values["net_receive"]) == (None, None)


def test_an_interface_that_is_plugged_in_later(tree: Tree, guests: Guests) -> None:
    tree.guest(60, ONE)
    for turn in range(5):
        guests.values(traffic={}, now=float(turn * 5))
    tree.tap(60, 33, "vnet9")
    later = {"vnet9": (0, 0)}
    guests.values(traffic=later, now=FIND_AGAIN + 60)
    assert guests.values(traffic={"vnet9": (500, 1000)}, now=FIND_AGAIN + 65)[ONE]["net_receive"] == 200


@pytest.mark.parametrize("name", ["a) S 1 1 1", "((((", "", "x y z", "\n) R"])
def test_the_name_of_the_program_may_hold_anything(tree: Tree, guests: Guests, name: str) -> None:
    tree.guest(70, ONE)
    guests.values(traffic={}, now=1.0)
    tree.usage(70, user=TICKS, resident=MIB, name=name)
    values = guests.values(traffic={}, now=2.0)[ONE]
    assert (values["cpu"], values["memory"]) == (1.0, MIB)


@pytest.mark.parametrize("garbage", [b"", b"\xff\0", b"1 (x) S", b"1 (x) " + b"a " * 60])
@pytest.mark.parametrize("file", ["stat", "io", "fdinfo/20"])
def test_garbage_about_one_guest_leaves_the_others_alone(tree: Tree, guests: Guests, file: str, garbage: bytes) -> None:
    tree.guest(80, ONE, taps=["vnet0"])
    tree.guest(81, TWO)
    tree.usage(81, resident=MIB)
    tree.write(f"proc/80/{file}", garbage)
    for now in (1.0, 6.0):
        values = guests.values(traffic={"vnet0": (1, 1)}, now=now)
    assert values[TWO]["memory"] == MIB
    assert values[ONE].keys() == values[TWO].keys()


def test_descriptors_are_kept_and_given_back(tree: Tree, guests: Guests) -> None:
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    for pid in range(100, 150):
        tree.guest(pid, f"6b2f4a9e-1c1d-4a52-9d63-0d2f8f4f{pid:04d}")
    for now in (1.0, 6.0, 11.0):
        guests.values(traffic={}, now=now)
    assert len(list(descriptors.iterdir())) == before + 100
    shutil.rmtree(tree.proc)
    tree.proc.mkdir()
    assert guests.values(traffic={}, now=16.0) == {}
    assert len(list(descriptors.iterdir())) == before
