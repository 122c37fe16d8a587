"""``make backup``: everything Cloudsite knows, in one file: the database, the keys and the certificate authority.

Disks of machines and images stay on their hosts; they are not in it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from bootstrap import installation
from bootstrap.accounts import Identity
from bootstrap.commands import is_root, run
from bootstrap.console import say, step
from bootstrap.errors import BootstrapError
from bootstrap.packages import postgres_bin
from bootstrap.process_table import Surroundings
from bootstrap.settings import Settings, installation_of

FORMAT = 1
DUMP = "database.dump"
MANIFEST = "manifest.json"
DIRECTORIES = ("pki", "keys")
FILES = ("settings.env",)
DATABASE_SECONDS = 3600.0
QUERY_TO_VARIABLE = {
    "host": "PGHOST",
    "port": "PGPORT",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}


def start(arguments: Sequence[str]) -> int:
    """The command: write the backup to the file named, or below the state directory."""
    if len(arguments) > 1 or any(word.startswith("-") for word in arguments):
        raise BootstrapError('One file at most: make backup ARGS="/safe/place/cloudsite.tar.gz"')
    around = installation.restore()
    target = Path(arguments[0]).absolute() if arguments else default_target(around.settings)
    make(around, target)
    say(f"\nWritten: {target}")
    say("It holds the keys of this installation: keep it where only you can read it, and off this machine.")
    say(f'Get it back with: make restore ARGS="{target}"')
    return 0


def default_target(settings: Settings, *, reason: str = "") -> Path:
    """A name of its own for every second, below the state directory."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return settings.state_dir / "backups" / f"cloudsite-{stamp}{reason}.tar.gz"


def make(around: Surroundings, target: Path) -> None:
    """Write a backup; the file appears under its name once it is complete.

    :raises BootstrapError: the database does not answer, or the file exists.
    """
    if target.exists():
        raise BootstrapError(f"{target} exists already; a backup is never overwritten.")
    if not target.parent.is_dir():
        if target.parent.name != "backups":
            raise BootstrapError(f"There is no directory {target.parent}.")
        target.parent.mkdir(mode=0o700)
    with step("Backing up the database, the keys and the certificates"), working_directory(around.identity) as work:
        dump(around, work / DUMP)
        _pack(around.settings, work / DUMP, target)


@contextmanager
def working_directory(identity: Identity) -> Iterator[Path]:
    """A directory that the service user can write, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="cs-backup-") as name:
        path = Path(name)
        if is_root():
            os.chown(path, identity.uid, identity.gid)
        yield path


def dump(around: Surroundings, target: Path) -> None:
    """One consistent picture of the database, also while everything runs."""
    command = [str(postgres_bin() / "pg_dump"), "--format=custom", "--no-owner", "--no-privileges"]
    command += ["--exclude-table-data=metrics_*_raw_*"]  # by far the largest, and gone in two days; roll-ups stay
    try:
        database_program(around, [*command, "--no-password", f"--file={target}"])
    except BootstrapError as error:
        raise BootstrapError(
            f"{error}\nThe database has to answer: `make run` in another terminal, then again."
        ) from None


def database_program(around: Surroundings, command: Sequence[str]) -> str:
    """Run one of PostgreSQL's programs against the installation's database; the password is not in its words."""
    environment = dict(os.environ) | libpq_environment(around.environment["DATABASE_URL"])
    result = run(command, timeout=DATABASE_SECONDS, env=environment, identity=around.identity, cwd=Path("/"))
    return result.stdout


def libpq_environment(url: str) -> dict[str, str]:
    """A database URL as the variables that libpq reads."""
    parts = urlsplit(url)
    values = {
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port or ""),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.lstrip("/")),
    }
    for name, given in parse_qs(parts.query).items():
        if name in QUERY_TO_VARIABLE:
            values[QUERY_TO_VARIABLE[name]] = given[-1]
    return {name: value for name, value in values.items() if value}


def _pack(settings: Settings, database: Path, target: Path) -> None:
    members = {DUMP: database}
    members |= {name: settings.state_dir / name for name in FILES if (settings.state_dir / name).is_file()}
    for directory in DIRECTORIES:
        root = settings.state_dir / directory
        for path in sorted(root.rglob("*")) if root.is_dir() else ():
            if path.is_file() and not path.is_symlink():
                members[str(path.relative_to(settings.state_dir))] = path
    manifest = _manifest(settings, members)
    partial = target.with_name(target.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream, tarfile.open(fileobj=stream, mode="w:gz") as archive:
            _add(archive, MANIFEST, json.dumps(manifest, indent=2).encode())
            for name, path in members.items():
                archive.add(path, arcname=name, recursive=False, filter=_anonymous)
            stream.flush()
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)


def _manifest(settings: Settings, members: Mapping[str, Path]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "installation": installation_of(settings),
        "files": {name: _digest(path) for name, path in members.items()},
    }


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o600
    archive.addfile(member, io.BytesIO(content))


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Users have other numbers on another machine; who owns what is decided there."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
