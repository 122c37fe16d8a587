"""Log files stay bounded, lose nothing at the seam, and read well."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from bootstrap import logfiles


def test_a_log_is_bounded_and_keeps_the_newest_lines(tmp_path: Path) -> None:
    directory = tmp_path / "log"
    directory.mkdir()
    log = logfiles.RotatingLog(directory / "web.log", max_bytes=100, keep=2)
    for number in range(100):
        log.write(f"line {number}\n".encode())
    log.close()
    files = sorted(path.name for path in directory.iterdir())
    assert files == ["web.log", "web.log.1", "web.log.2"]
    assert all(path.stat().st_size <= 100 for path in directory.iterdir())
    text = "".join((directory / name).read_text() for name in reversed(files))
    numbers = [int(line.split()[1]) for line in text.splitlines()]
    assert numbers == list(range(numbers[0], 100))


def test_structured_lines_are_shown_for_people() -> None:
    line = json.dumps({"timestamp": "2026-01-02T03:04:05Z", "level": "info", "event": "started", "vm": "web-1"})
    assert logfiles.pretty(line) == "2026-01-02T03:04:05Z INFO    started vm=web-1"


@pytest.mark.parametrize("line", ["plain words", "[1, 2]", '{"half": ', ""])
def test_other_lines_are_shown_as_they_are(line: str) -> None:
    assert logfiles.pretty(line) == line


def test_following_survives_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_text("one\n")
    follower = logfiles._Follower(path)
    assert list(follower.new_lines()) == ["one"]
    path.replace(tmp_path / "web.log.1")
    path.write_text("two\nthr")
    assert list(follower.new_lines()) == ["two"]
    with path.open("a") as stream:
        stream.write("ee\n")
    assert list(follower.new_lines()) == ["three"]


def test_all_logs_or_the_named_ones_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "web.log").write_text('{"event": "hello"}\n')
    (tmp_path / "beat.log").write_text("tick\n")
    logfiles.follow(tmp_path, forever=False)
    assert capsys.readouterr().out.splitlines() == ["beat      tick", "web       hello"]
    logfiles.follow(tmp_path, ["web"], forever=False)
    assert capsys.readouterr().out.splitlines() == ["web       hello"]


def test_a_line_that_does_not_end_is_taken_in_pieces(tmp_path: Path) -> None:
    directory = tmp_path / "log"
    directory.mkdir()
    log = logfiles.RotatingLog(directory / "web.log", max_bytes=200_000, keep=2)
    logfiles.pump(io.BytesIO(b"x" * 1_000_000), log).join(timeout=20)
    assert all(path.stat().st_size <= 200_000 for path in directory.iterdir())
    assert len(list(directory.iterdir())) == 3
