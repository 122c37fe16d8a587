"""The private PostgreSQL and Redis: who may connect, what survives, what is refused."""

from __future__ import annotations

import os
import pwd
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bootstrap import accounts, postgres, redis
from bootstrap.commands import CommandFailed, as_root, run
from bootstrap.testenv import _server
from bootstrap.waiting import wait_until

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


@pytest.fixture
def identity() -> accounts.Identity:
    return accounts.service_identity()


def owned(path: Path, identity: accounts.Identity) -> Path:
    path.mkdir(mode=0o755)
    if os.geteuid() == 0:
        os.chown(path, identity.uid, identity.gid)
    return path


@pytest.fixture
def postgres_socket(short_dir: Path, identity: accounts.Identity) -> Iterator[Path]:
    data, sockets = owned(short_dir / "pg", identity) / "data", owned(short_dir / "run", identity)
    postgres.initialise(data, identity=identity, system_users=sorted({"root", identity.name}))
    command = postgres.command(data, sockets, postgres.TEST_OPTIONS)
    log = short_dir / "postgres.log"
    ready = lambda: postgres.is_ready(sockets)  # noqa: E731
    with _server(command, identity, stop=signal.SIGINT, ready=ready, log=log):
        postgres.ensure_database(sockets, identity=identity)
        yield sockets


def ask(sockets: Path, sql: str, *, role: str = postgres.ROLE, identity: accounts.Identity | None = None) -> str:
    program = [str(postgres.postgres_bin() / "psql"), "-X", "-A", "-t", "-h", str(sockets), "-U", role]
    return run([*program, "-d", postgres.ROLE, "-c", sql], timeout=30, identity=identity, cwd=Path("/")).stdout.strip()


def test_the_application_owns_its_database_and_rules_nothing_else(postgres_socket: Path) -> None:
    rights = "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
    assert ask(postgres_socket, rights) == "f|f|f"
    assert "CREATE TABLE" in ask(postgres_socket, "CREATE TABLE t (id int)")
    with pytest.raises(CommandFailed, match="must be superuser"):
        ask(postgres_socket, "COPY (SELECT 1) TO PROGRAM 'id'")


def test_making_it_again_changes_nothing(postgres_socket: Path, identity: accounts.Identity) -> None:
    ask(postgres_socket, "CREATE TABLE kept (id int)")
    data = postgres_socket.parent / "pg" / "data"
    before = (data / "postgresql.conf").read_text()
    postgres.initialise(data, identity=identity, system_users=["root", identity.name])
    postgres.ensure_database(postgres_socket, identity=identity)
    assert (data / "postgresql.conf").read_text() == before
    assert ask(postgres_socket, "SELECT count(*) FROM kept") == "0"


def test_no_network_port_is_open(postgres_socket: Path) -> None:
    assert ask(postgres_socket, "SHOW listen_addresses") == ""


@needs_root
def test_another_user_of_the_machine_is_refused(postgres_socket: Path) -> None:
    nobody = accounts.identity_of("nobody")
    postgres_socket.chmod(0o755)
    next(postgres_socket.glob(".s.PGSQL.5432")).chmod(0o777)
    for role in (postgres.ROLE, postgres.OWNER):
        with pytest.raises(CommandFailed, match="Peer authentication failed"):
            ask(postgres_socket, "SELECT 1", role=role, identity=nobody)


@contextmanager
def running_redis(base: Path, identity: accounts.Identity) -> Iterator[Path]:
    path = base / "run" / "redis.sock"
    command = redis.command(base / "data", path, links=base)
    with _server(command, identity, stop=signal.SIGTERM, ready=lambda: redis.is_ready(path), log=base / "redis.log"):
        yield path


def cli(path: Path, *words: str) -> str:
    return run(["redis-cli", "-s", str(path), *words], timeout=20).stdout.strip()


def test_redis_keeps_what_it_has_and_evicts_nothing(short_dir: Path, identity: accounts.Identity) -> None:
    owned(short_dir / "run", identity)
    owned(short_dir / "data", identity)
    with running_redis(short_dir, identity) as path:
        assert cli(path, "CONFIG", "GET", "maxmemory-policy").splitlines()[1] == "noeviction"
        assert cli(path, "CONFIG", "GET", "port").splitlines()[1] == "0"
        assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0, "any user of the machine could queue tasks"
        assert cli(path, "SET", "bell", "rung") == "OK"
    with running_redis(short_dir, identity) as path:
        assert cli(path, "GET", "bell") == "rung"


@needs_root
def test_neither_server_runs_as_root(short_dir: Path, identity: accounts.Identity) -> None:
    owned(short_dir / "run", identity)
    owned(short_dir / "data", identity)
    with running_redis(short_dir, identity) as path:
        pid = int(next(line for line in cli(path, "INFO", "server").splitlines() if "process_id" in line).split(":")[1])
        assert pwd.getpwuid(Path(f"/proc/{pid}").stat().st_uid).pw_name == accounts.SERVICE_USER


def test_a_command_that_takes_too_long_is_ended_with_its_children(short_dir: Path) -> None:
    marker = short_dir / "pid"
    with pytest.raises(CommandFailed, match="did not end within 1 s"):
        run(["sh", "-c", f"sleep 600 & echo $! > {marker}; wait"], timeout=1)
    child = Path(f"/proc/{marker.read_text().strip()}")
    assert wait_until(lambda: not child.exists() or "State:\tZ" in (child / "status").read_text(), timeout=10)


def test_a_command_gets_no_input(short_dir: Path) -> None:
    assert run(["cat"], timeout=10).stdout == ""


def test_no_value_of_the_environment_becomes_a_word_of_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bootstrap.commands.is_root", lambda: False)
    monkeypatch.setenv("CLOUDSITE_ADMIN_PASSWORD", "hidden-1")
    monkeypatch.setenv("https_proxy", "http://user:hidden-2@proxy:3128")
    monkeypatch.setenv("LS_COLORS", "x")
    words = as_root(["apt-get", "update"], {"LC_ALL": "C.UTF-8"})
    assert words[:2] == ["sudo", "-n"] and words[3:] == ["env", "LC_ALL=C.UTF-8", "apt-get", "update"]
    kept = words[2].removeprefix("--preserve-env=").split(",")
    assert {"CLOUDSITE_ADMIN_PASSWORD", "https_proxy"} <= set(kept) and "LS_COLORS" not in kept
    assert "hidden" not in " ".join(words)
