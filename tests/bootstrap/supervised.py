"""A small installation of shell processes under the real supervisor, for tests that kill it from outside.

Called as ``python -m tests.bootstrap.supervised <directory>``; says "up" when both processes run.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from bootstrap.supervisor import ProcessSpec, Supervisor


def spec(name: str, script: str, directory: Path, **rest: object) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        command=["sh", "-c", script],
        environment=os.environ | {"CLOUDSITE_STATE_DIR": str(directory)},
        directory=Path("/"),
        **rest,  # type: ignore[arg-type]
    )


def supervisor(directory: Path) -> Supervisor:
    log_dir = directory / "log"
    log_dir.mkdir(exist_ok=True)
    return Supervisor(pid_dir=directory / "pids", log_dir=log_dir, state_dir=directory)


# a leader with a child that would outlive it, and one that only SIGKILL ends
FAMILY = "sleep 600 & wait"
STUBBORN = "trap '' TERM INT; while :; do sleep 600 & wait; done"


def main(directory: Path) -> None:
    try:
        with supervisor(directory) as running:
            running.start(spec("family", FAMILY, directory))
            running.start(spec("stubborn", STUBBORN, directory, stop_signal=signal.SIGTERM, stop_seconds=1.0))
            print("up", flush=True)
            running.watch()
    except KeyboardInterrupt:
        print("stopped", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
