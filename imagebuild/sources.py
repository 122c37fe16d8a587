"""Reads the machine's package sources and keeps only Debian's own entries.

A build must not depend on whatever else the owner added (a vendor's repository, a PPA): its packages could
replace Debian's, and its outage would break the build. Both formats are read, one-line (`*.list`) and
deb822 (`*.sources`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from imagebuild.errors import BuildError

DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_ONE_LINE = re.compile(r"^(deb|deb-src)\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)$")
_NO = frozenset({"no", "false", "without", "off", "disable"})
_KEPT_OPTIONS = frozenset({"signed-by", "trusted", "allow-insecure", "check-valid-until", "check-date"})


@dataclass(frozen=True, kw_only=True)
class Source:
    """One repository: where it is, which suite and which components of it."""

    uri: str
    suite: str
    components: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()

    def line(self) -> str:
        """The entry in one-line format."""
        options = " ".join(f"{key}={value}" for key, value in self.options)
        bracket = f"[{options}] " if options else ""
        return f"deb {bracket}{self.uri} {self.suite} {' '.join(self.components)}"


def debian_sources(*, codename: str, etc_apt: Path = Path("/etc/apt")) -> tuple[Source, ...]:
    """Debian's entries for `codename` and its updates and security suites, restricted to the component main.

    Entries on debian.org win; only where there are none do mirrors count (recognised by their path, as in
    `https://mirror.example/debian`). Whatever is chosen is verified with Debian's archive keys unless the
    entry names its own.
    """
    suites = {codename, f"{codename}-updates", f"{codename}-security"}
    found = [source for source in read_sources(etc_apt) if source.suite.strip("/") in suites]
    found = [source for source in found if "main" in source.components]
    chosen = [source for source in found if _host_is_debian(source.uri)]
    chosen = chosen or [source for source in found if _path_is_debian(source.uri)]
    if not any(source.suite == codename for source in chosen):
        raise BuildError(f"no Debian package source for {codename} in {etc_apt}/sources.list or sources.list.d")
    unique = {(source.uri, source.suite): _main_only(source) for source in chosen}
    return tuple(unique.values())


def read_sources(etc_apt: Path) -> Iterator[Source]:
    """Every enabled binary entry of sources.list and sources.list.d, in apt's order."""
    parts = etc_apt / "sources.list.d"
    listed = [etc_apt / "sources.list", *sorted(parts.glob("*"))]
    for path in listed:
        if not path.is_file():
            continue
        if path.suffix == ".list":
            yield from parse_one_line(path.read_text(errors="replace"))
        elif path.suffix == ".sources":
            yield from parse_deb822(path.read_text(errors="replace"))


def parse_one_line(text: str) -> Iterator[Source]:
    """Entries of a `sources.list`."""
    for line in text.splitlines():
        match = _ONE_LINE.match(line.split("#", 1)[0].strip())
        if match is None or match[1] != "deb":
            continue
        pairs = (option.split("=", 1) for option in (match[2] or "").split() if "=" in option)
        options = tuple((key.lower(), value) for key, value in pairs if key.lower() in _KEPT_OPTIONS)
        yield Source(uri=match[3], suite=match[4], components=tuple(match[5].split()), options=options)


def parse_deb822(text: str) -> Iterator[Source]:
    """Entries of a `.sources` file: stanzas of fields, one entry per URI and suite."""
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", kept):
        fields = _stanza_fields(stanza)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in (
            "no",
            "false",
        ):
            continue
        options = tuple((key, value) for key, value in fields.items() if key in _KEPT_OPTIONS and "\n" not in value)
        components = tuple(fields.get("components", "").split())
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(uri=uri, suite=suite, components=components, options=options)


def _stanza_fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1].isspace() and name:
            fields[name] += "\n" + line.strip()
        elif ":" in line:
            name, value = line.split(":", 1)
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _host_is_debian(uri: str) -> bool:
    host = urlsplit(uri).hostname or ""
    return host == "debian.org" or host.endswith(".debian.org")


def _path_is_debian(uri: str) -> bool:
    name = urlsplit(uri).path.rstrip("/").rsplit("/", 1)[-1]
    return name.removesuffix(".list") in {"debian", "debian-security"}


def _main_only(source: Source) -> Source:
    keys = {key for key, _ in source.options}
    extra = () if keys & {"signed-by", "trusted"} else (("signed-by", DEBIAN_KEYRING),)
    return replace(source, components=("main",), options=source.options + extra)


def os_codename(os_release: Path = Path("/etc/os-release")) -> str:
    """The codename of this machine's Debian release."""
    for line in os_release.read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.split("=", 1)[1].strip().strip('"')
    raise BuildError(f"{os_release} names no VERSION_CODENAME; building from packages needs Debian")
