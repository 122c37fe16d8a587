"""A large file through nginx and the whole installation, as a browser and as curl send it."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pytest
from playwright.sync_api import Page, Request, expect, sync_playwright

from bootstrap.commands import run
from tests.bootstrap.test_nginx import Proxy, nginx
from tests.client import PASSWORD
from tests.dashboard.conftest import ARGUMENTS, CHROMIUM
from tests.dashboard.looks import DESKTOP
from tests.soak.installed import Installed
from tests.waiting import wait_for

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1500)]
GIB = 2**30
MIB = 2**20
FILE_BYTES = 2 * GIB
LIMIT_MIB = 3 * 1024
MOST_GROWTH = 64 * MIB
"""Of the web process, while the file passes through it: a piece is 16 MiB, and it holds 1 MiB of it at a time."""
UPLOAD_MS = 600_000
CHECK_SECONDS = 600


class Watched:
    """The web process while a file passes: how much it grows, what it writes, and what nginx keeps on its disk."""

    def __init__(self, pid: int, state: Path, nginx_dir: Path) -> None:
        self.process = Path("/proc") / str(pid)
        self.state = state
        self.nginx_dir = nginx_dir
        self.others: set[str] = set()
        self.kept_by_nginx = 0
        self.growth = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watched:
        (self.process / "clear_refs").write_text("5")  # the peak begins anew
        self._before = self._number("VmRSS")
        self._thread.start()
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self._end.set()
        self._thread.join()
        self.growth = self._number("VmHWM") - self._before

    def _number(self, name: str) -> int:
        found = re.search(rf"^{name}:\s+(\d+) kB", (self.process / "status").read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def _look(self) -> None:
        while not self._end.wait(0.1):
            self.others |= set(self._written_files())
            temporary = [path for path in self.nginx_dir.glob("*_*/**/*") if path.is_file()]
            self.kept_by_nginx = max(self.kept_by_nginx, sum(path.stat().st_size for path in temporary))

    def _written_files(self) -> Iterator[str]:
        """Files that the process writes, but for the incoming file and its log."""
        for link in (self.process / "fd").iterdir():
            try:
                target = os.readlink(link)  # noqa: PTH115  # may name what is deleted
                flags = int((self.process / "fdinfo" / link.name).read_text().split("flags:")[1].split()[0], 8)
            except FileNotFoundError:
                continue
            ours = target.startswith((f"{self.state}/images/incoming/", f"{self.state}/log/"))
            if target.startswith("/") and not target.startswith("/dev/") and flags & os.O_ACCMODE and not ours:
                yield target


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A qcow2 with that much of what no zero and no compression makes smaller."""
    directory = tmp_path_factory.mktemp("large")
    raw, path = directory / "large.raw", directory / "large.qcow2"
    run(["dd", "if=/dev/urandom", f"of={raw}", "bs=1M", f"count={FILE_BYTES // MIB}", "status=none"], timeout=300)
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(path)], timeout=300)
    raw.unlink()
    assert path.stat().st_size > FILE_BYTES
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def proxy(installed: Installed, directory: Path) -> Iterator[Proxy]:
    """The shipped nginx before an installation as docs/operating.md says."""
    installed.environment |= {
        "CLOUDSITE_HYPERVISOR": "fake",  # no host takes part in an upload
        "CLOUDSITE_TRUSTED_PROXIES": "1",
        "CLOUDSITE_LAN": "off",
        "CLOUDSITE_ALLOWED_HOSTS": "cloud.example.org",
        "CLOUDSITE_UPLOAD_LIMIT_MIB": str(LIMIT_MIB),
    }
    installed.start()
    (directory / "nginx").mkdir()
    with nginx(directory / "nginx", installed.port) as running:
        yield running


@pytest.fixture
def page(proxy: Proxy) -> Iterator[Page]:
    """A browser before nginx, where the admin has signed in."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        base = f"https://127.0.0.1:{proxy.secure_port}"
        shown = chromium.new_context(base_url=base, viewport=DESKTOP, ignore_https_errors=True).new_page()
        shown.goto("/sign-in/")
        shown.fill("[name=username]", "admin")
        shown.fill("[name=password]", PASSWORD)
        shown.click("main button[type=submit]")
        shown.wait_for_url(f"{base}/")
        yield shown
        chromium.close()


class Pieces:
    """The pieces that a browser sends, and which of them broke."""

    def __init__(self, page: Page) -> None:
        self.offsets: list[int] = []
        self.broken = 0
        page.on("request", self._sent)
        page.on("requestfailed", self._failed)

    def _sent(self, request: Request) -> None:
        if request.method == "PUT":
            self.offsets.append(int(request.headers["upload-offset"]))

    def _failed(self, request: Request) -> None:
        self.broken += request.method == "PUT"


def choose(page: Page, path: Path, name: str) -> None:
    """Send a file by the page that adds an image."""
    page.goto("/images/new/")
    page.locator("#upload-file").set_input_files(path)
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Add image").click()


def break_connections(directory: Path) -> None:
    """Have nginx's worker die, as in a crash; its master starts another one."""
    master = (directory / "nginx.pid").read_text().strip()
    (worker,) = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    os.kill(int(worker), signal.SIGKILL)


def image_ready(installed: Installed, name: str) -> dict[str, object]:
    """The image once it is checked and converted."""

    def ready() -> dict[str, object] | None:
        (image,) = installed.results(f"images/?name={name}")
        assert image["status"] in ("uploading", "checking", "ready"), image
        return image if image["status"] == "ready" else None

    return wait_for(ready, seconds=CHECK_SECONDS, what=f"{name} to be ready", every=0.5)


def assert_only_the_image(installed: Installed, image: dict[str, object], source: Path) -> None:
    """It holds what was sent, and beside it there is no copy."""
    path = installed.state / "images" / f"{image['id']}.qcow2"
    compare = ["qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", str(source), str(path)]
    assert "identical" in run(compare, timeout=300).stdout
    held = [one for one in (installed.state / "images").rglob("*") if one.is_file() and one.stat().st_size > MIB]
    assert [one for one in held if "probe" not in one.parts] == [path]


def sent_by_curl(installed: Installed, proxy: Proxy, path: Path, image_id: str) -> tuple[int, str, int]:
    """Send a file in one piece, as docs/images.md says; status, answer and bytes."""
    command = ["curl", "-sk", "--http1.1", "-H", f"Authorization: Bearer {installed.token.value}", "-T", str(path)]
    command += ["-H", "Content-Type: application/octet-stream", "-w", "\n%{http_code} %{size_upload}"]
    command += ["--request-target", f"/api/v1/images/{image_id}/file/", f"https://127.0.0.1:{proxy.secure_port}"]
    answer, _, last = run(command, timeout=600).stdout.rpartition("\n")
    status, sent = (int(word) for word in last.split())
    return status, answer, sent


def begun(installed: Installed, name: str) -> str:
    made = installed.call("POST", "images/", expect=201, json={"name": name, "format": "qcow2"})
    return str(made["image"]["id"])


def test_two_gibibytes_and_a_connection_that_breaks(
    installed: Installed, proxy: Proxy, page: Page, large: Path, directory: Path
) -> None:
    pieces = Pieces(page)
    bar = page.locator("#upload-progress progress")
    with Watched(installed.pid("web"), installed.state, directory / "nginx") as watched:
        choose(page, large, "by-browser")
        expect(bar).to_be_visible()
        a_third = "bar => bar.value > 0.3"
        wait_for(lambda: bar.evaluate(a_third), seconds=UPLOAD_MS / 1000, what="a third of the file", every=0.2)
        break_connections(directory / "nginx")
        expect(page.locator("#image")).to_be_visible(timeout=UPLOAD_MS)
    print(
        f"{len(pieces.offsets)} pieces, {pieces.broken} broken; the web process grew by {watched.growth / MIB:.0f} MiB"
    )
    assert pieces.broken >= 1 and len(pieces.offsets) > FILE_BYTES // (16 * MIB)
    assert watched.growth < MOST_GROWTH
    assert (watched.others, watched.kept_by_nginx) == (set(), 0)
    image = image_ready(installed, "by-browser")
    assert_only_the_image(installed, image, large)
    installed.succeeded(installed.call("DELETE", f"images/{image['id']}/", expect=202)["operation"])

    with Watched(installed.pid("web"), installed.state, directory / "nginx") as watched:
        status, answer, _sent = sent_by_curl(installed, proxy, large, begun(installed, "by-curl"))
    print(f"in one piece: the web process grew by {watched.growth / MIB:.0f} MiB")
    assert status == 202, answer
    assert watched.growth < MOST_GROWTH
    assert (watched.others, watched.kept_by_nginx) == (set(), 0)
    assert_only_the_image(installed, image_ready(installed, "by-curl"), large)


def test_a_file_over_the_limit_is_refused_with_its_reason(
    installed: Installed, proxy: Proxy, page: Page, directory: Path
) -> None:
    path = directory / "too-large.qcow2"
    path.write_bytes(b"QFI\xfb")
    os.truncate(path, 4 * GIB)
    pieces = Pieces(page)
    choose(page, path, "too-large")
    expect(page.locator("#upload-refused")).to_contain_text(f"An image file has 1 byte to {LIMIT_MIB} MiB.")
    assert pieces.offsets == [] and installed.results("images/?name=too-large") == []

    image_id = begun(installed, "in-one-piece")
    for _ in range(40):
        status, answer, sent = sent_by_curl(installed, proxy, path, image_id)
        assert (status, "request.too_large" in answer, sent < 256 * MIB) == (413, True, True), (answer, sent)
    assert not list((installed.state / "images").rglob("source"))
