"""Running other programs: always with a time limit, never with our standard input, as root where needed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bootstrap.accounts import Identity
from bootstrap.errors import BootstrapError

PASSED_THROUGH_SUDO = (
    "PIP_",
    "SSL_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "CLOUDSITE_",
    "DATABASE_URL",
    "REDIS_URL",
    "DJANGO_SETTINGS_MODULE",
    "DEBIAN_FRONTEND",
)
PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "ftp_proxy")

TAKE_AWAY_SECONDS = 90.0
"""For a program that has a whole cloud on the machine; longer than tests/interruption.py waits."""


class CommandFailed(BootstrapError):
    """A program ended with an error or did not end in time; carries its last output."""

    def __init__(self, command: Sequence[str], reason: str, output: str) -> None:
        tail = "\n".join(f"    | {line}" for line in output.strip().splitlines()[-15:])
        super().__init__(f"`{' '.join(command)}` {reason}" + (f"\n{tail}" if tail else ""))
        self.output = output


def is_root() -> bool:
    return os.geteuid() == 0


def as_root(command: Sequence[str], environment: Mapping[str, str] | None = None) -> list[str]:
    """The command as root runs it.

    ``sudo`` drops the environment, so what matters is named again; by name only, since every user of the
    machine can read the words of a command.

    :param environment: further variables, none of them secret.
    """
    named = [f"{key}={value}" for key, value in (environment or {}).items()]
    full = ["env", *named, *command] if named else list(command)
    if is_root():
        return full
    kept = [name for name in os.environ if name.startswith(PASSED_THROUGH_SUDO) or name.lower() in PROXY_VARIABLES]
    return ["sudo", "-n", *([f"--preserve-env={','.join(sorted(kept))}"] if kept else []), *full]


def run(
    command: Sequence[str],
    *,
    timeout: float,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    identity: Identity | None = None,
    on_line: Callable[[str], None] | None = None,
    stdin_text: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run to the end and return the output (both streams together).

    The program gets its own process group, but stays in our session: a sudo ticket belongs to the terminal.


    :param timeout: seconds after which the whole process group is killed.
    :param identity: the user to run as; only root can ask for another one.
    :param on_line: called with every line as it appears.
    :raises CommandFailed: on a time-out, and with ``check`` on a status other than 0.
    """
    arguments = identity.popen_arguments() if identity is not None and is_root() else {}
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL if stdin_text is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=None if env is None else dict(env),
            cwd=cwd,
            process_group=0,
            **arguments,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise CommandFailed(command, f"could not be started: {error.strerror}", "") from error
    output, late = _collect(process, timeout=timeout, on_line=on_line, stdin_text=stdin_text)
    if late:
        raise CommandFailed(command, f"did not end within {timeout:.0f} s", output)
    if check and process.returncode != 0:
        raise CommandFailed(command, f"ended with status {process.returncode}", output)
    return subprocess.CompletedProcess(list(command), process.returncode, output, "")


def _collect(
    process: subprocess.Popen[str],
    *,
    timeout: float,
    on_line: Callable[[str], None] | None,
    stdin_text: str | None,
) -> tuple[str, bool]:
    late = threading.Event()

    def give_up() -> None:
        late.set()
        kill_group(process.pid)

    timer = threading.Timer(timeout, give_up)
    timer.daemon = True
    timer.start()
    lines: list[str] = []
    try:
        if process.stdin is not None:
            process.stdin.write(stdin_text or "")
            process.stdin.close()
        for line in process.stdout or ():
            lines.append(line)
            if on_line is not None:
                on_line(line.rstrip("\n"))
        process.wait()
    except BaseException:
        interrupt(process)
        raise
    finally:
        timer.cancel()
    return "".join(lines), late.is_set()


def kill_group(pid: int, sig: signal.Signals = signal.SIGKILL) -> None:
    """Signal a process group we started; one that is gone already is fine, one that sudo runs needs sudo."""
    try:
        os.killpg(pid, sig)
    except ProcessLookupError:
        pass
    except PermissionError:
        command = ["sudo", "-n", "sh", "-c", f"kill -{sig.name.removeprefix('SIG')} -{pid}"]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)


def passthrough(
    command: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> int:
    """Run with our own output streams and return the exit status; used where the output is the point.

    :param timeout: seconds after which it is interrupted, as by Ctrl-C: what it made on the machine (namespaces,
        guests, servers) is for it to take away.
    """
    process = subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        env=None if env is None else dict(env),
        cwd=cwd,
        process_group=0,
    )
    try:
        return process.wait(timeout=timeout)
    except subprocess.TimeoutExpired:
        interrupt(process, seconds=TAKE_AWAY_SECONDS)
        raise CommandFailed(command, f"did not end within {timeout:.0f} s", "") from None
    except BaseException:
        interrupt(process, seconds=TAKE_AWAY_SECONDS)
        raise


def interrupt(process: subprocess.Popen[Any], *, seconds: float = 15.0) -> None:
    """Let an interrupted program clean up before it is killed. Whoever interrupts us meanwhile waits for it, too."""
    kill_group(process.pid, signal.SIGINT)
    until = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(timeout=until - time.monotonic())
    if process.poll() is None:
        kill_group(process.pid)
        process.wait()


def environment_without_python(environment: dict[str, str]) -> dict[str, str]:
    """The environment without what would lead one Python to another one's libraries."""
    return {key: value for key, value in environment.items() if key not in ("PYTHONPATH", "PYTHONHOME")}


def path_with_sbin() -> str:
    """PATH as root has it: a plain user's lacks the directories of ``nft``, ``useradd`` and the like."""
    parts = os.environ.get("PATH", "/usr/bin:/bin").split(":")
    return ":".join([*parts, *(part for part in ("/usr/local/sbin", "/usr/sbin", "/sbin") if part not in parts)])
