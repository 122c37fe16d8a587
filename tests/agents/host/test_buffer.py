"""The buffer: in order, nothing lost that was written, bounded, whatever happens to the process and the disk."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agents.host.cloudsite_agent import buffer as module
from agents.host.cloudsite_agent.buffer import Buffer
from agents.host.cloudsite_agent.segment import MOST_RECORD, FileSegment, decode, encode

DAYS = 2 * 86400.0


def made(directory: Path, *, most_bytes: int = 2**20, clock: float = 1000.0) -> Buffer:
    return Buffer(directory, most_bytes=most_bytes, most_seconds=DAYS, clock=lambda: clock)


def record(number: int) -> bytes:
    return b'{"at":%d}' % number


def rest(buffer: Buffer, *, at_once: int = 7) -> list[bytes]:
    """Everything that waits, taken as a pusher does."""
    found = []
    while batch := buffer.oldest(most_records=at_once, most_bytes=10**6):
        assert 1 <= len(batch.records) <= at_once
        found += batch.records
        buffer.acknowledge(batch.end)
    return found


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "buffer"


class AnyOrder(RuleBasedStateMachine):
    """Any order of writing, asking, acknowledging and restarting, against a plain list. Segments are tiny, so that
    there are many.
    """

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="cs-buffer-"))
        self.expected: list[bytes] = []
        self.counter = 0
        self.open()

    def open(self) -> None:
        self.buffer = made(self.directory)
        self.buffer._segment_bytes = 200

    @rule(size=some.integers(0, 300))
    def append(self, size: int) -> None:
        self.counter += 1
        content = b'{"at":%d,"%b":0}' % (self.counter, os.urandom(size // 2).hex().encode())
        self.buffer.append(content)
        self.expected.append(content)

    @rule(most_records=some.integers(1, 5), most_bytes=some.integers(1, 1000), times=some.integers(1, 3))
    def send(self, most_records: int, most_bytes: int, times: int) -> None:
        """Asked again without an acknowledgement, the answer is the same; acknowledged twice, nothing happens."""
        batch = self.buffer.oldest(most_records=most_records, most_bytes=most_bytes)
        assert batch == self.buffer.oldest(most_records=most_records, most_bytes=most_bytes)
        assert (batch is None) == (not self.expected)
        if batch is not None:
            count = len(batch.records)
            assert batch.records == self.expected[:count]
            assert count == 1 or sum(map(len, batch.records)) + count <= most_bytes
            for _ in range(times):
                self.buffer.acknowledge(batch.end)
            del self.expected[:count]

    @rule(torn=some.binary(max_size=20))
    def killed(self, torn: bytes) -> None:
        """Without a last word, and in the middle of writing the next line."""
        segments = sorted(self.directory.glob("*.samples"))
        if segments and torn:
            with segments[-1].open("ab") as file:
                file.write(torn.replace(b"\n", b""))
        self.open()

    @invariant()
    def the_first_that_waits_is_the_oldest(self) -> None:
        batch = self.buffer.oldest(most_records=1, most_bytes=1)
        assert (batch.records if batch else []) == self.expected[:1]

    def teardown(self) -> None:
        assert rest(self.buffer) == self.expected
        assert sum(path.stat().st_size for path in self.directory.glob("*.samples")) < 2**20
        self.buffer.close()
        shutil.rmtree(self.directory)


AnyOrder.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase


def test_killed_at_any_byte(tmp_path: Path) -> None:
    """What was written whole is there after the restart, and what is written after it is not glued to the torn end."""
    directory = tmp_path / "whole"
    buffer = made(directory)
    for number in range(4):
        buffer.append(record(number))
    (file,) = directory.glob("*.samples")
    content = file.read_bytes()
    for cut in range(len(content) + 1):
        after = tmp_path / f"cut{cut}"
        after.mkdir()
        (after / file.name).write_bytes(content[:cut])
        os.utime(after / file.name, (1000, 1000))
        again = made(after)
        again.append(record(99))
        whole = content[:cut].count(b"\n")
        assert rest(again) == [*(record(number) for number in range(whole)), record(99)]
        assert again.losses.unreadable == (0 if content[:cut].endswith(b"\n") or cut == 0 else 1)
        again.close()
        shutil.rmtree(after)


@given(content=some.binary(max_size=300), place=some.binary(max_size=30))
@settings(max_examples=30, deadline=None)
def test_garbage_on_the_disk_is_passed_over(content: bytes, place: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="cs-buffer-") as name:
        directory = Path(name)
        (directory / "000000000003.samples").write_bytes(encode(b"{}") + content)
        (directory / "place").write_bytes(place)
        (directory / "notes.samples").write_bytes(b"not ours")
        os.utime(directory / "000000000003.samples", (1000, 1000))
        buffer = made(directory)
        buffer.append(record(1))
        assert rest(buffer)[-1] == record(1)
        buffer.close()


@pytest.mark.parametrize("damaged", range(20))
def test_a_damaged_line_costs_itself_alone(directory: Path, damaged: int) -> None:
    buffer = made(directory)
    for number in range(3):
        buffer.append(record(number))
    buffer.close()
    (file,) = directory.glob("*.samples")
    first, second, third = file.read_bytes().splitlines(keepends=True)
    spot = damaged % (len(second) - 1)
    second = second[:spot] + (b"A" if second[spot : spot + 1] != b"A" else b"B") + second[spot + 1 :]
    file.write_bytes(first + second + third)
    assert rest(made(directory)) in ([record(0), record(2)], [record(0), record(1), record(2)])


def test_the_oldest_go_when_there_is_no_room(directory: Path) -> None:
    buffer = made(directory, most_bytes=4000)
    for number in range(500):
        buffer.append(record(number))
        assert sum(path.stat().st_size for path in directory.glob("*.samples")) <= 4000
    kept = rest(buffer)
    assert kept == [record(number) for number in range(500 - len(kept), 500)]
    assert len(kept) > 50
    assert buffer.losses.dropped_bytes > 0


def test_what_is_too_old_goes(directory: Path) -> None:
    now = 1000.0
    buffer = Buffer(directory, most_bytes=2**20, most_seconds=DAYS, clock=lambda: now)
    buffer.append(record(1))
    now += DAYS / 2
    buffer.append(record(2))
    now += DAYS / 2 + 1
    buffer.append(record(3))
    assert rest(buffer) == [record(2), record(3)]


def test_a_batch_that_was_dropped_in_flight_is_acknowledged_without_harm(directory: Path) -> None:
    buffer = made(directory, most_bytes=2000)
    buffer.append(record(0))
    batch = buffer.oldest(most_records=1, most_bytes=100)
    assert batch is not None
    for number in range(1, 200):
        buffer.append(record(number))
    before = buffer.oldest(most_records=1, most_bytes=1)
    buffer.acknowledge(batch.end)
    assert buffer.oldest(most_records=1, most_bytes=1) == before


def test_a_record_no_body_can_hold_is_left_out(directory: Path) -> None:
    buffer = made(directory)
    buffer.append(b" " * (MOST_RECORD + 1))
    assert rest(buffer) == []
    assert buffer.figures() == {"bytes": 0, "segments": 0, "dropped_bytes": 0, "unreadable": 0, "too_large": 1}


def test_a_line_that_unpacks_to_a_flood_is_not_unpacked() -> None:
    assert decode(encode(b" " * MOST_RECORD)) == b" " * MOST_RECORD
    assert decode(encode(b" " * (MOST_RECORD + 1))) is None


def test_nothing_is_left_behind_when_all_is_sent(directory: Path) -> None:
    buffer = made(directory)
    buffer._segment_bytes = 100
    for number in range(100):
        buffer.append(record(number))
        rest(buffer)
    assert len(list(directory.glob("*.samples"))) <= 2
    assert buffer.figures()["bytes"] == 0
    again = made(directory)
    assert rest(again) == []
    again.append(record(100))
    assert rest(again) == [record(100)]


class FullDisk:
    """``FileSegment.append`` as it is on a disk with so much room."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        self.room: int | None = None
        self.number = errno.ENOSPC
        self.directory = directory
        real = FileSegment.append

        def append(segment: FileSegment, line: bytes, *, now: float) -> None:
            left = None if self.room is None else self.room - self.used()
            if left is not None and left < len(line):
                os.write(segment._open().fileno(), line[: max(0, left)])  # a disk takes what fits
                raise OSError(self.number, os.strerror(self.number))
            real(segment, line, now=now)

        monkeypatch.setattr(module.FileSegment, "append", append)

    def used(self) -> int:
        return sum(path.stat().st_size for path in self.directory.glob("*.samples"))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, directory: Path) -> FullDisk:
    return FullDisk(monkeypatch, directory)


def test_a_disk_that_fills_up_costs_the_oldest(directory: Path, disk: FullDisk) -> None:
    buffer = made(directory)
    buffer._segment_bytes = 300
    disk.room = 3000
    for number in range(300):
        buffer.append(record(number))
    kept = rest(buffer)
    assert kept == [record(number) for number in range(300 - len(kept), 300)]
    assert len(kept) > 50


def test_a_disk_that_others_filled_up(directory: Path, disk: FullDisk) -> None:
    """The newest are kept in memory, in order behind those on disk, and go to the disk again when it has room."""
    buffer = made(directory)
    for number in range(10):
        buffer.append(record(number))
    disk.room = 0
    for number in range(10, 20):
        buffer.append(record(number))
    disk.room = None
    for number in range(20, 30):
        buffer.append(record(number))
    again = made(directory)
    assert rest(again) == [record(number) for number in [*range(10), *range(20, 30)]], "memory is lost with the process"
    again.close()


def test_nothing_is_lost_while_the_disk_is_full_and_the_agent_lives(directory: Path, disk: FullDisk) -> None:
    buffer = made(directory)
    for number in range(30):
        disk.room = 0 if 10 <= number < 20 else None
        buffer.append(record(number))
    assert rest(buffer) == [record(number) for number in range(30)]
    assert buffer.losses.dropped_bytes == 0


def test_a_disk_that_is_broken_costs_nothing_that_is_on_it(directory: Path, disk: FullDisk) -> None:
    buffer = made(directory)
    buffer._segment_bytes = 100
    for number in range(50):
        buffer.append(record(number))
    disk.room, disk.number = 0, errno.EROFS
    for number in range(50, 60):
        buffer.append(record(number))
    assert rest(buffer) == [record(number) for number in range(60)]


def test_memory_is_bounded_too(directory: Path, disk: FullDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMORY_BYTES", 2000)
    monkeypatch.setattr(module, "MEMORY_SEGMENT_BYTES", 500)
    disk.room = 0
    buffer = made(directory)
    for number in range(500):
        buffer.append(record(number))
    kept = rest(buffer)
    assert kept == [record(number) for number in range(500 - len(kept), 500)]
    assert 20 < len(kept) < 100
