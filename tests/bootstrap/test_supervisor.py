"""Real processes: crash, back-off, orderly stop, a supervisor killed with -9, one directory used twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap import accounts, processes
from bootstrap.errors import BootstrapError
from bootstrap.settings import CODE_DIR
from bootstrap.supervisor import LONGEST_BACK_OFF, back_off, drop, is_locked, stop_running
from bootstrap.waiting import wait_until
from tests.bootstrap.supervised import spec, supervisor

BOUND = 20.0


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """The supervisor takes over the signals of its process; here that is pytest's."""
    before = {sig: signal.getsignal(sig) for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for sig, handler in before.items():
        signal.signal(sig, handler)


def outside(directory: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bootstrap.supervised", str(directory)],
        cwd=CODE_DIR,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    while line and line.strip() != "up":
        line = process.stdout.readline()
    assert line.strip() == "up"
    return process


def pid_of(directory: Path, name: str) -> int:
    record = processes.read_pid_file(directory / "pids" / f"{name}.pid")
    assert record is not None
    return record.pid


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=BOUND)
    return output


def test_a_crashed_process_comes_back(short_dir: Path) -> None:
    count = short_dir / "starts"
    with supervisor(short_dir) as running:
        running.start(spec("fragile", f"echo x >> {count}; exit 3", short_dir))
        started = time.monotonic()
        running.watch(until=lambda: len(count.read_text()) >= 6 if count.exists() else False)
    assert time.monotonic() - started >= back_off(1) + back_off(2)


def test_the_back_off_grows_and_is_bounded() -> None:
    pauses = [back_off(crashes) for crashes in range(1, 30)]
    assert pauses == sorted(pauses)
    assert pauses[:3] == [0.5, 1.0, 2.0]
    assert pauses[-1] == LONGEST_BACK_OFF


def test_a_process_that_is_not_ready_is_reported_with_its_last_words(short_dir: Path) -> None:
    with supervisor(short_dir) as running, pytest.raises(BootstrapError, match="no such port"):
        running.start(spec("broken", "echo no such port; exit 1", short_dir, ready=lambda: False, ready_seconds=5.0))


def test_a_task_that_ends_is_not_started_again(short_dir: Path) -> None:
    statuses: list[int] = []
    with supervisor(short_dir) as running:
        running.start(spec("once", "exit 7", short_dir, on_exit=statuses.append))
        running.watch(until=lambda: bool(statuses))
        running.watch(until=iter([False, False, True]).__next__)
    assert statuses == [7]


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_all_it_started(short_dir: Path, sig: signal.Signals) -> None:
    process = outside(short_dir)
    groups = [pid_of(short_dir, name) for name in ("family", "stubborn")]
    process.send_signal(sig)
    output = finish(process)
    assert [processes.group_members(group) for group in groups] == [[], []]
    assert output.index("Stopping stubborn") < output.index("Stopping family"), "the order is not reversed"
    assert process.returncode == 0
    assert not list((short_dir / "pids").glob("*.pid"))


def test_what_a_killed_supervisor_left_is_ended_at_the_next_start(short_dir: Path) -> None:
    first = outside(short_dir)
    groups = [pid_of(short_dir, name) for name in ("family", "stubborn")]
    # Each leader has its child: before that neither the one nor the trap of the other outlives the supervisor.
    assert wait_until(lambda: all(len(processes.group_members(group)) == 2 for group in groups), timeout=BOUND)
    first.kill()
    finish(first)
    assert any(processes.group_members(group) for group in groups), "nothing was left, so nothing is proven"
    second = outside(short_dir)
    assert [processes.group_members(group) for group in groups] == [[], []]
    assert not {pid_of(short_dir, name) for name in ("family", "stubborn")} & set(groups)
    second.terminate()
    finish(second)


def test_a_pid_that_was_used_again_is_left_alone(short_dir: Path) -> None:
    stranger = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL, process_group=0)
    try:
        path = short_dir / "worker.pid"
        processes.write_pid_file(path, stranger.pid)
        record = path.read_text()
        path.write_text(record.replace('"started": ', '"started": 1'))
        assert processes.end_leftovers(short_dir, short_dir) == []
        assert stranger.poll() is None
        path.write_text(record)
        assert processes.end_leftovers(short_dir, short_dir) == ["worker"], "the control: our own process is ended"
        assert stranger.wait(timeout=BOUND) == -signal.SIGTERM
    finally:
        stranger.kill()
        stranger.wait()


def test_the_same_directory_is_not_run_twice(short_dir: Path) -> None:
    with supervisor(short_dir), pytest.raises(BootstrapError, match=r"running already \(process \d+\)"):
        supervisor(short_dir).__enter__()


def test_stop_ends_a_running_supervisor_and_says_when_there_is_none(short_dir: Path) -> None:
    assert stop_running(short_dir / "pids") is False
    process = outside(short_dir)
    assert is_locked(short_dir / "pids")
    assert stop_running(short_dir / "pids", seconds=BOUND) is True
    finish(process)
    assert not is_locked(short_dir / "pids")


def test_two_directories_run_side_by_side(short_dir: Path) -> None:
    one, two = short_dir / "one", short_dir / "two"
    one.mkdir()
    two.mkdir()
    first, second = outside(one), outside(two)
    first.terminate()
    finish(first)
    assert second.poll() is None
    assert processes.group_members(pid_of(two, "family"))
    second.terminate()
    finish(second)


def test_children_die_with_a_supervisor_that_is_killed(short_dir: Path) -> None:
    process = outside(short_dir)
    leader = pid_of(short_dir, "family")
    process.kill()
    finish(process)
    assert wait_until(lambda: not Path(f"/proc/{leader}").exists(), timeout=BOUND)
    for name in ("family", "stubborn"):
        for pid in processes.group_members(pid_of(short_dir, name)):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to drop and to keep")
def test_a_right_that_is_kept_is_the_only_one(short_dir: Path) -> None:
    """The agent reads the counters of other users' processes, as nobody's root."""
    identity = accounts.identity_of("nobody")
    script = "grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs)' /proc/self/status; sleep 600 & wait"
    watched = spec("agent", script, short_dir, identity=identity, capabilities=("sys_ptrace",))
    log = short_dir / "log" / "agent.log"
    with supervisor(short_dir) as running:
        running.start(watched)
        assert wait_until(lambda: log.exists() and "NoNewPrivs" in log.read_text(), timeout=BOUND)
    seen = dict(line.split(":", 1) for line in log.read_text().splitlines() if ":" in line)
    assert seen["Uid"].split() == [str(identity.uid)] * 4
    assert int(seen["CapEff"], 16) == int(seen["CapBnd"], 16) == 1 << 19
    assert seen["NoNewPrivs"].strip() == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to drop and to keep")
def test_who_keeps_a_right_dies_with_its_supervisor_too() -> None:
    """The kernel forgets whose death to tell when the user changes, so that is asked for afterwards."""
    asked = spec("agent", "", Path("/"), identity=accounts.identity_of("nobody"), capabilities=("sys_ptrace",))
    arguments, rights = drop(asked)
    said = "import ctypes; seen = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(seen)); print(seen.value)"
    command = ["setpriv", "--pdeathsig", "TERM", *rights, "/usr/bin/python3", "-c", said]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, **arguments)
    assert int(done.stdout) == signal.SIGTERM
