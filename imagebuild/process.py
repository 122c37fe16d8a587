"""Runs other programs: always with a time limit, never with standard input, output only shown on failure."""

import os
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from imagebuild.errors import BuildError

TAIL_LINES = 15
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Run `argv`, return its standard output; raise BuildError with the last lines it printed if it fails.

    `timeout` is in seconds. The child dies with us (PR_SET_PDEATHSIG through setpriv), so an interrupted
    build leaves no program behind that still writes into the cache.
    """
    try:
        done = subprocess.run(
            _command(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            env=_environment(env),
            cwd=cwd,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{argv[0]} did not finish within {timeout:.0f} s") from error
    lines = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()
    _check(argv, status=done.returncode, lines=lines)
    return done.stdout.decode(errors="replace")


def run_live(
    argv: Sequence[str | Path],
    *,
    timeout: float,
    on_line: Callable[[str], None],
    env: Mapping[str, str] | None = None,
) -> None:
    """Run `argv` as `run` does, handing every line it prints to `on_line` at once: for what takes minutes."""
    recent: deque[str] = deque(maxlen=TAIL_LINES)
    with subprocess.Popen(
        _command(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environment(env),
        encoding="utf-8",
        errors="replace",
    ) as process:
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            process.kill()

        clock = threading.Timer(timeout, expire)
        clock.start()
        try:
            for line in process.stdout or ():
                recent.append(line.rstrip())
                on_line(recent[-1])
            status = process.wait()
        finally:
            clock.cancel()
            process.kill()
    if expired.is_set():
        raise BuildError(f"{argv[0]} did not finish within {timeout:.0f} s")
    _check(argv, status=status, lines=recent)


def _command(argv: Sequence[str | Path]) -> list[str]:
    return ["setpriv", "--pdeathsig", "KILL", "--", *map(str, argv)]


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    path = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}".lstrip(":")
    return {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "PATH": path, **(extra or {})}


def _check(argv: Sequence[str | Path], *, status: int, lines: Sequence[str]) -> None:
    if status:
        said = "\n".join(list(lines)[-TAIL_LINES:])
        raise BuildError(f"{argv[0]} failed with status {status}:\n{said}")
