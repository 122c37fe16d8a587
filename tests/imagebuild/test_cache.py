"""The cache holds whole files only, lets one builder in at a time and clears away what a dead one left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from imagebuild import cache
from imagebuild.errors import BuildError
from imagebuild.process import run, run_live
from lab.process import wait_until


def test_a_second_builder_waits_and_then_says_so(tmp_path: Path) -> None:
    second = cache.locked(tmp_path, name="x", timeout=0)
    with cache.locked(tmp_path, name="x", timeout=1), pytest.raises(BuildError, match="another build"), second:
        pass
    with cache.locked(tmp_path, name="x", timeout=0):
        pass


def test_two_different_builds_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with cache.locked(tmp_path, name="x", timeout=0), cache.locked(tmp_path, name="y", timeout=0):
        pass


def test_leftovers_of_an_interrupted_build_are_removed(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from imagebuild import cache\n"
        "with cache.workspace(pathlib.Path(sys.argv[1]), name='x') as w: (w / 'half').touch(); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE) as builder:
        wait_until(lambda: bool(list(tmp_path.glob("*/half"))), timeout=20, what="the first half of a build")
        builder.send_signal(signal.SIGKILL)
    assert list(tmp_path.glob(".work-x-*"))
    with cache.workspace(tmp_path, name="x") as work:
        assert list(tmp_path.iterdir()) == [work]
    assert list(tmp_path.iterdir()) == []


def test_publishing_is_all_or_nothing(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("old")
    with pytest.raises(FileNotFoundError):
        cache.publish(tmp_path / "absent", target)
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]
    (tmp_path / "new").write_text("new")
    cache.publish(tmp_path / "new", target)
    assert target.read_text() == "new" and target.stat().st_mode & 0o777 == 0o644


def test_the_key_tells_parts_apart() -> None:
    assert cache.recipe_key(b"ab", b"c") != cache.recipe_key(b"a", b"bc")
    assert cache.recipe_key(b"ab", b"c") == cache.recipe_key(b"ab", b"c")


def test_a_failing_program_says_what_it_said() -> None:
    with pytest.raises(BuildError, match="status 3:\nno such thing"):
        run(["sh", "-c", "echo no such thing >&2; exit 3"], timeout=10)
    with pytest.raises(BuildError, match="did not finish within 0 s"):
        run(["sleep", "30"], timeout=0.2)


def test_a_long_program_is_heard_while_it_runs(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    heard: list[str] = []

    def hear(line: str) -> None:
        heard.append(line)
        gate.touch()

    script = f"echo first; while ! test -e {gate}; do sleep 0.05; done; echo second"
    run_live(["sh", "-c", script], timeout=20, on_line=hear)
    assert heard == ["first", "second"]
    with pytest.raises(BuildError, match="status 3:\nwhy"):
        run_live(["sh", "-c", "echo why >&2; exit 3"], timeout=10, on_line=hear)
    with pytest.raises(BuildError, match="did not finish"):
        run_live(["sleep", "30"], timeout=0.2, on_line=hear)


def test_a_killed_builder_takes_its_programs_along(tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/pid; exec sleep 60"
    code = f"from imagebuild.process import run; run(['sh', '-c', {script!r}], timeout=60)"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL) as builder:
        wait_until(lambda: (tmp_path / "pid").exists(), timeout=20, what="the start of the program")
        wait_until(lambda: (tmp_path / "pid").read_text() != "", timeout=5, what="its pid")
        builder.send_signal(signal.SIGKILL)
    program = int((tmp_path / "pid").read_text())
    wait_until(lambda: not _alive(program), timeout=10, what="the end of the program")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
