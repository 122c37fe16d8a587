"""Real worker processes for tests: started against the test's database, killed like in real life."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


class Processes:
    """Starts Celery workers, beat and the watch as the supervisor would; stops what still runs at the end."""

    def __init__(self, *, environment: dict[str, str], log_dir: Path) -> None:
        self.environment = environment
        self.log_dir = log_dir
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str, **environment: str) -> "subprocess.Popen[bytes]":
        log = (self.log_dir / f"process-{len(self.running)}.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, **self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.running.append(process)
        return process

    def worker(self, *, concurrency: int = 2, app: str = "cloudsite", **environment: str) -> "subprocess.Popen[bytes]":
        """A Celery worker in a process group of its own. ``app`` may name one with a protection taken away."""
        arguments = ["-A", app, "worker", "--concurrency", str(concurrency), "--without-gossip"]
        name = f"w{len(self.running)}-{os.getpid()}@test"
        return self.start("-m", "celery", *arguments, "--without-mingle", "-n", name, **environment)

    def kill(self, process: "subprocess.Popen[bytes]", number: int = signal.SIGKILL) -> None:
        """Signal the whole group, and wait until it is gone if that is what the signal means."""
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        if number in (signal.SIGKILL, signal.SIGTERM):
            process.wait(timeout=20)

    def stop(self) -> None:
        for process in self.running:
            self.kill(process, signal.SIGKILL)

    def logs(self) -> str:
        """Everything the processes have written, for a failing test."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.log_dir.glob("process-*.log")))


@pytest.fixture
def processes(transactional_db: None, settings: Any, own_state_dir: Path) -> Iterator[Processes]:
    """Processes that share the test's database, Redis and state directory. Time-outs are a tenth."""
    from django.db import connection

    database = connection.settings_dict
    (own_state_dir / "run").mkdir(exist_ok=True)
    environment = {
        "DATABASE_URL": f"postgresql://{database['USER']}@/{database['NAME']}?host={database['HOST']}",
        "CLOUDSITE_STATE_DIR": str(own_state_dir),
        "CLOUDSITE_TIME_SCALE": "0.1",
        "CLOUDSITE_HYPERVISOR": settings.HYPERVISOR,
    }
    started = Processes(environment=environment, log_dir=own_state_dir)
    yield started
    started.stop()


@pytest.fixture
def flush_redis() -> Callable[[], None]:
    """Empty the whole broker, as a crash without persistence would."""
    from django.conf import settings as django_settings

    def flush() -> None:
        import redis

        redis.Redis.from_url(django_settings.CONFIG.redis_url).flushdb()

    flush()
    return flush
