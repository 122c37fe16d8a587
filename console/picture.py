"""A picture of a screen, made small: ``python -I -S picture.py < PPM-or-PNG > PNG``.

The guest chose every pixel, and whoever broke out of it the whole file. So it is read by a process of its own, with
limits of the kernel's on time and memory, by code that knows two formats in the one form in which QEMU writes them and
refuses everything else. Knows nothing of ours and only the standard library.
"""

import os
import re
import resource
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from itertools import accumulate, islice

MOST_BYTES = 32 * 1024 * 1024
MOST_SIDE = 4096
SIDE = 512
MOST_MADE = 256 * 1024
CPU_SECONDS = 4
MEMORY_BYTES = 512 * 1024 * 1024
_PPM = re.compile(rb"P6\n(\d{1,4}) (\d{1,4})\n255\n")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {2: 3, 6: 4}  # RGB and RGBA, by PNG's number


class Unusable(Exception):
    """Not a picture as QEMU makes them, or larger than we look at."""


Rows = Iterator[bytes]


def thumbnail(content: bytes) -> bytes:
    """A PNG of at most ``SIDE`` pixels each way and ``MOST_MADE`` bytes. Raises ``Unusable``."""
    if len(content) > MOST_BYTES:
        raise Unusable("too many bytes")
    width, height, rows = _read_png(content) if content.startswith(_SIGNATURE) else _read_ppm(content)
    small = list(rows)
    halvings = max(0, (max(width, height) - 1).bit_length() - SIDE.bit_length() + 1)
    for _ in range(halvings):
        small = _halved(small)
    while len(made := _written(small)) > MOST_MADE:  # noise does not pack
        small = _halved(small)
    return made


def _check_size(width: int, height: int) -> None:
    if not (0 < width <= MOST_SIDE and 0 < height <= MOST_SIDE and width * height * 4 <= MOST_BYTES):
        raise Unusable(f"{width} x {height} pixels")


# --- reading
def _read_ppm(content: bytes) -> tuple[int, int, Rows]:
    header = _PPM.match(content)
    if header is None:
        raise Unusable("neither PPM nor PNG")
    width, height = int(header[1]), int(header[2])
    _check_size(width, height)
    begin, line = header.end(), width * 3
    if len(content) - begin != line * height:
        raise Unusable("not as many pixels as it says")
    return width, height, (content[at : at + line] for at in range(begin, len(content), line))


def _read_png(content: bytes) -> tuple[int, int, Rows]:
    chunks = _chunks(content)
    name, header = next(chunks, (b"", b""))
    if name != b"IHDR" or len(header) != 13:
        raise Unusable("no header")
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", header)
    if depth != 8 or colour not in _CHANNELS or rest != [0, 0, 0]:
        raise Unusable("a form of PNG that QEMU does not write")
    _check_size(width, height)
    packed = b"".join(data for name, data in chunks if name == b"IDAT")
    channels = _CHANNELS[colour]
    expected = (1 + width * channels) * height
    unpacking = zlib.decompressobj()
    try:
        pixels = unpacking.decompress(packed, expected + 1)
    except zlib.error as error:
        raise Unusable("not packed as it should be") from error
    if len(pixels) != expected or not unpacking.eof:
        raise Unusable("not as many pixels as it says")
    rows = _unfiltered(pixels, width * channels, channels)
    return width, height, rows if channels == 3 else map(_without_alpha, rows)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at, name = len(_SIGNATURE), b""
    while name != b"IEND":
        if at + 12 > len(content):
            raise Unusable("cut off")
        length, name = struct.unpack_from(">I4s", content, at)
        data = content[at + 8 : at + 8 + length]
        if at + 12 + length > len(content):
            raise Unusable("cut off")
        if struct.unpack_from(">I", content, at + 8 + length)[0] != zlib.crc32(name + data):
            raise Unusable("a wrong check sum")
        if name[0] & 0x20 == 0 and name not in (b"IHDR", b"IDAT", b"IEND"):
            raise Unusable("a part that we do not know")
        at += 12 + length
        yield name, data


def _without_alpha(row: bytes) -> bytes:
    made = bytearray(len(row) // 4 * 3)
    for channel in range(3):
        made[channel::3] = row[channel::4]
    return bytes(made)


# --- PNG's filters: each row says how it follows from the one above and the pixel before
def _unfiltered(pixels: bytes, line: int, step: int) -> Rows:
    above = bytes(line)
    for at in range(0, len(pixels), line + 1):
        undo = _FILTERS.get(pixels[at])
        if undo is None:
            raise Unusable("an unknown filter")
        above = undo(pixels[at + 1 : at + 1 + line], above, step)
        yield above


def _none(row: bytes, _above: bytes, _step: int) -> bytes:
    return row


def _sub(row: bytes, _above: bytes, step: int) -> bytes:
    made = bytearray(len(row))
    for channel in range(step):
        made[channel::step] = bytes([value & 255 for value in accumulate(row[channel::step])])
    return bytes(made)


def _up(row: bytes, above: bytes, _step: int) -> bytes:
    """Byte by byte, all at once: the upper bits apart, so that no carry crosses into a neighbour."""
    low = int.from_bytes(b"\x7f" * len(row))
    left, right = int.from_bytes(row), int.from_bytes(above)
    total = ((left & low) + (right & low)) ^ ((left ^ right) & ~low)
    return (total & ((1 << 8 * len(row)) - 1)).to_bytes(len(row))


def _average(row: bytes, above: bytes, step: int) -> bytes:
    made = bytearray(len(row))
    for channel in range(step):
        left, values = 0, []
        for value, up in zip(row[channel::step], above[channel::step], strict=True):
            left = (value + ((left + up) >> 1)) & 255
            values.append(left)
        made[channel::step] = bytes(values)
    return bytes(made)


def _paeth(row: bytes, above: bytes, step: int) -> bytes:
    made = bytearray(len(row))
    for channel in range(step):
        left, corner, values = 0, 0, []
        for value, up in zip(row[channel::step], above[channel::step], strict=True):
            far_left, far_up = abs(up - corner), abs(left - corner)
            far_corner = abs(left + up - corner - corner)
            if far_left <= far_up and far_left <= far_corner:
                left = (value + left) & 255
            elif far_up <= far_corner:
                left = (value + up) & 255
            else:
                left = (value + corner) & 255
            corner = up
            values.append(left)
        made[channel::step] = bytes(values)
    return bytes(made)


_FILTERS: dict[int, Callable[[bytes, bytes, int], bytes]] = {0: _none, 1: _sub, 2: _up, 3: _average, 4: _paeth}


# --- making it smaller
def _halved(rows: list[bytes]) -> list[bytes]:
    """Every four pixels become their mean. One left over at the edge is left out."""
    if len(rows) < 2 or len(rows[0]) < 6:
        raise Unusable("too narrow to be made smaller")
    pairs = zip(islice(rows, 0, None, 2), islice(rows, 1, None, 2), strict=False)
    return [_narrowed(_mean(upper, lower)) for upper, lower in pairs]


def _narrowed(row: bytes) -> bytes:
    half = len(row) // 6
    made = bytearray(half * 3)
    for channel in range(3):
        values = row[channel::3]
        made[channel::3] = _mean(values[0 : 2 * half : 2], values[1 : 2 * half : 2])
    return bytes(made)


def _mean(left: bytes, right: bytes) -> bytes:
    """Byte by byte, all at once. Without the lowest bit of each difference nothing crosses into a neighbour."""
    one, other = int.from_bytes(left), int.from_bytes(right)
    even = int.from_bytes(b"\xfe" * len(left))
    return ((one & other) + (((one ^ other) & even) >> 1)).to_bytes(len(left))


# --- writing
def _written(rows: list[bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", len(rows[0]) // 3, len(rows), 8, 2, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows), 6)
    parts = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(name, data) for name, data in parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def main() -> int:
    """0 with the picture on standard output, or 1 with a reason on standard error."""
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        made = thumbnail(sys.stdin.buffer.read(MOST_BYTES + 1))
    except Unusable as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.buffer.write(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
