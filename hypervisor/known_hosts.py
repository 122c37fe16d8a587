"""Host keys as we show them to a person and as `ssh` reads them: our own known_hosts, one pinned key per
host.
"""

import base64
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hypervisor.specs import HostAddress

DEFAULT_PORT: Final = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """`kind` and `base64` as in known_hosts; `fingerprint` as `ssh-keygen -l` prints it."""

    kind: str
    base64: str

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(base64.b64decode(self.base64)).digest()
        return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def entry_name(address: HostAddress) -> str:
    """How known_hosts calls a host."""
    port = address.port or DEFAULT_PORT
    return address.host if port == DEFAULT_PORT else f"[{address.host}]:{port}"


def pinned_key(file: Path, address: HostAddress) -> HostKey | None:
    for name, kind, text in _entries(file):
        if name == entry_name(address):
            return HostKey(kind=kind, base64=text)
    return None


def pin(file: Path, address: HostAddress, key: HostKey) -> None:
    """Trust this key, and no other, for this host from now on. Only after a person has agreed."""
    _rewrite(file, address, key)


def unpin(file: Path, address: HostAddress) -> None:
    _rewrite(file, address, None)


def _entries(file: Path) -> list[tuple[str, str, str]]:
    if not file.exists():
        return []
    fields = (line.split() for line in file.read_text().splitlines())
    return [(field[0], field[1], field[2]) for field in fields if len(field) >= 3]


def _rewrite(file: Path, address: HostAddress, key: HostKey | None) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(file.with_suffix(".lock")):
        kept = [entry for entry in _entries(file) if entry[0] != entry_name(address)]
        if key is not None:
            kept.append((entry_name(address), key.kind, key.base64))
        descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=".known_hosts.")
        with os.fdopen(descriptor, "w") as handle:
            handle.writelines(f"{' '.join(entry)}\n" for entry in kept)
        Path(temporary).replace(file)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Processes take turns; the lock goes with its holder."""
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
