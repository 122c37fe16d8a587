"""The supervisor: starts the processes, brings back the ones that crash, stops all it started.

It is one thread that looks at its children a few times per second. What it started is on record in pid
files, so that a supervisor killed with -9 is cleaned up after by the next one; the kernel also ends the
children when their parent dies.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any

from bootstrap import processes
from bootstrap.accounts import Identity
from bootstrap.commands import kill_group
from bootstrap.console import say
from bootstrap.errors import BootstrapError
from bootstrap.logfiles import RotatingLog, pump
from bootstrap.waiting import wait_until

LOOK_SECONDS = 0.2
FIRST_BACK_OFF = 0.5
LONGEST_BACK_OFF = 30.0
STABLE_SECONDS = 60.0
LAST_WORDS_SECONDS = 2.0
"""A process that ran this long starts again with the shortest back-off."""


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """How one process is started, known to be ready, and stopped."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    identity: Identity | None = None
    capabilities: Sequence[str] = ()
    """Single rights of root that it keeps beside its identity, as ``setpriv`` names them."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 15.0
    ready: Callable[[], bool] | None = None
    ready_seconds: float = 60.0
    echo: bool = False
    """Show its output on the console too: for a long step that somebody waits for."""
    on_exit: Callable[[int], None] | None = None
    """For a process that ends by itself: called with its status, and it is not started again."""


@dataclass(kw_only=True)
class _Child:
    spec: ProcessSpec
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    crashes: int = 0
    start_again_at: float | None = None
    finished: bool = False
    threads: list[threading.Thread] = field(default_factory=list)


def back_off(crashes: int) -> float:
    """Seconds to wait before the next start after so many crashes in a row."""
    return min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2.0 ** min(max(0, crashes - 1), 16))


def drop(spec: ProcessSpec) -> tuple[dict[str, Any], list[str]]:
    """How root's rights are dropped: by Python before ``setpriv`` starts, or by ``setpriv`` where some are kept."""
    arguments = spec.identity.popen_arguments() if spec.identity is not None else {}
    if not arguments or not spec.capabilities or spec.identity is None:
        return arguments, []
    kept = ",".join(["-all", *(f"+{name}" for name in spec.capabilities)])
    user = [f"--reuid={spec.identity.uid}", f"--regid={spec.identity.gid}"]
    groups = f"--groups={','.join(map(str, spec.identity.groups))}"
    sets = [f"--{which}={kept}" for which in ("inh-caps", "ambient-caps", "bounding-set")]
    return {"umask": arguments["umask"]}, [*user, groups, *sets, "--no-new-privs"]


class Supervisor:
    """All processes of one installation on this machine; leaving the context stops everything."""

    def __init__(self, *, pid_dir: Path, log_dir: Path, state_dir: Path) -> None:
        self._pid_dir = pid_dir
        self._log_dir = log_dir
        self._state_dir = state_dir
        self._children: list[_Child] = []
        self._lock: IO[str] | None = None
        self._holding = False
        self._pending = False

    def __enter__(self) -> Supervisor:
        self._take_lock()
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sig, self._interrupted)
        for name in processes.end_leftovers(self._pid_dir, self._state_dir):
            say(f"Ended {name}, left behind by a supervisor that was killed.")
        processes.write_pid_file(self._pid_dir / "supervisor.pid", os.getpid())
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        (self._pid_dir / "supervisor.pid").unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()

    def _take_lock(self) -> None:
        self._pid_dir.mkdir(parents=True, exist_ok=True)
        self._lock = (self._pid_dir / "lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BootstrapError(already_running(self._pid_dir, self._state_dir)) from None

    def _interrupted(self, _signal: int, _frame: FrameType | None) -> None:
        if self._holding:
            self._pending = True
        else:
            raise KeyboardInterrupt

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """A signal must not hit between the start of a process and its entry in our books."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt

    def start(self, spec: ProcessSpec) -> None:
        """Start one process and wait until it is ready.

        :raises BootstrapError: when it ends or is not ready in time, with the last lines of its log.
        """
        child = _Child(spec=spec)
        self._children.append(child)
        self._spawn(child)
        if spec.ready is None:
            return
        ready = spec.ready
        wait_until(lambda: not self._running(child) or ready(), timeout=spec.ready_seconds)
        if not self._running(child) or not ready():
            if not self._running(child):
                for thread in child.threads:  # its last words may still be on their way to the log
                    thread.join(LAST_WORDS_SECONDS)
            raise BootstrapError(f"{spec.name} did not start.\n{self._last_lines(spec.name)}")

    def _spawn(self, child: _Child) -> None:
        spec = child.spec
        identity, rights = drop(spec)
        with self._undisturbed():
            child.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", spec.stop_signal.name.removeprefix("SIG"), *rights, *spec.command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(spec.environment),
                cwd=spec.directory,
                process_group=0,
                **identity,
            )
            child.started_at = time.monotonic()
            child.start_again_at = None
            processes.write_pid_file(self._pid_dir / f"{spec.name}.pid", child.process.pid)
            if child.process.stdout is not None:
                log = RotatingLog(self._log_dir / f"{spec.name}.log")
                child.threads = [pump(child.process.stdout, log, echo=f"    {spec.name}: " if spec.echo else None)]

    @staticmethod
    def _running(child: _Child) -> bool:
        return child.process is not None and child.process.poll() is None

    def _last_lines(self, name: str) -> str:
        path = self._log_dir / f"{name}.log"
        text = path.read_bytes()[-4000:].decode(errors="replace") if path.exists() else ""
        return "\n".join(f"    | {line}" for line in text.splitlines()[-20:])

    def watch(self, *, until: Callable[[], bool] = lambda: False) -> None:
        """Bring back what crashes, until interrupted (or the condition of a test holds)."""
        never = threading.Event()
        while not until():
            for child in self._children:
                self._look_after(child)
            never.wait(LOOK_SECONDS)

    def _look_after(self, child: _Child) -> None:
        if child.finished or self._running(child):
            return
        now = time.monotonic()
        if child.start_again_at is None:
            self._ended(child, now)
        elif now >= child.start_again_at:
            self._spawn(child)

    def _ended(self, child: _Child, now: float) -> None:
        name = child.spec.name
        status = child.process.returncode if child.process is not None else -1
        if child.process is not None:
            kill_group(child.process.pid)
        if child.spec.on_exit is not None:
            child.finished = True
            (self._pid_dir / f"{name}.pid").unlink(missing_ok=True)
            for thread in child.threads:
                thread.join(timeout=5)
            child.spec.on_exit(status)
            return
        child.crashes = 1 if now - child.started_at > STABLE_SECONDS else child.crashes + 1
        pause = back_off(child.crashes)
        child.start_again_at = now + pause
        say(f"{name} {_how_ended(status)}; starting it again in {pause:g} s (see `make logs`).")

    def stop(self) -> None:
        """Stop everything in reverse order, each with a bounded wait; a second Ctrl-C kills what is left."""
        try:
            for child in reversed(self._children):
                self._stop_one(child)
        except KeyboardInterrupt:
            say("Killing what is left.")
            for child in reversed(self._children):
                if child.process is not None:
                    kill_group(child.process.pid)
                    child.process.wait(timeout=processes.KILL_SECONDS)
        self._children.clear()

    def _stop_one(self, child: _Child) -> None:
        process = child.process
        if process is not None:
            if process.poll() is None:
                say(f"Stopping {child.spec.name}")
                process.send_signal(child.spec.stop_signal)
                try:
                    process.wait(timeout=child.spec.stop_seconds)
                except subprocess.TimeoutExpired:
                    say(f"{child.spec.name} did not stop within {child.spec.stop_seconds:.0f} s; killed")
            kill_group(process.pid)
            process.wait(timeout=processes.KILL_SECONDS)
        (self._pid_dir / f"{child.spec.name}.pid").unlink(missing_ok=True)


def _how_ended(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def already_running(pid_dir: Path, state_dir: Path) -> str:
    process = processes.read_pid_file(pid_dir / "supervisor.pid")
    which = f" (process {process.pid})" if process is not None else ""
    return (
        f"Cloudsite with the state directory {state_dir} is running already{which}; "
        "`make stop` stops it, another CLOUDSITE_STATE_DIR makes a second one."
    )


def is_locked(pid_dir: Path) -> bool:
    """Whether a supervisor holds the installation now."""
    path = pid_dir / "lock"
    if not path.exists():
        return False
    with path.open("r") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def stop_running(pid_dir: Path, *, seconds: float = 120.0) -> bool:
    """Ask a running supervisor to stop and wait for it; False when there is none.

    :raises BootstrapError: when it is not done after so many seconds, or is not ours to stop.
    """
    process = processes.read_pid_file(pid_dir / "supervisor.pid")
    if not is_locked(pid_dir) or process is None or not processes.is_alive(process):
        return False
    try:
        os.kill(process.pid, signal.SIGTERM)
    except PermissionError:
        raise BootstrapError(f"Process {process.pid} belongs to another user; `sudo make stop`.") from None
    if not wait_until(lambda: not is_locked(pid_dir), timeout=seconds):
        raise BootstrapError(f"The supervisor (process {process.pid}) did not stop within {seconds:.0f} s.")
    return True
