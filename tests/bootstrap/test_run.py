"""``make run`` for real, in a state directory of its own: start, crash, kill -9, second start, stop, removal."""

from __future__ import annotations

import os
import pwd
import queue
import shutil
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap import libvirtd, processes, uninstall
from bootstrap.commands import run
from bootstrap.packages import postgres_bin
from bootstrap.process_table import answers
from bootstrap.settings import CODE_DIR
from bootstrap.waiting import wait_until
from tests.bootstrap.test_nginx import free_ports

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]
FIRST_SECONDS = 300.0
SECOND_SECONDS = 30.0
STOP_SECONDS = 90.0
NAMES = ("postgres", "redis", "web", "web-lan", "worker", "beat", "watch", "console", "ingest", "agent")


class Started:
    """One ``python3 -m bootstrap run``, its output read as it appears."""

    def __init__(self, environment: dict[str, str], *, code: Path = CODE_DIR) -> None:
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            ["/usr/bin/python3", "-m", "bootstrap", "run"],
            cwd=code,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self._queue.put(line)
        self._queue.put(None)

    def await_line(self, text: str, *, seconds: float) -> float:
        """Wait for a line; returns the seconds since the start."""
        deadline = time.monotonic() + seconds
        while True:
            line = self._queue.get(timeout=max(0.1, deadline - time.monotonic()))
            assert line is not None, "it ended:\n" + "".join(self.lines)
            self.lines.append(line)
            if text in line:
                return time.monotonic() - self.began

    def end(self, sig: signal.Signals) -> int:
        self.process.send_signal(sig)
        return self.process.wait(timeout=STOP_SECONDS)


@pytest.fixture
def environment(short_dir: Path) -> Iterator[dict[str, str]]:
    port, lan_port, ingest_port = free_ports(3)
    ours = {
        "CLOUDSITE_STATE_DIR": str(short_dir / "state"),
        "CLOUDSITE_PORT": str(port),
        "CLOUDSITE_LAN_PORT": str(lan_port),
        "CLOUDSITE_INGEST_PORT": str(ingest_port),
        "CLOUDSITE_IMAGE": "off",
        "CLOUDSITE_WORKER_CONCURRENCY": "2",
        "CLOUDSITE_ADMIN_PASSWORD": "a password for the test 1",
        "CLOUDSITE_MACHINE_RECORD": str(short_dir / "changes.json"),
    }
    outside = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CLOUDSITE_", "DATABASE_URL", "REDIS_URL", "DJANGO_", "PYTEST", "VIRTUAL_ENV"))
    }
    values = outside | ours
    yield values
    run(["/usr/bin/python3", "-m", "bootstrap", "stop"], timeout=120, env=values, cwd=CODE_DIR, check=False)
    removal = ["/usr/bin/python3", "-m", "bootstrap", "uninstall", "--yes"]
    run(removal, timeout=120, env=values, cwd=CODE_DIR, check=False)


def pids(state: Path) -> dict[str, int]:
    records = {name: processes.read_pid_file(state / "supervisor" / f"{name}.pid") for name in NAMES}
    return {name: record.pid for name, record in records.items() if record is not None}


def owner(pid: int) -> str:
    return pwd.getpwuid(Path(f"/proc/{pid}").stat().st_uid).pw_name


def own_servers() -> dict[str, str]:
    """The tests' own PostgreSQL and Redis, as servers that a user has and names."""
    url = os.environ["DATABASE_URL"]
    psql = [str(postgres_bin() / "psql"), url, "-X", "-q", "-c"]
    for statement in ("DROP DATABASE IF EXISTS somebodys", "CREATE DATABASE somebodys"):
        run([*psql, statement], timeout=30)
    redis = os.environ["REDIS_URL"].partition("?")[0]
    return {"DATABASE_URL": url.replace("/cloudsite?", "/somebodys?"), "REDIS_URL": f"{redis}?db=60"}


def bootstrap(environment: dict[str, str], *words: str) -> str:
    command = ["/usr/bin/python3", "-m", "bootstrap", *words]
    return run(command, timeout=STOP_SECONDS, env=environment, cwd=CODE_DIR, check=False).stdout


def people(environment: dict[str, str]) -> set[str]:
    """Who has an account in the running installation."""
    code = "from apps.accounts.models import User; print('people', *User.objects.values_list('username', flat=True))"
    printed = bootstrap(environment, "manage", "shell", "-v", "0", "-c", code)
    return set(next(line for line in printed.splitlines() if line.startswith("people ")).split()[1:])


def reports(environment: dict[str, str]) -> int:
    """How many agents have reported to the running installation."""
    code = "from apps.metrics.models import Reporter; print('reports', Reporter.objects.exclude(last_at=None).count())"
    printed = bootstrap(environment, "manage", "shell", "-v", "0", "-c", code)
    return int(next(line for line in printed.splitlines() if line.startswith("reports ")).split()[1])


def add_person(environment: dict[str, str], name: str) -> None:
    code = f"from apps.accounts.models import User; User.objects.create_user('{name}')"
    bootstrap(environment, "manage", "shell", "-v", "0", "-c", code)


def back_up(environment: dict[str, str], state: Path) -> Path:
    """A backup of the running installation, which goes on changing afterwards."""
    target = state.parent / "backup.tar.gz"
    add_person(environment, "before")
    assert f"Written: {target}" in bootstrap(environment, "backup", str(target))
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert "never overwritten" in bootstrap(environment, "backup", str(target))
    add_person(environment, "after")
    assert {"before", "after"} <= people(environment)
    assert "`make stop` first" in bootstrap(environment, "restore", str(target), "--yes")
    return target


def get_back(environment: dict[str, str], state: Path, backup: Path) -> None:
    """The stopped installation becomes what the backup holds, keys included; nothing without a yes."""
    secret = (state / "settings.env").read_text()
    (state / "settings.env").write_text("CLOUDSITE_SECRET_KEY=another\n")
    assert "Nothing was changed." in bootstrap(environment, "restore", str(backup), "--dry-run")
    assert "Nothing was changed." in bootstrap(environment, "restore", str(backup))
    printed = bootstrap(environment, "restore", str(backup), "--yes")
    assert "Restored." in printed, printed
    assert (state / "settings.env").read_text() == secret
    assert len(list((state / "backups").glob("*-before-restore.tar.gz"))) == 1, "what was there is not kept"
    empty(state)
    plan = bootstrap(environment, "restore", str(backup), "--dry-run")
    assert "make a new installation there" in plan and "beside it" not in plan
    printed = bootstrap(environment, "restore", str(backup), "--yes")
    assert "Restored." in printed, printed
    assert (state / "settings.env").read_text() == secret and not (state / "backups").exists()
    again = Started(environment)
    again.await_line("Cloudsite is ready.", seconds=SECOND_SECONDS)
    known = people(environment)
    assert "before" in known and "after" not in known
    assert again.end(signal.SIGINT) == 0


def empty(state: Path) -> None:
    """As on a new machine, but for the Python packages, which take a minute to come."""
    for path in state.iterdir():
        if path.name != "venv":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def test_a_whole_life(environment: dict[str, str]) -> None:
    state = Path(environment["CLOUDSITE_STATE_DIR"])
    port, lan_port = int(environment["CLOUDSITE_PORT"]), int(environment["CLOUDSITE_LAN_PORT"])
    first = Started(environment)
    first.await_line("Cloudsite is ready.", seconds=FIRST_SECONDS)
    first.await_line("Stop ", seconds=5)
    assert answers("127.0.0.1", port, status=200)
    assert answers("127.0.0.1", lan_port, tls=True, status=200)
    assert "SHA-256" in "".join(first.lines)

    running = pids(state)
    assert set(running) == set(NAMES)
    assert {owner(pid) for pid in running.values()} == {"cloudsite"}, "something runs with root's rights"
    assert stat.S_IMODE((state / "run").stat().st_mode) & 0o007 == 0, "others could reach the sockets"
    assert (state / "settings.env").stat().st_mode & 0o077 == 0
    assert (state / "supervisor").stat().st_uid == 0 and (state / "venv").stat().st_uid == 0
    assert {path.stem for path in (state / "log").glob("*.log")} >= set(NAMES)
    assert "is running already" in bootstrap(environment, "run")
    assert wait_until(lambda: reports(environment) > 0, timeout=60), "the agent of this machine has not reported"

    for name in ("web", "postgres", "redis"):
        os.kill(running[name], signal.SIGKILL)
        assert wait_until(lambda name=name: pids(state).get(name) != running[name], timeout=20), name  # type: ignore[misc]
        assert wait_until(lambda: answers("127.0.0.1", port, status=200), timeout=40), name

    before = pids(state)
    first.end(signal.SIGKILL)
    second = Started(environment)
    seconds = second.await_line("Cloudsite is ready.", seconds=SECOND_SECONDS)
    print(f"second start: {seconds:.1f} s")
    assert not set(before.values()) & set(pids(state).values())
    assert not any(processes.group_members(pid) for pid in before.values()), "left over from the killed one"

    backup = back_up(environment, state)
    groups = list(pids(state).values())
    assert second.end(signal.SIGINT) == 0
    assert not any(processes.group_members(pid) for pid in groups)
    assert libvirtd.answers(), "libvirtd belongs to the machine and has to stay"

    get_back(environment, state, backup)
    third = Started(environment | own_servers() | {"CLOUDSITE_LAN": "off"})
    third.await_line("Cloudsite is ready.", seconds=SECOND_SECONDS)
    assert set(pids(state)) == set(NAMES) - {"postgres", "redis", "web-lan"}
    assert not answers("127.0.0.1", lan_port, tls=True)
    assert third.end(signal.SIGTERM) == 0

    ours = (state / "installation").read_text().split()
    assert len(ours) == 2, "another database is another installation"
    answer = bootstrap(environment, "uninstall")
    assert "Nothing was removed." in answer and state.exists(), "it was removed without a yes"
    bootstrap(environment, "uninstall", "--yes")
    assert not state.exists()
    assert not Path(environment["CLOUDSITE_MACHINE_RECORD"]).exists()
    for listing in ("net-list", "pool-list"):
        there = run(["virsh", "-c", libvirtd.URI, listing, "--all"], timeout=30).stdout
        assert not [one for one in ours if one in there]
    assert not [one for one in ours if (uninstall.POOLS / f"cs-{one}").exists()]
