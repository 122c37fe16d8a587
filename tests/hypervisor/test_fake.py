"""The fake's own promises: shared between processes, faults where they were asked for, traces of the
killed.
"""

import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Literal

import pytest

from hypervisor.errors import HostUnreachable, OutOfSpace, Rejected
from hypervisor.fake import FakeHost, FakeHypervisor, Fault
from hypervisor.specs import Button, EventKind, HostEvent, Power
from tests.hypervisor.bed import Bed, wait_until


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path, "h1")


@pytest.fixture
def bed(host: FakeHost) -> Bed:
    def connect(installation: str) -> FakeHypervisor:
        return FakeHypervisor(host, installation)

    return Bed(hypervisor=connect("1a2b3c4d"), another=connect, installation="1a2b3c4d")


def test_unplugged_host_is_unreachable_and_keeps_its_state(bed: Bed, host: FakeHost) -> None:
    spec = bed.running()
    heard: queue.Queue[HostEvent] = queue.Queue()
    bed.hypervisor.watch(heard.put)
    host.unplug()
    with pytest.raises(HostUnreachable):
        bed.hypervisor.domains()
    assert not bed.hypervisor.is_alive()
    assert heard.get(timeout=5).kind is EventKind.DISCONNECTED
    host.plug()
    assert [summary.uuid for summary in bed.hypervisor.domains()] == [spec.uuid]


def test_reboot_switches_guests_off_and_changes_the_boot_id(bed: Bed, host: FakeHost) -> None:
    spec, before = bed.running(), bed.hypervisor.facts().boot_id
    host.reboot()
    assert bed.hypervisor.facts().boot_id != before
    found = bed.hypervisor.domain(spec.uuid)
    assert found is not None
    assert found.power is Power.SHUTOFF


@pytest.mark.parametrize(("moment", "power"), [("before", Power.SHUTOFF), ("after", Power.RUNNING)])
def test_lost_answer_leaves_the_outcome_open(
    bed: Bed, host: FakeHost, moment: Literal["before", "after"], power: Power
) -> None:
    spec = bed.defined()
    host.inject(Fault(method="ensure_running", moment=moment, action="unreachable"))
    with pytest.raises(HostUnreachable):
        bed.hypervisor.ensure_running(spec.uuid)
    found = bed.hypervisor.domain(spec.uuid)
    assert found is not None
    assert found.power is power
    bed.hypervisor.ensure_running(spec.uuid)


def test_fault_happens_as_often_as_asked(bed: Bed, host: FakeHost) -> None:
    host.inject(Fault(method="facts", action="reject", times=2))
    for _ in range(2):
        with pytest.raises(Rejected):
            bed.hypervisor.facts()
    bed.hypervisor.facts()
    host.inject(Fault(action="out-of-space", times=None))
    for _ in range(3):
        with pytest.raises(OutOfSpace):
            bed.hypervisor.facts()
    host.clear_faults()
    bed.hypervisor.facts()


def test_hanging_call_ends_when_released(bed: Bed, host: FakeHost) -> None:
    host.inject(Fault(method="facts", action="hang", seconds=30))
    failed = threading.Event()

    def call() -> None:
        with pytest.raises(HostUnreachable):
            bed.hypervisor.facts()
        failed.set()

    thread = threading.Thread(target=call)
    thread.start()
    wait_until(lambda: host.faults_left() == 0, what="the call that hangs")
    bed.hypervisor.domains()
    assert not failed.is_set()
    host.release()
    thread.join(5)
    assert failed.is_set()


def test_hanging_call_ends_in_its_time(bed: Bed, host: FakeHost) -> None:
    host.inject(Fault(action="hang", seconds=0.2))
    started = time.monotonic()
    with pytest.raises(HostUnreachable):
        bed.hypervisor.facts()
    assert 0.2 <= time.monotonic() - started < 3


KILLED = """
import sys
from pathlib import Path
from uuid import UUID
from hypervisor.fake import FakeHost, FakeHypervisor

FakeHypervisor(FakeHost(Path(sys.argv[1]), "h1"), "1a2b3c4d").ensure_running(UUID(sys.argv[2]))
"""


@pytest.mark.parametrize(("moment", "power"), [("before", Power.SHUTOFF), ("after", Power.RUNNING)])
def test_killed_process_leaves_what_it_had_done(
    bed: Bed, host: FakeHost, tmp_path: Path, moment: Literal["before", "after"], power: Power
) -> None:
    spec = bed.defined()
    host.inject(Fault(method="ensure_running", moment=moment, action="kill"))
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(spec.uuid)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert done.returncode == 137
    found = bed.hypervisor.domain(spec.uuid)
    assert found is not None
    assert found.power is power


def test_what_others_do_is_seen(bed: Bed, host: FakeHost) -> None:
    spec = bed.running()
    heard: list[HostEvent] = []
    bed.hypervisor.watch(heard.append)
    host.stop_domain(spec.uuid, reason="crashed")
    host.start_domain(spec.uuid)
    foreign = host.add_foreign_domain("theirs")
    host.remove_domain(spec.uuid)
    kinds = [EventKind.STOPPED, EventKind.STARTED, EventKind.DEFINED, EventKind.UNDEFINED]
    wait_until(lambda: len(heard) == len(kinds), what="four events")
    assert [event.kind for event in heard] == kinds
    assert heard[0].detail == "crashed"
    assert [summary.uuid for summary in bed.hypervisor.domains()] == [foreign]
    found = bed.hypervisor.domain(foreign)
    assert found is not None
    assert found.installation is None


def test_guest_may_ignore_the_button(bed: Bed, host: FakeHost) -> None:
    spec = bed.running()
    host.configure(obeys_acpi=False)
    bed.hypervisor.press(spec.uuid, Button.SHUTDOWN)
    found = bed.hypervisor.domain(spec.uuid)
    assert found is not None
    assert found.power is Power.RUNNING
    with pytest.raises(ValueError, match="fake host has no"):
        host.configure(colour="red")


def test_disk_of_the_host_can_be_full(bed: Bed, host: FakeHost, tmp_path: Path) -> None:
    bed.prepare()
    host.configure(capacity_bytes=10)
    with (tmp_path / "content").open("w+b") as content:
        content.write(bytes(100))
        with pytest.raises(OutOfSpace):
            bed.hypervisor.upload(pool=bed.pool.name, name="disk.qcow2", source=content, offset=0, length=100)


def test_many_threads_share_one_host(bed: Bed, host: FakeHost) -> None:
    bed.prepare()
    specs = [bed.domain(f"g{number}") for number in range(20)]

    def start(number: int) -> None:
        bed.hypervisor.ensure_defined(specs[number])
        bed.hypervisor.ensure_running(specs[number].uuid)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [summary.power for summary in bed.hypervisor.domains()] == [Power.RUNNING] * 20
