"""Runs programs with a time limit and no standard input, and waits for conditions with a bound."""

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.errors import LabError

POLL_SECONDS = 0.05


def run(
    argv: Sequence[str | Path], *, timeout: float = 30, check: bool = True, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `argv`; `timeout` in seconds; `text` is given on standard input, which is otherwise empty.

    With `check`, a status other than 0 is a LabError that carries what the program said.
    """
    command = [str(part) for part in argv]
    stdin = {"input": text} if text is not None else {"stdin": subprocess.DEVNULL}
    try:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            check=False,
            **stdin,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"`{' '.join(command)}` did not finish within {timeout:.0f} s") from error
    except FileNotFoundError as error:
        raise LabError(f"{error.filename} is not installed") from error
    if check and done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise LabError(f"`{' '.join(command)}` failed with status {done.returncode}: {said}")
    return done


def wait_until(condition: Callable[[], bool], *, timeout: float, what: str) -> None:
    """Poll `condition` until it holds; a LabError that names `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"{what} did not happen within {timeout:.0f} s")
        time.sleep(POLL_SECONDS)
