"""Backup files: what may be in one, and that nothing else is believed. The whole way is in ``test_run.py``."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bootstrap import restoring
from bootstrap.backup import libpq_environment
from bootstrap.errors import BootstrapError
from bootstrap.settings import Settings

Members = list[tuple[tarfile.TarInfo, bytes]]


def member(name: str, content: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def link(name: str, target: str, kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def manifest(files: dict[str, str], **changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    values = {"format": 1, "made_at": "2026-01-02T03:04:05+00:00", "installation": "1a2b3c4d", "files": files}
    return member("manifest.json", json.dumps(values | changes).encode())


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """An archive of these members, with a manifest that agrees with them unless another one is given."""

    def build(*members: tuple[tarfile.TarInfo, bytes], first: tuple[tarfile.TarInfo, bytes] | None = None) -> Path:
        path = tmp_path / "backup.tar.gz"
        files = {info.name: hashlib.sha256(content).hexdigest() for info, content in members}
        with tarfile.open(path, "w:gz") as archive:
            for info, content in (first or manifest(files), *members):
                archive.addfile(info, io.BytesIO(content))
        return path

    return build


def test_a_good_one_is_read(write: Callable[..., Path]) -> None:
    found = restoring.read(write(member("database.dump"), member("pki/ca.crt"), member("settings.env")))
    assert found.names == ["database.dump", "pki/ca.crt", "settings.env"]


@pytest.mark.parametrize(
    "intruder",
    [
        member("../outside"),
        member("/etc/passwd"),
        member("pki/../../outside"),
        member("pki"),
        member("log/web.log"),
        link("pki/ca.key", "/etc/shadow", tarfile.SYMTYPE),
        link("keys/id", "settings.env", tarfile.LNKTYPE),
        link("keys/pipe", "", tarfile.FIFOTYPE),
    ],
    ids=lambda item: f"{item[0].name} {item[0].type!r}",
)
def test_what_does_not_belong_into_one_is_refused(
    write: Callable[..., Path], intruder: tuple[tarfile.TarInfo, bytes]
) -> None:
    with pytest.raises(BootstrapError, match="does not belong into a backup"):
        restoring.read(write(member("database.dump"), intruder))


def test_a_changed_file_is_named(write: Callable[..., Path]) -> None:
    members = (member("database.dump", b"changed"), member("pki/ca.crt"))
    files = {"database.dump": "0" * 64, "pki/ca.crt": hashlib.sha256(b"x").hexdigest()}
    with pytest.raises(BootstrapError, match=r"damaged: database\.dump"):
        restoring.read(write(*members, first=manifest(files)))


def test_a_missing_file_is_named(write: Callable[..., Path]) -> None:
    files = {"database.dump": hashlib.sha256(b"x").hexdigest(), "pki/ca.key": "0" * 64}
    with pytest.raises(BootstrapError, match=r"damaged: pki/ca\.key"):
        restoring.read(write(member("database.dump"), first=manifest(files)))


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (member("other.json"), "does not begin with a manifest"),
        (manifest({"database.dump": ""}, format=2), "another format"),
        (manifest({"pki/ca.crt": ""}), "no database"),
        (member("manifest.json", b"[]"), "another format"),
        (member("manifest.json", b"{"), "cannot be used as a backup"),
    ],
)
def test_a_manifest_that_is_none(write: Callable[..., Path], first: tuple[tarfile.TarInfo, bytes], said: str) -> None:
    with pytest.raises(BootstrapError, match=said):
        restoring.read(write(member("database.dump"), first=first))


def test_half_a_file(write: Callable[..., Path]) -> None:
    path = write(member("database.dump", bytes(range(256)) * 4096))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BootstrapError, match="cannot be used as a backup"):
        restoring.read(path)


@pytest.mark.parametrize("content", [b"", b"no archive at all", b"\x1f\x8b\x08\x00"], ids=["empty", "text", "header"])
def test_something_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(BootstrapError, match="cannot be used as a backup"):
        restoring.read(path)


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(BootstrapError, match="No such file"):
        restoring.read(tmp_path / "none")


@pytest.mark.parametrize(
    ("there", "url", "holds"),
    [
        ((), None, False),
        (("settings.env",), None, True),
        (("postgres/data/PG_VERSION",), None, True),
        ((), "postgresql://db.example/cloud", True),
    ],
    ids=["new", "installation", "keys were lost", "directory was lost, database of their own"],
)
def test_what_may_be_lost_is_backed_up_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], there: tuple[str, ...], url: str | None, holds: bool
) -> None:
    for name in there:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    settings = Settings(state_dir=tmp_path, database_url=url)
    assert restoring.holds_something(settings) is holds
    made = {"made_at": "2026-01-02T03:04:05+00:00", "installation": "1a2b3c4d", "files": {}}
    restoring.say_plan(settings, restoring.Backup(path=tmp_path, manifest=made))
    assert ("back up what is there now" in capsys.readouterr().out) is holds


def test_a_password_is_not_among_the_words_of_a_command() -> None:
    assert libpq_environment("postgresql://me%40home:s%2Fcret@db.example:5433/cloud?sslmode=verify-full") == {
        "PGHOST": "db.example",
        "PGPORT": "5433",
        "PGUSER": "me@home",
        "PGPASSWORD": "s/cret",
        "PGDATABASE": "cloud",
        "PGSSLMODE": "verify-full",
    }
    assert libpq_environment("postgresql://cloudsite@/cloudsite?host=/run/x") == {
        "PGHOST": "/run/x",
        "PGUSER": "cloudsite",
        "PGDATABASE": "cloudsite",
    }
