"""The configuration file of the agent: JSON, every field checked before anything is started."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

GIBIBYTE = 2**30


class UnusableConfiguration(Exception):
    """The file cannot be followed; the text says which field and why."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The fields of the file. Only these names are known."""

    ca: Path
    certificate: Path
    key: Path
    state_dir: Path
    ingest: str | None = None
    listen: str | None = None
    listen_certificate: Path | None = None
    listen_key: Path | None = None
    backend_origin: str | None = None
    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    machine_id_file: Path = Path("/etc/machine-id")
    idle_watts: float | None = None
    max_watts: float | None = None
    buffer_bytes: int = GIBIBYTE // 4
    buffer_hours: float = 48.0

    @classmethod
    def load(cls, path: Path) -> Configuration:
        """:raises UnusableConfiguration: with the sentence for whoever wrote the file."""
        try:
            document = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise UnusableConfiguration(f"{path}: {error}") from error
        if not isinstance(document, dict):
            raise UnusableConfiguration(f"{path}: it is not an object")
        return cls.parse(document)

    @classmethod
    def parse(cls, document: dict[str, object]) -> Configuration:
        """:raises UnusableConfiguration: naming the field."""
        if unknown := document.keys() - {field.name for field in fields(cls)}:
            raise UnusableConfiguration(f"unknown: {', '.join(sorted(unknown))}")
        values: dict[str, object] = {}
        for field in fields(cls):
            value = document.get(field.name)
            if value is not None:
                values[field.name] = _READERS[field.name](field.name, value)
        if missing := [name for name in ("ca", "certificate", "key", "state_dir") if name not in values]:
            raise UnusableConfiguration(f"missing: {', '.join(missing)}")
        made = cls(**values)  # type: ignore[arg-type]
        made.check()
        return made

    def check(self) -> None:
        """What no field alone can say."""
        if self.idle_watts is not None and self.max_watts is not None and self.max_watts < self.idle_watts:
            raise UnusableConfiguration("max_watts: it is below idle_watts")
        if (self.listen_certificate is None) != (self.listen_key is None):
            raise UnusableConfiguration("listen_certificate, listen_key: one needs the other")

    @property
    def ingest_address(self) -> tuple[str, int]:
        """Host and port of the backend."""
        url = urlsplit(self.ingest or "")
        return url.hostname or "", url.port or 443

    @property
    def listen_address(self) -> tuple[str, int]:
        """Where the agent's own API listens."""
        host, _, port = (self.listen or "").rpartition(":")
        return host.strip("[]"), int(port)


def _path(name: str, value: object) -> Path:
    if not isinstance(value, str) or not value.startswith("/"):
        raise UnusableConfiguration(f"{name}: an absolute path is wanted")
    return Path(value)


def _ingest(name: str, value: object) -> str:
    if isinstance(value, str) and _is_origin(value, ("https",)):
        return value
    raise UnusableConfiguration(f"{name}: https://HOST:PORT is wanted")


def _origin(name: str, value: object) -> str:
    if isinstance(value, str) and _is_origin(value, ("https", "http")) and not value.endswith("/"):
        return value
    raise UnusableConfiguration(f"{name}: an origin like https://HOST:PORT is wanted")


def _is_origin(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError:
        return False
    plain = url.path in ("", "/") and not url.query and not url.fragment and url.username is None
    return url.scheme in schemes and bool(url.hostname) and port != 0 and plain


def _listen(name: str, value: object) -> str:
    host, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not (host and colon and port.isascii() and port.isdigit() and int(port) < 65536):
        raise UnusableConfiguration(f"{name}: ADDRESS:PORT is wanted")
    return f"{host}{colon}{port}"


def _amount(name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1e15:
        raise UnusableConfiguration(f"{name}: a number of 0 or more is wanted")
    return value


def _hours(name: str, value: object) -> float:
    if not (hours := _amount(name, value)):
        raise UnusableConfiguration(f"{name}: it has to be more than 0")
    return hours


def _bytes(name: str, value: object) -> int:
    amount = _amount(name, value)
    if not isinstance(amount, int) or amount < 2**20:
        raise UnusableConfiguration(f"{name}: a whole number from 1048576 is wanted")
    return amount


_READERS = {
    "ca": _path,
    "certificate": _path,
    "key": _path,
    "state_dir": _path,
    "ingest": _ingest,
    "listen": _listen,
    "listen_certificate": _path,
    "listen_key": _path,
    "backend_origin": _origin,
    "proc": _path,
    "sys": _path,
    "machine_id_file": _path,
    "idle_watts": _amount,
    "max_watts": _amount,
    "buffer_bytes": _bytes,
    "buffer_hours": _hours,
}
