"""Only Debian's own entries are used, whichever format they are written in and whatever else is there."""

from pathlib import Path

import pytest

from imagebuild.errors import BuildError
from imagebuild.sources import DEBIAN_KEYRING, Source, debian_sources, os_codename, parse_deb822, parse_one_line

DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm-backports
Components: main
"""
FOREIGN = """\
deb [arch=amd64 signed-by=/k.gpg] https://download.docker.com/linux/debian bookworm stable
deb https://apt.releases.hashicorp.com bookworm main
deb https://packages.cloud.google.com/apt cloud-sdk-bookworm main
deb [signed-by=/pg.gpg] https://apt.postgresql.org/pub/repos/apt bookworm-pgdg main
deb-src http://deb.debian.org/debian bookworm main
"""


def etc_apt(directory: Path, *, main: str = "", parts: dict[str, str] | None = None) -> Path:
    (directory / "sources.list.d").mkdir()
    (directory / "sources.list").write_text(main)
    for name, text in (parts or {}).items():
        (directory / "sources.list.d" / name).write_text(text)
    return directory


def test_one_line_entries_are_read() -> None:
    text = "deb [ signed-by=/k.gpg trusted=yes lang=de ] http://m/debian bookworm main contrib # why\n# deb x y z\n"
    (found,) = parse_one_line(text)
    assert found.uri == "http://m/debian" and found.suite == "bookworm"
    assert found.components == ("main", "contrib")
    assert found.options == (("signed-by", "/k.gpg"), ("trusted", "yes"))


def test_deb822_stanzas_are_read_and_disabled_ones_are_not() -> None:
    assert [source.suite for source in parse_deb822(DEB822)] == ["bookworm", "bookworm-updates"]


def test_foreign_entries_are_left_out(tmp_path: Path) -> None:
    parts = {"debian.sources": DEB822, "foreign.list": FOREIGN, "off.list.disabled": FOREIGN}
    found = debian_sources(codename="bookworm", etc_apt=etc_apt(tmp_path, parts=parts))
    assert {source.uri for source in found} == {"http://deb.debian.org/debian"}
    assert {source.components for source in found} == {("main",)}


def test_foreign_entries_alone_are_not_enough(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no Debian package source"):
        debian_sources(codename="bookworm", etc_apt=etc_apt(tmp_path, main=FOREIGN))


def test_a_mirror_is_used_where_debian_org_is_not(tmp_path: Path) -> None:
    main = "deb https://mirror.example/pub/debian/ bookworm main\n"
    (found,) = debian_sources(codename="bookworm", etc_apt=etc_apt(tmp_path, main=main + FOREIGN))
    assert found.line() == f"deb [signed-by={DEBIAN_KEYRING}] https://mirror.example/pub/debian/ bookworm main"


def test_a_mirror_list_of_a_cloud_image_counts(tmp_path: Path) -> None:
    main = "deb mirror+file:/etc/apt/mirrors/debian.list bookworm main\n"
    (found,) = debian_sources(codename="bookworm", etc_apt=etc_apt(tmp_path, main=main))
    assert found.uri.startswith("mirror+file:")


def test_another_release_of_debian_does_not_count(tmp_path: Path) -> None:
    with pytest.raises(BuildError):
        debian_sources(
            codename="bookworm", etc_apt=etc_apt(tmp_path, main="deb http://deb.debian.org/debian trixie main\n")
        )


def test_an_entry_keeps_its_own_key() -> None:
    source = Source(uri="u", suite="s", components=("main",), options=(("signed-by", "/own.gpg"),))
    assert source.line() == "deb [signed-by=/own.gpg] u s main"


def test_the_codename_comes_from_os_release(tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text('NAME="Debian"\nVERSION_CODENAME="bookworm"\n')
    assert os_codename(tmp_path / "os-release") == "bookworm"
    (tmp_path / "other").write_text("NAME=Arch\n")
    with pytest.raises(BuildError, match="VERSION_CODENAME"):
        os_codename(tmp_path / "other")
