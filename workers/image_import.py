"""Importing an image: its checksum first, then the file in pieces of some seconds, then the gate of every door."""

import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from django.conf import settings

from apps.errors import Refused, Unavailable
from apps.storage.images import incoming_ensure
from apps.storage.models import Image, ImageStatus
from apps.storage.selectors import incoming_dir
from workers.engine import Postpone, Run
from workers.fetch import fetch_piece, fetch_text
from workers.images import image_finish, image_of

PIECE_SECONDS = 15.0
LEAST_PROGRESS = 512 * 1024
MOST_FIRST_TIMES = 3
KINDS = {64: "sha256", 128: "sha512"}
_GNU = re.compile(r"^\\?([0-9a-fA-F]{64}|[0-9a-fA-F]{128})(?:\s+\*?(\S.*))?$")
_BSD = re.compile(r"^SHA(?:256|512)\s*\((.+)\)\s*=\s*([0-9a-fA-F]{64}|[0-9a-fA-F]{128})$")


def image_import(run: Run) -> None:
    """Each claim fetches a piece. The row says how far it came; what the file has beyond that is written anew."""
    image = image_of(run)
    if image is None or image.status == ImageStatus.READY:
        return
    params = run.operation.params
    if not run.operation.state.get("fetched"):
        if image.status != ImageStatus.IMPORTING:
            image = _begin_again(run, image)
        incoming_ensure(image)
        if not image.checksum:
            image.checksum = _find_checksum(run, image, sums=params["sums"], url=params["url"])
        _fetch(run, image, params["url"])
    image_finish(run, image, packed=params.get("packed", ""))


def _begin_again(run: Run, image: Image) -> Image:
    """A retry after a failure: nothing of the first time is left."""
    with run.write():
        Image.objects.filter(pk=image.pk, status=ImageStatus.ERROR).update(
            status=ImageStatus.IMPORTING, reason="", received_bytes=0
        )
    image.refresh_from_db()
    return image


def _find_checksum(run: Run, image: Image, *, sums: str, url: str) -> str:
    with run.step("sums", "Fetching the vendor's list of checksums", progress=0):
        text = fetch_text(sums, seconds=PIECE_SECONDS)
    checksum = checksum_in(text, name=unquote(PurePosixPath(urlsplit(url).path).name))
    with run.write():
        Image.objects.filter(pk=image.pk).update(checksum=checksum)
    return checksum


def checksum_in(text: str, *, name: str) -> str:
    """The checksum of a file in a vendor's list, as GNU's or BSD's tools write it. Raises ``Refused``.

    A list with one sum only is the file's own, whatever name stands beside it.
    """
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        if match := _BSD.match(line.strip()):
            found.append((match[1], match[2].lower()))
        elif match := _GNU.match(line.strip()):
            found.append((match[2] or name, match[1].lower()))
    named = {digest for listed, digest in found if PurePosixPath(listed).name == name}
    if not named and len(found) == 1:
        named = {found[0][1]}
    if not named:
        raise Refused("checksum.not_listed", f"The vendor's list of checksums does not name {name[:100]}.")
    best = max(named, key=len)
    if sum(len(digest) == len(best) for digest in named) > 1:
        raise Refused("checksum.not_listed", f"The vendor's list names {name[:100]} more than once.")
    return f"{KINDS[len(best)]}:{best}"


def _fetch(run: Run, image: Image, url: str) -> None:
    """One piece; postponed until the file is whole. A worker that died is followed by one that goes on from the row."""
    offset, tag = image.received_bytes, str(run.operation.state.get("tag", ""))
    if not tag:
        offset = 0  # a server that names no version of its file cannot say that it is still the same
        _count_first_times(run)
    source = incoming_dir(image.pk) / "source"
    if not source.exists():
        offset = 0
        source.touch(mode=0o600)
    share = min(89, offset * 90 // (image.expected_bytes or 2**62))
    with run.step("fetch", f"Fetching {image.name}: {offset >> 20} MiB", progress=share), source.open("r+b") as file:
        found = fetch_piece(url, file, offset=offset, tag=tag, seconds=PIECE_SECONDS, most=settings.UPLOAD_LIMIT_BYTES)
    with run.write():
        Image.objects.filter(pk=image.pk).update(received_bytes=found.offset, expected_bytes=found.total)
    run.remember(tag=found.tag, fetched=found.ended)
    if not found.ended:
        total = f" of {found.total >> 20}" if found.total else ""
        # One that only drips is not renewed, so that its deadline comes.
        renew = found.offset - offset >= LEAST_PROGRESS
        raise Postpone(f"Fetching {image.name}: {found.offset >> 20}{total} MiB", seconds=0, renew=renew)


def _count_first_times(run: Run) -> None:
    """Begun anew each time without getting to the end in one piece: this server cannot go on in the middle."""
    begun = int(run.operation.state.get("begun", 0))
    if begun >= MOST_FIRST_TIMES:
        raise Unavailable(
            "url.no_ranges", "The server cannot go on in the middle of a file, and is too slow to do without."
        )
    run.remember(begun=begun + 1)
