"""``python -m imagefile.job DIRECTORY``: one incoming file becomes an image of ours, or is refused.

Every door ends here: an upload, an import, the copy of a VM's disk. The directory holds ``job.json`` and ``source``;
afterwards ``result.json`` and, where it was accepted, ``image.qcow2`` (``image.iso`` for a CD). The
job is a process of its own, because it lasts longer than a worker may; it holds the lock that it was started with until
it ends.
"""

import bz2
import contextlib
import fcntl
import gzip
import hashlib
import json
import lzma
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from imagefile import qemu_img
from imagefile.errors import ImageRefused
from imagefile.inspector import inspect

PIECE = 4 * 2**20
RESERVE = 512 * 2**20
ROOT = Path(__file__).resolve().parent.parent
UNPACK: dict[str, Callable[[Path], IO[bytes]]] = {"xz": lzma.open, "gz": gzip.open, "bz2": bz2.open}  # type: ignore[dict-item]  # they give bytes when asked for nothing else


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is known of the file. ``checksum`` is ``sha256:…`` or ``sha512:…`` of the file as it came, or nothing.

    ``base`` is set for the overlay of a VM of ours: the image that it was made from, and the name under which the
    overlay may mention it.
    """

    format: str
    most_bytes: int
    most_virtual_bytes: int
    checksum: str = ""
    packed: str = ""
    base: str = ""
    base_format: str = "qcow2"
    base_name: str = ""


def start(directory: Path, job: Job) -> bool:
    """Start the job unless it runs; the caller comes back to look. Returns whether it was started now."""
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if result(directory) is not None:
            return False
        (directory / "job.json").write_text(json.dumps(asdict(job)))
        # The lock goes along with the descriptor: whoever cannot take it knows that the job still runs.
        subprocess.run(
            ["setsid", "--fork", sys.executable, "-m", "imagefile.job", str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(lock,),
            cwd=ROOT,
            timeout=20,
            check=True,
        )
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def is_running(directory: Path) -> bool:
    """Whether somebody holds the job's lock."""
    with contextlib.suppress(FileNotFoundError), (directory / "lock").open("r+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def result(directory: Path) -> dict[str, Any] | None:
    """How it ended: ``{"sha256", "size_bytes", "virtual_size_bytes"}`` or ``{"code", "detail"}``; None: not yet."""
    try:
        found: dict[str, Any] = json.loads((directory / "result.json").read_text())
    except FileNotFoundError:
        return None
    return found


def process(directory: Path) -> dict[str, Any]:
    """Check, convert, check again, and sum up. Nothing of a refused file is left but the reason."""
    job = Job(**json.loads((directory / "job.json").read_text()))
    made_as = "iso" if job.format == "iso" else "qcow2"
    target = directory / f"image.{made_as}"
    target.unlink(missing_ok=True)
    try:
        return _accept(directory, job, target)
    except ImageRefused as refusal:
        target.unlink(missing_ok=True)
        return {"code": refusal.code, "detail": refusal.detail}


def _accept(directory: Path, job: Job, target: Path) -> dict[str, Any]:
    source = directory / "source"
    _check_sum(source, job.checksum)
    if job.packed:
        source = _unpacked(source, directory / "unpacked", packed=job.packed, most=_room(directory, job.most_bytes))
    inspect(source, declared=job.format, most_virtual_bytes=job.most_virtual_bytes, own_base=job.base_name)
    if job.format == "iso":
        shutil.copyfile(source, target)
    else:
        _convert(directory, job, source, target)
    made = inspect(target, declared=target.suffix[1:], most_virtual_bytes=job.most_virtual_bytes)
    with target.open("rb") as file:
        os.fsync(file.fileno())
    return {
        "sha256": file_digest(target, "sha256"),
        "size_bytes": made.size_bytes,
        "virtual_size_bytes": made.virtual_size_bytes,
    }


def _convert(directory: Path, job: Job, source: Path, target: Path) -> None:
    base = Path(job.base) if job.base else None
    disk = qemu_img.Source(path=source, format=job.format, base=base, base_format=job.base_format)
    if job.format == "qcow2":
        _check_with_qemu(disk)
    qemu_img.convert(disk, target, most_bytes=_room(directory, job.most_bytes))


def _check_with_qemu(disk: qemu_img.Source) -> None:
    """What QEMU reads in the header has to be what we read."""
    said = qemu_img.info(disk.path, format="qcow2")
    special = said.get("format-specific", {}).get("data", {})
    if said.get("format") != "qcow2" or said.get("encrypted") or special.get("data-file"):
        raise ImageRefused("image.format", "QEMU reads the image in another way than Cloudsite does.")
    if said.get("backing-filename") and disk.base is None:
        raise ImageRefused("image.backing_file", "The image reads through another file; it must stand alone.")
    qemu_img.check(disk)


def _room(directory: Path, most: int) -> int:
    """How large a file may become here: the limit, and never the last of the disk."""
    free = shutil.disk_usage(directory).free - RESERVE
    if free <= 0:
        raise ImageRefused("image.no_space", "The disk of the control plane is full.")
    return min(most, free)


def _check_sum(source: Path, checksum: str) -> None:
    if not checksum:
        return
    kind, _, wanted = checksum.partition(":")
    if file_digest(source, kind) != wanted.lower():
        raise ImageRefused("image.checksum", f"The file does not have the {kind.upper()} that was given.")


def file_digest(path: Path, kind: str) -> str:
    """The sum of a file, read in pieces."""
    digest = hashlib.new(kind)
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _unpacked(source: Path, target: Path, *, packed: str, most: int) -> Path:
    """Unpack as far as the limit goes: what is a kilobyte packed can be a terabyte."""
    written = 0
    try:
        with UNPACK[packed](source) as reader, target.open("wb") as writer:
            while piece := reader.read(PIECE):
                written += len(piece)
                if written > most:
                    raise ImageRefused("image.too_large", "The image unpacks to more than is allowed.")
                writer.write(piece)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise ImageRefused("image.damaged", f"The file cannot be unpacked as {packed}.") from error
    source.unlink()
    return target


def main(directory: Path) -> None:
    """Write the outcome whole, or not at all: whoever looks sees either."""
    try:
        outcome = process(directory)
    except Exception as error:
        outcome = {"code": "image.internal", "detail": f"The image could not be checked ({type(error).__name__})."}
    part = directory / "result.part"
    part.write_text(json.dumps(outcome))
    part.replace(directory / "result.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
