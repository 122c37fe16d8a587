"""``python3 -m bootstrap <command>``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from bootstrap import (
    backup,
    check,
    commands,
    fresh,
    images,
    installation,
    lock,
    logfiles,
    preflight,
    restoring,
    service,
    settings,
    supervisor,
    testenv,
    uninstall,
)
from bootstrap.console import say, warn
from bootstrap.errors import BootstrapError

INTERRUPTED = 130
LAB_SECONDS = 1800.0


def test(arguments: Sequence[str]) -> int:
    """All checks and tests, or the ones named."""
    return testenv.run_tests(arguments)


def soak(arguments: Sequence[str]) -> int:
    """The long tests that ``make test`` leaves out, or the ones named."""
    return testenv.run_soak(arguments)


def image(_: Sequence[str]) -> int:
    """Make the image debian-12 ready; a start runs this beside the dashboard."""
    around = installation.restore()
    images.ensure_image(around, lambda commands: installation.run_django(around, commands))
    return 0


def manage(arguments: Sequence[str]) -> int:
    """One Django management command in the surroundings of the installation, as the service user."""
    return installation.manage(arguments)


def show_preflight(_: Sequence[str]) -> int:
    """Only say what would stand in the way of a start."""
    problems = preflight.problems(settings.load())
    for sentence in problems:
        say(sentence)
    return 1 if problems else 0


def logs(arguments: Sequence[str]) -> int:
    """Follow the logs of all processes, or of the ones named."""
    logfiles.follow(settings.load().log_dir, arguments)
    return 0


def stop(_: Sequence[str]) -> int:
    """Stop the supervisor that runs for this state directory."""
    if not supervisor.stop_running(settings.load().pid_dir):
        say("Nothing is running.")
    return 0


def run_checks(arguments: Sequence[str]) -> int:
    """Everything that can be said about the code without a virtual machine."""
    testenv.ensure_environment()
    with testenv.services() as environment:
        return check.run_all(environment, arguments)


def generate(_: Sequence[str]) -> int:
    """Write the generated files."""
    testenv.ensure_environment()
    with testenv.services() as environment:
        return check.generate(environment)


def lock_requirements(arguments: Sequence[str]) -> int:
    """Resolve the dependencies and write the hash-locked lists."""
    return lock.write(testenv.ensure_environment().with_name("uv"), arguments)


def run_tool(arguments: Sequence[str]) -> int:
    """One of the project's own programs (``python -m <name>``) in the development environment."""
    python = testenv.ensure_environment()
    return testenv.run_in_environment([str(python), "-m", *arguments])


def lab(arguments: Sequence[str]) -> int:
    """Real libvirt hosts in namespaces, beside the installation that runs on this machine if there is one."""
    python = testenv.ensure_environment()
    os.environ.update(installation.environment_if_any())
    command = commands.as_root([str(python), "-m", "lab", *arguments])
    return commands.passthrough(command, timeout=LAB_SECONDS, cwd=settings.CODE_DIR)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "run": installation.start,
    "stop": stop,
    "logs": logs,
    "manage": manage,
    "image": image,
    "preflight": show_preflight,
    "service": service.start,
    "backup": backup.start,
    "restore": restoring.start,
    "uninstall": uninstall.start,
    "test": test,
    "soak": soak,
    "check": run_checks,
    "generate": generate,
    "lock": lock_requirements,
    "fresh": fresh.start,
    "lab": lab,
    "tool": run_tool,
}


def heed_signals() -> None:
    """Whoever ends us gives us the time to end what we started.

    A script's background job begins with SIGINT ignored and would hand that on to all that we start, which is
    interrupted by it. That of ``nohup`` stays ignored.
    """
    signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _end)


def _end(_signal: int, _frame: FrameType | None) -> None:
    """Once: what is being ended has its own time limits, and a second signal must not leave it half done."""
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, lambda *_: None)
    raise KeyboardInterrupt


def main(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] not in COMMANDS:
        warn("usage: python3 -m bootstrap " + "|".join(COMMANDS))
        return 2
    os.umask(0o022)
    heed_signals()
    try:
        return COMMANDS[arguments[0]](arguments[1:])
    except BootstrapError as error:
        warn(f"\n{error}")
        return 1
    except KeyboardInterrupt:
        warn("\nStopped.")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
