"""Pictures that a guest may have drawn, and files that are none: what becomes of them, and how soon."""

import os
import random
import resource
import struct
import subprocess
import sys
import time
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console import picture
from console.picture import Unusable, thumbnail

SIGNATURE = b"\x89PNG\r\n\x1a\n"
Rows = list[bytes]


def ppm(rows: Rows) -> bytes:
    return b"P6\n%d %d\n255\n" % (len(rows[0]) // 3, len(rows)) + b"".join(rows)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def header(width: int, height: int, **other: int) -> bytes:
    values = {"depth": 8, "colour": 2, "packing": 0, "filtering": 0, "interlace": 0, **other}
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, *values.values()))


def filtered(kind: int, row: bytes, above: bytes, step: int) -> bytes:
    """As the PNG specification puts it, pixel by pixel."""
    made = bytearray([kind])
    for at, value in enumerate(row):
        left, up = (row[at - step] if at >= step else 0), above[at]
        corner = above[at - step] if at >= step else 0
        guess = left + up - corner
        nearest = min((left, up, corner), key=lambda one: abs(guess - one))
        made.append((value - (0, left, up, (left + up) // 2, nearest)[kind]) & 255)
    return bytes(made)


def png(rows: Rows, kinds: list[int], *, alpha: bool = False) -> bytes:
    step = 4 if alpha else 3
    if alpha:
        rows = [b"".join(row[at : at + 3] + b"\x80" for at in range(0, len(row), 3)) for row in rows]
    lines, above = [], bytes(len(rows[0]))
    for row, kind in zip(rows, kinds, strict=True):
        lines.append(filtered(kind, row, above, step))
        above = row
    data = zlib.compress(b"".join(lines))
    parts = chunk(b"tEXt", b"Comment\0hello"), chunk(b"IDAT", data[:7]), chunk(b"IDAT", data[7:]), chunk(b"IEND", b"")
    return SIGNATURE + header(len(rows[0]) // step, len(rows), colour=6 if alpha else 2) + b"".join(parts)


def pixels(made: bytes) -> Rows:
    """Of what ``thumbnail`` writes: one IDAT, no filter."""
    width, height = struct.unpack(">II", made[16:24])
    (length,) = struct.unpack(">I", made[33:37])
    data = zlib.decompress(made[41 : 41 + length])
    line = width * 3 + 1
    assert len(data) == line * height
    return [data[at + 1 : at + line] for at in range(0, len(data), line)]


def noise(width: int, height: int) -> Rows:
    dice = random.Random(7)  # noqa: S311  # the same noise in every run
    return [dice.randbytes(width * 3) for _ in range(height)]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 9).flatmap(
        lambda width: st.lists(st.binary(min_size=width * 3, max_size=width * 3), min_size=1, max_size=6)
    ),
    dice=st.randoms(use_true_random=False),
    alpha=st.booleans(),
)
def test_a_small_one_comes_back_pixel_by_pixel(rows: Rows, dice: Any, alpha: bool) -> None:
    kinds = [dice.randrange(5) for _ in rows]
    assert pixels(thumbnail(ppm(rows))) == rows == pixels(thumbnail(png(rows, kinds, alpha=alpha)))


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((720, 400), (360, 200)), ((1280, 800), (320, 200)), ((1024, 768), (512, 384)), ((513, 301), (256, 150))],
)
def test_a_large_one_is_made_smaller(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    width, height = size
    made = thumbnail(ppm([bytes([200, 100, 0]) * width] * height))
    assert struct.unpack(">II", made[16:24]) == wanted
    assert set(pixels(made)) == {bytes([200, 100, 0]) * wanted[0]}


def test_four_pixels_become_their_mean() -> None:
    row = [bytes([0, 255, 10]) + bytes([100, 255, 20])] * 2
    assert picture._halved(row) == [bytes([50, 255, 15])]


def test_noise_is_made_smaller_until_it_is_small_enough() -> None:
    assert len(thumbnail(ppm(noise(512, 400)))) <= picture.MOST_MADE


BLACK = zlib.compress(bytes(4) * 2)
HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "another format": b"GIF89a" + bytes(100),
    "PPM without pixels": b"P6\n2 2\n255\n",
    "PPM with too many": b"P6\n1 1\n255\n" + bytes(4),
    "PPM with a comment": b"P6\n# hello\n1 1\n255\n" + bytes(3),
    "PPM of two bytes a channel": b"P6\n1 1\n65535\n" + bytes(6),
    "PPM of no size": b"P6\n0 0\n255\n",
    "PPM of a negative size": b"P6\n-1 1\n255\n" + bytes(3),
    "PPM as wide as numbers go": b"P6\n99999999999 1\n255\n",
    "PPM wider than a screen": b"P6\n5000 1\n255\n" + bytes(15000),
    "PPM too narrow to be halved": b"P6\n1 1024\n255\n" + bytes(3072),
    "PNG cut off": SIGNATURE,
    "PNG cut off in a part": png([bytes(3)], [0])[:50],
    "PNG with a wrong check sum": png([bytes(3)], [0]).replace(b"hello", b"hullo"),
    "PNG without its end": SIGNATURE + header(1, 2) + chunk(b"IDAT", BLACK),
    "PNG without a header": SIGNATURE + chunk(b"IDAT", BLACK) + chunk(b"IEND", b""),
    "PNG with a short header": SIGNATURE + chunk(b"IHDR", b"12") + chunk(b"IEND", b""),
    "PNG with a palette": SIGNATURE + header(1, 2, colour=3) + chunk(b"IDAT", BLACK) + chunk(b"IEND", b""),
    "PNG of 16 bits": SIGNATURE + header(1, 2, depth=16) + chunk(b"IDAT", BLACK) + chunk(b"IEND", b""),
    "PNG interlaced": SIGNATURE + header(1, 2, interlace=1) + chunk(b"IDAT", BLACK) + chunk(b"IEND", b""),
    "PNG with an unknown part": SIGNATURE + header(1, 2) + chunk(b"EVIL", b"") + chunk(b"IEND", b""),
    "PNG with an unknown filter": SIGNATURE
    + header(1, 1)
    + chunk(b"IDAT", zlib.compress(b"\x09abc"))
    + chunk(b"IEND", b""),
    "PNG with too few pixels": SIGNATURE + header(1, 3) + chunk(b"IDAT", BLACK) + chunk(b"IEND", b""),
    "PNG with too many pixels": SIGNATURE + header(1, 1) + chunk(b"IDAT", BLACK) + chunk(b"IEND", b""),
    "PNG not packed": SIGNATURE + header(1, 1) + chunk(b"IDAT", b"abcdef") + chunk(b"IEND", b""),
    "PNG as large as numbers go": SIGNATURE + header(2**31, 2**31) + chunk(b"IDAT", BLACK) + chunk(b"IEND", b""),
    "PNG that unpacks to a gigabyte": SIGNATURE
    + header(1, 1)
    + chunk(b"IDAT", zlib.compress(bytes(2**26), 9))
    + chunk(b"IEND", b""),
    "PNG with a part of 4 GiB": SIGNATURE + b"\xff\xff\xff\xffIHDR",
    "more than anything": b"P6\n" + bytes(picture.MOST_BYTES),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_picture_of_a_screen(name: str) -> None:
    begin = time.monotonic()
    with pytest.raises(Unusable):
        thumbnail(HOSTILE[name])
    assert time.monotonic() - begin < 1


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 10_000), value=st.integers(0, 255), cut=st.booleans())
def test_one_that_was_damaged_is_read_or_refused(at: int, value: int, cut: bool) -> None:
    whole = png(noise(7, 5), [0, 1, 2, 3, 4])
    at %= len(whole)
    broken = whole[:at] if cut else whole[:at] + bytes([value]) + whole[at + 1 :]
    try:
        thumbnail(broken)
    except Unusable:
        return


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=300), start=st.sampled_from([b"", b"P6\n", b"P6\n2 1\n255\n", SIGNATURE]))
def test_any_bytes_are_read_or_refused(content: bytes, start: bytes) -> None:
    try:
        thumbnail(start + content)
    except Unusable:
        return


def alone(content: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-I", "-S", picture.__file__]
    return subprocess.run(command, input=content, capture_output=True, timeout=120, env={}, check=False)


def cpu_seconds() -> float:
    """Of all processes that this one has started and that are over."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_in_a_process_of_its_own() -> None:
    rows = noise(4, 3)
    done = alone(ppm(rows))
    assert (done.returncode, done.stderr, pixels(done.stdout)) == (0, b"", rows)
    refused = alone(b"GIF89a")
    assert (refused.returncode, refused.stdout) == (1, b"")


def test_the_worst_that_qemu_may_write_is_soon_over() -> None:
    """The largest screen, every row in the filter that costs most."""
    line = bytes([4]) + os.urandom(3840 * 3)
    worst = SIGNATURE + header(3840, 2160) + chunk(b"IDAT", zlib.compress(line * 2160, 1)) + chunk(b"IEND", b"")
    before = cpu_seconds()
    done = alone(worst)
    assert cpu_seconds() - before < picture.CPU_SECONDS + 2
    assert done.returncode in (0, -9, -24), done.stderr  # as fast as the machine is, or ended by the kernel
