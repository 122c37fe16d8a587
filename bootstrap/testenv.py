"""The tests' surroundings: packages, environment, a PostgreSQL and a Redis of their own; then pytest."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bootstrap import accounts, commands, packages, postgres, redis, settings, venv
from bootstrap.accounts import Identity
from bootstrap.commands import as_root, passthrough, run
from bootstrap.console import say, step
from bootstrap.errors import BootstrapError
from bootstrap.root_tasks import prepare_machine
from bootstrap.waiting import wait_until

REQUIREMENTS = settings.CODE_DIR / "requirements" / "dev.txt"
VENV = settings.CODE_DIR / ".venv"
STAGE_SECONDS = 1800.0
SOAK_SECONDS = 7200.0
"""All of them; each test has a limit of its own."""
# Each process begins with a half, so that what a module sets up is set up once; then they take from each other.
FAST_STAGE = ("-n", "2", "--dist", "worksteal", "-m", "not lab", "--durations", "20")
# Each process has a lab and a cloud of its own, and takes file after file, in their order.
LAB_STAGE = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "-m", "lab", "--durations", "20")
# One after the other: they measure, and each has this machine's libvirt to itself.
SOAK = ("-m", "soak", "-n", "0", "-rA", "--durations", "0")
TESTS_FAILED = 1
NO_TESTS_COLLECTED = 5
MOST_AGAIN = 8


def ensure_environment() -> Path:
    """OS packages, the service user and the development environment; returns its Python."""
    prepare_machine(packages.DEVELOPMENT, purpose="run the tests")
    return venv.ensure(VENV, REQUIREMENTS)


@contextmanager
def services() -> Iterator[dict[str, str]]:
    """Start a PostgreSQL and a Redis of this run alone; the value is the environment to use them."""
    base = Path(tempfile.mkdtemp(prefix="cs-test-", dir="/tmp"))
    identity = accounts.service_identity()
    with ExitStack() as stack:
        stack.callback(_remove, base)
        base.chmod(0o755)
        current = settings.Settings(state_dir=base)
        for directory in (current.postgres_dir, current.redis_dir, current.run_dir):
            directory.mkdir(mode=0o755)
            if commands.is_root():
                os.chown(directory, identity.uid, identity.gid)
        links = base / "bin"
        links.mkdir(mode=0o755)
        with step("Starting a private PostgreSQL and Redis for the tests"):
            stack.enter_context(_postgres(current, identity))
            stack.enter_context(_redis(current, identity, links))
        state = base / "state"
        state.mkdir(mode=0o755)
        yield _environment(current, state)


def _environment(current: settings.Settings, state: Path) -> dict[str, str]:
    environment = settings.process_environment(current, settings.new_secrets())
    kept = {key: value for key, value in environment.items() if not key.startswith("CLOUDSITE_LAN")}
    return kept | {
        "CLOUDSITE_STATE_DIR": str(state),
        "PYTHONDONTWRITEBYTECODE": "",  # hundreds of processes, each of which would compile all modules again
        "PATH": f"{VENV}/bin:{commands.path_with_sbin()}",
        "VIRTUAL_ENV": str(VENV),
    }


@contextmanager
def _postgres(current: settings.Settings, identity: Identity) -> Iterator[None]:
    users = sorted({"root", identity.name, accounts.invoking_user()})
    data = current.postgres_dir / "data"
    postgres.initialise(data, identity=identity, system_users=users)
    command = postgres.command(data, current.run_dir, postgres.TEST_OPTIONS)

    def ready() -> bool:
        return postgres.is_ready(current.run_dir)

    with _server(command, identity, stop=signal.SIGINT, ready=ready, log=current.postgres_dir.parent / "postgres.log"):
        postgres.ensure_database(current.run_dir, identity=identity, superuser=True)
        yield


@contextmanager
def _redis(current: settings.Settings, identity: Identity, links: Path) -> Iterator[None]:
    socket_path = current.run_dir / "redis.sock"
    command = redis.command(current.redis_dir, socket_path, links=links)

    def ready() -> bool:
        return redis.is_ready(socket_path)

    with _server(command, identity, stop=signal.SIGTERM, ready=ready, log=current.redis_dir.parent / "redis.log"):
        yield


@contextmanager
def _server(
    command: Sequence[str], identity: Identity, *, stop: signal.Signals, ready: Callable[[], bool], log: Path
) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
            **identity.popen_arguments(),
        )
    try:
        if not wait_until(lambda: process.poll() is not None or ready(), timeout=60) or process.poll() is not None:
            tail = log.read_text(errors="replace")[-2000:]
            raise BootstrapError(f"{Path(command[0]).name} did not start.\n{tail}")
        yield
    finally:
        process.send_signal(stop)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            commands.kill_group(process.pid)
            process.wait()


def _remove(base: Path) -> None:
    """Tests may have left root's files in it, e.g. from a lab host, so a second try is root's."""
    shutil.rmtree(base, ignore_errors=True)
    if base.exists():
        run(as_root(["rm", "-rf", "--one-file-system", str(base)]), timeout=60, check=False)


def run_in_environment(command: Sequence[str], *, timeout: float = STAGE_SECONDS) -> int:
    """Run one command of the development environment beside the private servers."""
    with services() as environment:
        return passthrough(command, timeout=timeout, env=environment, cwd=settings.CODE_DIR)


def run_tests(arguments: Sequence[str]) -> int:
    """``make test``: the checks and both stages, or only the tests that were named.

    Every stage runs even if one before it failed, so that one run shows everything; the worst result counts.
    """
    from bootstrap import check

    python = str(ensure_environment())
    with services() as environment:

        def pytest(selection: Sequence[str]) -> int:
            command = [python, "-m", "pytest", *selection]
            say(f"==> pytest {' '.join(selection)}")
            return passthrough(command, timeout=STAGE_SECONDS, env=environment, cwd=settings.CODE_DIR)

        if arguments:
            return pytest(arguments)
        results = {"checks": check.run_all(environment)}
        results["fast tests"] = _again_alone(pytest, pytest(FAST_STAGE), "not lab")
        results["real-machine tests"] = _lab_stage(pytest)
    say()
    for name, status in results.items():
        say(f"{'ok  ' if status == 0 else 'FAIL'} {name}")
    sys.stdout.flush()
    return max(results.values())


def run_soak(arguments: Sequence[str]) -> int:
    """``make soak``: what takes too long for every landing."""
    if not commands.is_root():
        raise BootstrapError("These tests start whole installations on this machine: `sudo make soak`.")
    python = str(ensure_environment())
    with services() as environment:
        where = [] if any(word.startswith("tests/") for word in arguments) else ["tests/soak"]
        command = [python, "-m", "pytest", *SOAK, *where, *arguments]
        say(f"==> {' '.join(command[1:])}")
        return passthrough(command, timeout=SOAK_SECONDS, env=environment, cwd=settings.CODE_DIR)


def _lab_stage(pytest: Callable[[Sequence[str]], int]) -> int:
    """The tests that boot machines need root; without it, say so instead of passing in silence."""
    if not commands.is_root():
        say("The tests on real machines need root (namespaces, loop devices): `sudo make test` runs them too.")
        return 0
    status = _again_alone(pytest, pytest(LAB_STAGE), "lab")
    return 0 if status == NO_TESTS_COLLECTED else status


def _again_alone(pytest: Callable[[Sequence[str]], int], status: int, marker: str) -> int:
    """Repeat the few tests that failed, one after the other, to say which are broken and which are flaky.

    It only tells: a stage that failed has failed, whatever passes alone. A flaky test is a bug too.
    """
    if status != TESTS_FAILED:
        return status
    failed = settings.CODE_DIR / ".pytest_cache" / "v" / "cache" / "lastfailed"
    names = sorted(json.loads(failed.read_text())) if failed.exists() else []
    if not 0 < len(names) <= MOST_AGAIN:
        return status
    say(f"==> {len(names)} failed in the crowd; once more, alone")
    if pytest(("--last-failed", "--last-failed-no-failures", "none", "-m", marker)) == 0:
        for name in names:
            say(f"FLAKY {name}: failed in the crowd and passed alone. This is a bug, of the test or of what it tests.")
    return status
