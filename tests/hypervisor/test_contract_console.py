"""Consoles: what every implementation of the interface does, real or fake."""

import queue
import socket
from uuid import uuid4

import pytest

from hypervisor.errors import ForeignObject, NotFound, Rejected, Unsupported
from tests.hypervisor.bed import Bed


class Reader:
    """A sink that can be waited on."""

    def __init__(self) -> None:
        self.pieces: queue.Queue[bytes] = queue.Queue()

    def end(self, *, seconds: float = 10) -> bytes:
        """All that comes until the end."""
        said = b""
        while piece := self.pieces.get(timeout=seconds):
            said += piece
        return said


def test_serial_console_is_taken_over_and_ends_with_the_guest(bed: Bed) -> None:
    bed.needs("console")
    spec = bed.running()
    first, second = Reader(), Reader()
    one = bed.hypervisor.open_console(spec.uuid, first.pieces.put)
    assert one.send(b"\r")
    two = bed.another(bed.installation).open_console(spec.uuid, second.pieces.put)
    first.end()
    assert one.send(b"nobody listens")
    bed.hypervisor.power_off(spec.uuid)
    second.end()
    for console in (one, two, one):
        console.close()
    assert first.pieces.empty()


def test_typing_faster_than_the_guest_reads_is_bounded(bed: Bed) -> None:
    """Nothing runs in this guest, so nobody reads its serial port."""
    bed.needs("console")
    spec = bed.running()
    console = bed.hypervisor.open_console(spec.uuid, Reader().pieces.put)
    taken = 0
    while taken < 16 * 2**20 and console.send(b"x" * 32768):
        taken += 32768
    console.close()
    assert taken < 16 * 2**20


def test_screen_is_a_connection_to_the_guests_vnc_server(bed: Bed) -> None:
    bed.needs("console")
    spec = bed.running()
    try:
        screen = bed.hypervisor.open_screen(spec.uuid)
    except Unsupported:
        pytest.skip("no way leads to a screen over TLS")
    with screen:
        screen.settimeout(10)
        assert screen.recv(12, socket.MSG_WAITALL).startswith(b"RFB 003.")


def test_screenshot(bed: Bed) -> None:
    bed.needs("console")
    picture = bed.hypervisor.screenshot(bed.running().uuid)
    assert picture.media_type in ("image/png", "image/x-portable-pixmap")
    assert picture.content[:2] in (b"\x89P", b"P6")


def test_consoles_of_guests_that_are_off_missing_or_foreign(bed: Bed) -> None:
    hypervisor, off = bed.hypervisor, bed.defined().uuid
    stranger = bed.another("00000001")
    for uuid, whose, error in (
        (off, hypervisor, Rejected),
        (uuid4(), hypervisor, NotFound),
        (off, stranger, ForeignObject),
    ):
        with pytest.raises(error):
            whose.open_console(uuid, Reader().pieces.put)
        with pytest.raises(error):
            whose.open_screen(uuid)
        with pytest.raises(error):
            whose.screenshot(uuid)
