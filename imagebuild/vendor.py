"""The vendor's official cloud image: found, downloaded and checked against the published SHA-512 sums."""

import hashlib
import time
import urllib.request
from pathlib import Path

from imagebuild import cache
from imagebuild.errors import BuildError
from imagebuild.progress import Progress

BASE_URL = "https://cloud.debian.org/images/cloud/bookworm/latest"
FILE = "debian-12-genericcloud-amd64.qcow2"
CONNECT_SECONDS = 5.0
DOWNLOAD_SECONDS = 1800.0
MAX_BYTES = 2 << 30
CHUNK = 1 << 20
NOTE_EVERY = 64 << 20


class UnreachableError(Exception):
    """The vendor could not be reached, or stopped sending: no statement about the image itself."""


def download(*, target: Path, cache_dir: Path, progress: Progress, base_url: str = BASE_URL) -> None:
    """Download the image to `target`.

    UnreachableError if the vendor cannot be reached within 5 s or the transfer breaks off; BuildError if what
    arrived is not what the vendor published, which is never a reason to quietly use something else.
    """
    with cache.workspace(cache_dir, name="vendor") as work:
        expected = _published_sum(base_url)
        progress.step("downloading the official image")
        try:
            actual = _fetch(f"{base_url}/{FILE}", target=work / FILE, progress=progress)
        except OSError as error:
            raise UnreachableError(f"the download broke off: {error}") from error
        if actual != expected:
            raise BuildError(f"{base_url}/{FILE} has SHA-512 {actual}, published is {expected}")
        cache.publish(work / FILE, target)


def _published_sum(base_url: str) -> str:
    try:
        with urllib.request.urlopen(f"{base_url}/SHA512SUMS", timeout=CONNECT_SECONDS) as answer:  # noqa: S310
            content: bytes = answer.read(CHUNK)
    except OSError as error:
        raise UnreachableError(f"{base_url} cannot be reached: {getattr(error, 'reason', error)}") from error
    for line in content.decode(errors="replace").splitlines():
        digest, _, name = line.partition(" ")
        if name.strip().lstrip("*") == FILE and len(digest) == hashlib.sha512().digest_size * 2:
            return digest.lower()
    raise BuildError(f"{base_url}/SHA512SUMS does not name {FILE}")


def _fetch(url: str, *, target: Path, progress: Progress) -> str:
    """Download `url`, bounded in time and size; returns its SHA-512."""
    digest = hashlib.sha512()
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    received = 0
    with urllib.request.urlopen(url, timeout=30) as answer, target.open("wb") as output:  # noqa: S310
        while chunk := answer.read(CHUNK):
            digest.update(chunk)
            output.write(chunk)
            received += len(chunk)
            if received > MAX_BYTES:
                raise BuildError(f"{url} is larger than {MAX_BYTES} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not finished after {DOWNLOAD_SECONDS:.0f} s")
            if received % NOTE_EVERY < CHUNK:
                progress.note(f"{received >> 20} MiB")
        announced = int(answer.headers.get("Content-Length", received))
    if received < announced:
        raise ConnectionError(f"{received} of {announced} bytes")
    return digest.hexdigest()
