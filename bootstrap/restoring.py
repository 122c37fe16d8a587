"""``make restore``: an installation as a backup remembers it, on this machine or on another one.

Machines on hosts are left alone. What the backup does not know of is shown afterwards and never deleted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootstrap import backup, installation, packages, postgres, process_table
from bootstrap.commands import is_root
from bootstrap.console import say, step
from bootstrap.errors import BootstrapError
from bootstrap.process_table import Surroundings
from bootstrap.root_tasks import enter_new_groups, prepare_machine
from bootstrap.settings import Settings, load, remember_installation
from bootstrap.supervisor import Supervisor, is_locked
from bootstrap.uninstall import agreed

MOST_BYTES = 64 * 2**30


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A backup file that was read to its end and is what it says."""

    path: Path
    manifest: dict[str, Any]

    @property
    def names(self) -> list[str]:
        return sorted(self.manifest["files"])


def start(arguments: Sequence[str]) -> int:
    """The command: check the file, say what is replaced, ask, replace."""
    words = [word for word in arguments if not word.startswith("--")]
    flags = set(arguments) - set(words)
    if len(words) != 1 or flags - {"--yes", "--dry-run"}:
        raise BootstrapError('Name the file: make restore ARGS="/safe/place/cloudsite.tar.gz [--dry-run] [--yes]"')
    settings = load()
    found = read(Path(words[0]).absolute())
    if is_locked(settings.pid_dir):
        raise BootstrapError("Cloudsite is running; `make stop` first (under systemd: stop its units).")
    say_plan(settings, found)
    if "--dry-run" in flags:
        say("Nothing was changed.")
        return 0
    if not agreed("--yes" in flags):
        raise BootstrapError("Nothing was changed. Say yes with --yes.")
    prepare_machine(packages.RUNTIME, purpose="run Cloudsite")
    enter_new_groups(["restore", *arguments])
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    supervisor = Supervisor(pid_dir=settings.pid_dir, log_dir=settings.log_dir, state_dir=settings.state_dir)
    with supervisor:
        _restore(settings, found, supervisor)
    say("\nRestored. `make run` starts it; the overview then says in what the hosts differ from the backup.")
    say("Everybody has to sign in again, and what was under way when the backup was made has been ended.")
    return 0


def say_plan(settings: Settings, found: Backup) -> None:
    """The preview."""
    say(f"{found.path} was made at {found.manifest['made_at']} from installation {found.manifest['installation']}.")
    say(f"Restoring it into {settings.state_dir} will:")
    if holds_something(settings):
        say("  back up what is there now, beside it, so that this can be undone")
    else:
        say("  make a new installation there: nothing is there yet")
    say("  replace the database, the keys and the certificate authority")
    say("  bring back no image files: those that this machine does not have are to be imported or uploaded again")
    say("  leave every machine, disk and network on the hosts as it is")


def holds_something(settings: Settings) -> bool:
    """Whether there may be a database to lose. One of the user's own may, whatever became of the state directory."""
    private = settings.postgres_dir / "data" / "PG_VERSION"
    return settings.secrets_file.exists() or private.exists() or settings.database_url is not None


def read(path: Path) -> Backup:
    """Check a backup from end to end before anything is touched.

    :raises BootstrapError: saying what is wrong with the file.
    """
    try:
        with tarfile.open(path, mode="r:gz") as archive:
            manifest = _read_manifest(archive)
            _check_members(archive, manifest["files"])
    except (OSError, EOFError, tarfile.TarError, KeyError, TypeError, ValueError) as error:
        raise BootstrapError(f"{path} cannot be used as a backup: {error}") from error
    return Backup(path=path, manifest=manifest)


def _read_manifest(archive: tarfile.TarFile) -> dict[str, Any]:
    first = archive.next()
    if first is None or first.name != backup.MANIFEST or not first.isfile():
        raise ValueError("it does not begin with a manifest, so it was not made by `make backup`")
    stream = archive.extractfile(first)
    manifest = json.loads(stream.read(2**20)) if stream else None
    if not isinstance(manifest, dict) or manifest.get("format") != backup.FORMAT:
        raise ValueError("it is of another format than this version of Cloudsite reads")
    if backup.DUMP not in manifest["files"]:
        raise ValueError("there is no database in it")
    return manifest


def _check_members(archive: tarfile.TarFile, expected: dict[str, str]) -> None:
    seen: dict[str, str] = {}
    for member in archive:
        if member.name == backup.MANIFEST:
            continue
        if not member.isfile() or not is_ours(member.name) or member.size > MOST_BYTES:
            raise ValueError(f"{member.name!r} does not belong into a backup")
        seen[member.name] = _digest(archive, member)
    if seen != expected:
        wrong = sorted(name for name in {*seen, *expected} if seen.get(name) != expected.get(name))
        raise ValueError(f"damaged: {', '.join(wrong)}")


def _digest(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    digest = hashlib.sha256()
    stream = archive.extractfile(member)
    while stream is not None and (piece := stream.read(2**20)):
        digest.update(piece)
    return digest.hexdigest()


def is_ours(name: str) -> bool:
    """Whether a name in an archive is one that a backup holds, and leads nowhere else."""
    parts = Path(name).parts
    if name in (backup.DUMP, *backup.FILES):
        return True
    return len(parts) > 1 and parts[0] in backup.DIRECTORIES and ".." not in parts and not name.startswith("/")


def _restore(settings: Settings, found: Backup, supervisor: Supervisor) -> None:
    existed = holds_something(settings)
    around = installation.surroundings(settings)
    installation.prepare_servers(around)
    for spec in process_table.servers(around):
        supervisor.start(spec)
    if settings.database_url is None:
        postgres.ensure_database(settings.run_dir, identity=around.identity)
    if existed:
        kept = backup.default_target(settings, reason="-before-restore")
        backup.make(around, kept)
        say(f"    what was there is in {kept}")
    with backup.working_directory(around.identity) as work:
        _unpack(found, work)
        with step("Replacing the database"):
            _load(around, work)
        with step("Replacing the keys and certificates"):
            _replace_files(around, work, found.names)
    renewed = installation.surroundings(settings)
    with step("Bringing the database up to date"):
        migrate = ("migrate", "--noinput", "--verbosity", "0")
        restored = ("mark_restored", "--made-at", str(found.manifest["made_at"]))
        printed = installation.run_django(renewed, [migrate, restored])
    remember_installation(settings, printed["installation"])


def _unpack(found: Backup, work: Path) -> None:
    """Write the files by hand: Debian 12's ``tarfile`` has no filter against members that lead elsewhere."""
    with tarfile.open(found.path, mode="r:gz") as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() and is_ours(member.name) else None
            if stream is None:
                continue
            target = work / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as copy:
                shutil.copyfileobj(stream, copy, 2**20)
            target.chmod(member.mode & 0o777)


def _load(around: Surroundings, work: Path) -> None:
    """All or nothing: one transaction drops what there is and makes what the backup holds."""
    bin_directory = packages.postgres_bin()
    script, first = work / "restore.sql", work / "first.sql"
    if is_root():
        os.chown(work / backup.DUMP, around.identity.uid, around.identity.gid)
    command = [str(bin_directory / "pg_restore"), "--no-owner", "--no-privileges", f"--file={script}"]
    backup.database_program(around, [*command, str(work / backup.DUMP)])
    first.write_text("DROP OWNED BY CURRENT_USER;\n")
    first.chmod(0o644)
    psql = [str(bin_directory / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "--no-password", "--single-transaction"]
    backup.database_program(around, [*psql, "-f", str(first), "-f", str(script), "-o", "/dev/null"])


def _replace_files(around: Surroundings, work: Path, names: Sequence[str]) -> None:
    """Directories as a whole: a key that the backup does not have must not stay beside those it has."""
    state = around.settings.state_dir
    for directory in backup.DIRECTORIES:
        if any(name.startswith(f"{directory}/") for name in names):
            shutil.rmtree(state / directory, ignore_errors=True)
    for name in names:
        if name == backup.DUMP:
            continue
        target = state / name
        for parent in reversed(target.relative_to(state).parents[:-1]):
            (state / parent).mkdir(mode=0o700, exist_ok=True)
            _give(state / parent, around)
        temporary = target.with_name(target.name + ".new")
        shutil.copyfile(work / name, temporary)
        temporary.chmod((work / name).stat().st_mode & 0o777)
        if name not in backup.FILES:
            _give(temporary, around)
        temporary.replace(target)


def _give(path: Path, around: Surroundings) -> None:
    if is_root():
        os.chown(path, around.identity.uid, around.identity.gid)
