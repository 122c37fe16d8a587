"""What is ended from outside has the time to take away what it made on the machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrap import commands
from bootstrap.settings import CODE_DIR
from bootstrap.waiting import wait_until

GUEST = """
import pathlib, select, sys
guest = pathlib.Path(sys.argv[1])
guest.touch()
try:
    select.select([], [], [], 60)
finally:
    select.select([], [], [], 0.5)
    guest.rename(guest.with_name("gone"))
"""
COMMAND = """
import sys
from bootstrap import __main__, commands
__main__.COMMANDS["test"] = lambda words: commands.passthrough([sys.executable, *words], timeout=60)
sys.exit(__main__.main(["test", *sys.argv[1:]]))
"""
CROWD = """
import pathlib, pytest, select

@pytest.fixture(scope="session")
def guest(tmp_path_factory):
    path = pathlib.Path(__file__).parent / tmp_path_factory.getbasetemp().name
    path.touch()
    yield
    select.select([], [], [], 7)
    path.unlink()

def test_long(guest):
    select.select([], [], [], 60)
"""


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    return tmp_path / "guest"


def test_a_program_that_takes_too_long_takes_away_what_it_made(guest: Path) -> None:
    with pytest.raises(commands.CommandFailed, match="did not end within 2 s"):
        commands.passthrough([sys.executable, "-c", GUEST, str(guest)], timeout=2)
    assert guest.with_name("gone").exists()


def test_one_that_does_not_end_then_either_is_killed() -> None:
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print(flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE, process_group=0) as process:
        assert process.stdout is not None and process.stdout.readline()
        commands.interrupt(process, seconds=0.2)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_stop_that_halfway(guest: Path, sig: signal.Signals) -> None:
    """As a script's background job, which begins with SIGINT ignored."""
    command = [sys.executable, "-c", COMMAND, "-c", GUEST, str(guest)]
    job = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    with subprocess.Popen(job, cwd=CODE_DIR, stderr=subprocess.PIPE) as process:
        assert wait_until(guest.exists, timeout=30)
        process.send_signal(sig)
        assert not wait_until(lambda: process.poll() is not None, timeout=0.1)
        process.send_signal(sig)
        assert process.wait(timeout=30) == 130
    assert guest.with_name("gone").exists()


@pytest.mark.lab
def test_so_does_a_crowd_of_tests(tmp_path: Path) -> None:
    """Longer than xdist would wait until it interrupts and then kills them. Slow, so it runs with the slow ones."""
    test = tmp_path / "test_crowd.py"
    test.write_text(CROWD)
    crowd = ("-p", "tests.interruption", "-p", "no:django", "-n", "1", "--rootdir", str(tmp_path), "-c", os.devnull)
    command = [sys.executable, "-m", "pytest", "-q", *crowd, "--basetemp", str(tmp_path / "base"), str(test)]

    def guests() -> int:
        return len(list(tmp_path.glob("popen-*")))

    with subprocess.Popen(command, cwd=CODE_DIR, stdout=subprocess.DEVNULL, process_group=0) as process:
        assert wait_until(lambda: guests() == 1, timeout=60)
        commands.interrupt(process, seconds=60)
    assert guests() == 0
    assert process.returncode == pytest.ExitCode.INTERRUPTED
