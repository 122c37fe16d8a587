"""The vendor's image is what its sums say, or it is not used; a vendor that does not answer is said to be
away.

The real vendor is not asked here: a local server plays its part.
"""

import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagebuild import vendor
from imagebuild.errors import BuildError
from imagebuild.progress import Progress
from tests.imagebuild.machine import free_port

IMAGE = b"QFI\xfb" + b"x" * 5000


class Vendor:
    """What the server answers, by path."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.image = IMAGE
        self.sums = f"{'0' * 128}  other.qcow2\n{hashlib.sha512(IMAGE).hexdigest()}  {vendor.FILE}\n".encode()
        self.announced = len(IMAGE)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sums = self.path.endswith("SHA512SUMS")
            body = played.sums if sums else played.image
            self.send_response(200)
            self.send_header("Content-Length", str(len(body) if sums else played.announced))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        played = Vendor(f"http://127.0.0.1:{listener.server_port}")
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        yield played
        listener.shutdown()
        thread.join(timeout=10)


@pytest.fixture
def download(tmp_path: Path) -> Callable[[str], Path]:
    def fetch(url: str) -> Path:
        target = tmp_path / "image.qcow2"
        vendor.download(target=target, cache_dir=tmp_path, progress=Progress(total=7), base_url=url)
        return target

    return fetch


def test_an_image_with_the_published_sum_is_taken(server: Vendor, download: Callable[[str], Path]) -> None:
    assert download(server.url).read_bytes() == IMAGE


def test_an_image_with_another_sum_is_refused(server: Vendor, download: Callable[[str], Path], tmp_path: Path) -> None:
    server.image = IMAGE[:-1] + b"y"
    with pytest.raises(BuildError, match="published is"):
        download(server.url)
    assert [path.name for path in tmp_path.iterdir()] == [], "nothing of it may stay"


def test_an_image_that_is_not_named_is_refused(server: Vendor, download: Callable[[str], Path]) -> None:
    server.sums = b"abc  somethingelse.qcow2\n"
    with pytest.raises(BuildError, match="does not name"):
        download(server.url)


def test_a_transfer_that_breaks_off_is_not_an_image(server: Vendor, download: Callable[[str], Path]) -> None:
    server.image = IMAGE[:1000]
    with pytest.raises(vendor.UnreachableError, match="1000 of 5004 bytes"):
        download(server.url)


def test_an_endless_image_is_refused(
    server: Vendor, download: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vendor, "MAX_BYTES", 1000)
    with pytest.raises(BuildError, match="larger than"):
        download(server.url)


def test_a_vendor_that_is_away_is_said_to_be(download: Callable[[str], Path]) -> None:
    with pytest.raises(vendor.UnreachableError, match="cannot be reached"):
        download(f"http://127.0.0.1:{free_port()}")
