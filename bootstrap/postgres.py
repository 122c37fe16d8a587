"""A private PostgreSQL: Debian's programs, our directory, one Unix socket, no network, no system cluster."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from bootstrap.accounts import Identity
from bootstrap.commands import CommandFailed, run
from bootstrap.packages import postgres_bin

ROLE = "cloudsite"
OWNER = "postgres"
TEST_OPTIONS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")
CONFIGURATION = """\
# written at every start; local changes belong into local.conf
listen_addresses = ''
unix_socket_permissions = 0770
max_connections = 200
shared_buffers = 128MB
log_destination = 'stderr'
logging_collector = off
log_timezone = 'UTC'
timezone = 'UTC'
include_if_exists = 'local.conf'
"""


def initialise(data: Path, *, identity: Identity, system_users: Sequence[str]) -> None:
    """Make the cluster's directory once, and write who may connect at every start.

    Connections are by peer: the kernel says who is on the other end of the socket; no password exists.

    :param system_users: the operating system's users that may act as the application's role.
    """
    if not (data / "PG_VERSION").exists():
        shutil.rmtree(data, ignore_errors=True)
        command = [str(_bin(data) / "initdb"), "--pgdata", str(data), "--username", OWNER, "--auth=peer"]
        command += ["--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions", "--data-checksums"]
        run(command, timeout=180, identity=identity, cwd=Path("/"))
    maps = "".join(f"cloudsite {user} {role}\n" for user in system_users for role in (OWNER, ROLE))
    _write(data / "pg_ident.conf", maps, identity)
    _write(data / "pg_hba.conf", "local all all peer map=cloudsite\n", identity)
    _write(data / "cloudsite.conf", CONFIGURATION, identity)
    main = data / "postgresql.conf"
    include = "include 'cloudsite.conf'\n"
    if include not in main.read_text():
        _write(main, main.read_text() + include, identity)


def _write(path: Path, text: str, identity: Identity) -> None:
    run(["tee", str(path)], timeout=20, identity=identity, stdin_text=text, cwd=Path("/"))


def _bin(data: Path) -> Path:
    """The programs that fit the directory's version, so that a Debian upgrade does not strand the data."""
    version = data / "PG_VERSION"
    if version.exists():
        fitting = Path("/usr/lib/postgresql") / version.read_text().strip() / "bin"
        if (fitting / "postgres").exists():
            return fitting
    return postgres_bin()


def command(data: Path, socket_dir: Path, options: Sequence[str] = ()) -> list[str]:
    """The server in the foreground."""
    settings = [f"unix_socket_directories={socket_dir}", *options]
    return [
        str(_bin(data) / "postgres"),
        "-D",
        str(data),
        *(part for item in settings for part in ("-c", item)),
    ]


def is_ready(socket_dir: Path) -> bool:
    try:
        answer = run([str(postgres_bin() / "pg_isready"), "-q", "-h", str(socket_dir)], timeout=10, check=False)
    except CommandFailed:
        return False
    return answer.returncode == 0


def query(socket_dir: Path, sql: str, *, database: str = "postgres", identity: Identity | None = None) -> str:
    """Run SQL as the cluster's owner and return the bare result."""
    program = [str(postgres_bin() / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
    program += ["-h", str(socket_dir), "-U", OWNER, "-d", database, "-c", sql]
    return run(program, timeout=60, identity=identity, cwd=Path("/")).stdout.strip()


def ensure_database(socket_dir: Path, *, identity: Identity, superuser: bool = False) -> None:
    """Make the application's role and database; the tests' role may also make databases of its own."""
    rights = "SUPERUSER" if superuser else "NOSUPERUSER"
    roles = query(socket_dir, "SELECT rolname FROM pg_roles", identity=identity).splitlines()
    if ROLE not in roles:
        query(socket_dir, f"CREATE ROLE {ROLE} LOGIN {rights}", identity=identity)
    databases = query(socket_dir, "SELECT datname FROM pg_database", identity=identity).splitlines()
    if ROLE not in databases:
        query(socket_dir, f"CREATE DATABASE {ROLE} OWNER {ROLE}", identity=identity)
