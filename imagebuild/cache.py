"""The build cache: finished files by key, one builder at a time, nothing half-written under a final name."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from imagebuild.errors import BuildError

LOCK_POLL_SECONDS = 0.2
PRUNE_SECONDS = 7 * 24 * 3600


@contextlib.contextmanager
def locked(cache: Path, *, name: str, timeout: float) -> Iterator[None]:
    """Hold the cache's lock `name`; the kernel gives it back when the holder dies, however it dies."""
    cache.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout
    with (cache / f".{name}.lock").open("w") as handle:
        while not _try_lock(handle.fileno()):
            if time.monotonic() > deadline:
                raise BuildError(f"another build has held {handle.name} for {timeout:.0f} s")
            time.sleep(LOCK_POLL_SECONDS)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def workspace(cache: Path, *, name: str) -> Iterator[Path]:
    """A scratch directory below the cache; the ones an interrupted build left are removed first.

    Call it only with the lock `name` held: then no live builder can own a leftover.
    """
    prefix = f".work-{name}-"
    for leftover in cache.glob(f"{prefix}*"):
        shutil.rmtree(leftover)
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir=cache))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def publish(source: Path, target: Path) -> None:
    """Copy `source` to `target`, which is at any moment absent, the old file or the whole new file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    staged = Path(name)
    try:
        shutil.copyfile(source, staged)
        os.fchmod(descriptor, 0o644)
        os.fsync(descriptor)
        staged.replace(target)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def prune(cache: Path, *, pattern: str, keep: Path) -> None:
    """Delete files of former recipes, unless they are so new that another checkout may be using them."""
    for path in cache.glob(pattern):
        if path != keep and time.time() - path.stat().st_mtime > PRUNE_SECONDS:
            path.unlink(missing_ok=True)


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's content as hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def recipe_key(*parts: bytes) -> str:
    """A short name for everything a build depends on: the same parts, the same key."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]


def default_cache() -> Path:
    """Where builds are kept unless the caller says otherwise."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cloudsite" / "imagebuild"
