"""The only place that runs qemu-img: always with a stated format, in a process of its own with limits.

The limits (address space, processor time, size of what it writes, no core, no network, no new privileges, a
time-out, death with its parent) hold whatever a file does to it.
"""

import functools
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagefile.errors import ImageRefused

ADDRESS_SPACE = 2 * 2**30
LOOK_SECONDS = 60
CHECK_SECONDS = 900
CONVERT_SECONDS = 3600
_NOT_SUPPORTED, _LEAKS_ONLY = 63, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A disk to read: a file with its format and, for an overlay, what it reads through. The name of a backing file
    that stands in the header is not used."""

    path: Path
    format: str
    base: Path | None = None
    base_format: str = "qcow2"

    def arguments(self) -> list[str]:
        if self.base is None:
            return ["-f", self.format, _safe(self.path)]
        options = {
            "driver": self.format,
            "file.driver": "file",
            "file.filename": _safe(self.path),
            "backing.driver": self.base_format,
            "backing.file.driver": "file",
            "backing.file.filename": _safe(self.base),
        }
        return ["--image-opts", ",".join(f"{name}={value}" for name, value in options.items())]


def info(path: Path, *, format: str) -> dict[str, Any]:  # qemu-img's word
    """What qemu-img says about a file, opened as ``format``."""
    said = _run(["info", "-U", "--output=json", "-f", format, _safe(path)], seconds=LOOK_SECONDS)
    result: dict[str, Any] = json.loads(said)
    return result


def check(source: Source) -> None:
    """Whether a qcow2 is whole. Clusters that nobody uses do no harm. Raises ``ImageRefused``."""
    _run(["check", "-q", *source.arguments()], seconds=CHECK_SECONDS, fine=(0, _LEAKS_ONLY))


def convert(source: Source, target: Path, *, most_bytes: int, compressed: bool = False) -> None:
    """Write the disk as a qcow2 that stands alone, of ``most_bytes`` at most."""
    packed = ["-c"] if compressed else []
    command = ["convert", *packed, "-O", "qcow2", *source.arguments(), _safe(target)]
    _run(command, seconds=CONVERT_SECONDS, most_bytes=most_bytes)


def _safe(path: Path) -> str:
    """An absolute path: qemu-img takes ``nbd:…`` or ``json:…`` for a protocol, and a comma for the next option."""
    text = str(path)
    if not path.is_absolute() or "," in text:
        raise ValueError(f"not a plain absolute path: {text}")
    return text


def _run(arguments: list[str], *, seconds: int, most_bytes: int = 0, fine: tuple[int, ...] = (0,)) -> str:
    limits = (f"--as={ADDRESS_SPACE}", f"--cpu={seconds}", f"--fsize={most_bytes}", "--core=0", "--nofile=64")
    command = [
        *_without_network(),
        *("prlimit", *limits, "--"),
        *("setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--"),
        *("qemu-img", *arguments),
    ]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, env=environment, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ImageRefused("image.too_slow", f"Reading the image took longer than {seconds} s.") from error
    if done.returncode not in fine:
        raise _refusal(arguments[0], done.returncode)
    return done.stdout.decode(errors="replace")


def _refusal(verb: str, status: int) -> ImageRefused:
    """Said without qemu-img's own words: they may quote what a hostile file pointed at."""
    if status < 0 or verb == "convert":
        detail = "The image could not be read to its end: it is damaged, or unpacks to more than is allowed."
        return ImageRefused("image.not_convertible", detail)
    if status == _NOT_SUPPORTED:
        return ImageRefused("image.format", "The image is of a kind that cannot be checked.")
    return ImageRefused("image.damaged", "The image is damaged or cut off: its own tables contradict each other.")


@functools.cache
def _without_network() -> tuple[str, ...]:
    """A network namespace with nothing in it; where the kernel gives us none, the other guards have to do."""
    mapped = () if os.geteuid() == 0 else ("--user", "--map-current-user")
    command = ("unshare", *mapped, "--net", "--")
    try:
        done = subprocess.run(
            [*command, "true"], stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return command if done.returncode == 0 else ()
