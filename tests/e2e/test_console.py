"""Consoles of real guests in a real Chromium: the login prompt is seen and typed at, the picture is seen to change."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.cloud import Cloud
from tests.console.test_picture import pixels
from tests.dashboard.conftest import browser  # noqa: F401  # a fixture
from tests.dashboard.looks import DESKTOP
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
BOOT_MS = 90_000
HASH = """
    const canvas = document.querySelector('[data-console=view] canvas');
    const {width, height} = canvas || {};
    const data = width ? canvas.getContext('2d').getImageData(0, 0, width, height).data : [];
    let lit = 0, sum = 0;
    for (let at = 0; at < data.length; at += 4) {
      const light = data[at] + data[at + 1] + data[at + 2];
      if (light > 60) lit++;
      sum = (sum * 31 + light) | 0;
    }
    ({ lit, sum });
"""


@pytest.fixture
def context(cloud: Cloud, browser: Browser) -> Iterator[BrowserContext]:  # noqa: F811
    cloud.page("/")
    made = browser.new_context(base_url=cloud.url, viewport=DESKTOP)  # type: ignore[arg-type]
    made.add_cookies([{"name": "sessionid", "value": cloud.browser.cookies["sessionid"], "url": cloud.url}])
    yield made
    made.close()


def opened(context: BrowserContext, vm: dict[str, Any], tab: str) -> Page:
    page = context.new_page()
    page.goto(f"/vms/{vm['id']}/{tab}/")
    expect(page.locator("[data-console=status]")).to_have_text("Connected", timeout=30_000)
    return page


def sign_in(page: Page) -> Any:
    """At the guest's own prompt."""
    rows = page.locator(".xterm-rows")
    page.keyboard.press("Enter")
    expect(rows).to_contain_text("login:", timeout=BOOT_MS)
    page.keyboard.type("root\n")
    expect(rows).to_contain_text("/root #", timeout=30_000)  # what the kernel says may follow
    return rows


@pytest.mark.parametrize("number", [0, 1], ids=["qemu+ssh", "qemu+tls"])
def test_the_prompt_is_seen_and_answers(
    cloud: Cloud, context: BrowserContext, enrolled: list[dict[str, Any]], number: int
) -> None:
    vm = cloud.create("console", host=enrolled[number]["name"])
    see_it_small(cloud, context, vm)
    page = opened(context, vm, "console")
    rows = sign_in(page)
    page.keyboard.type("echo $((6 * 7)) on $(hostname)\n")
    expect(rows).to_contain_text("42 on tiny", timeout=30_000)
    # Not before the shell has left its line editor, which would take Ctrl-C for a key.
    page.keyboard.type("echo sle''eps; sleep 600\n")
    expect(rows).to_contain_text("sleeps", timeout=30_000)
    page.keyboard.press("Control+c")
    page.keyboard.type("echo back again: $((40 + 2))\n")
    expect(rows).to_contain_text("back again: 42", timeout=30_000)
    if number == 0:
        watch_the_screen(context, vm, page)
    else:
        refused = cloud.call("POST", f"vms/{vm['id']}/console/", expect=422, json={"kind": "vnc"})
        assert refused["code"] == "console.not_over_tls"
    cloud.succeeded(cloud.verb(vm, "power-off"))
    expect(page.locator("#console")).to_be_hidden(timeout=15_000)
    cloud.succeeded(cloud.verb(vm, "start"))
    page.reload()
    expect(page.locator("[data-console=status]")).to_have_text("Connected", timeout=30_000)
    log = (cloud.state_dir / "console.log").read_text() + (cloud.state_dir / "web.log").read_text()
    assert "console.opened" in log
    assert "back again" not in log


def see_it_small(cloud: Cloud, context: BrowserContext, vm: dict[str, Any]) -> None:
    """The picture on the overview is that of a screen: of a size that one has, and lit."""
    path = f"/vms/{vm['id']}/thumbnail/"
    wait_for(lambda: cloud.page(path).status_code == 200, seconds=60, what="a picture", every=1)
    rows = pixels(cloud.page(path).content)
    assert 200 <= len(rows) <= 512 >= len(rows[0]) // 3 >= 300
    assert sum(value > 60 for row in rows for value in row) > 50
    page = context.new_page()
    page.goto(f"/vms/{vm['id']}/")
    image = page.locator(".screen img")
    expect(image).to_be_visible(timeout=30_000)
    assert image.evaluate("image => image.naturalHeight") == len(rows)
    page.close()


def watch_the_screen(context: BrowserContext, vm: dict[str, Any], serial: Page) -> None:
    """The picture is there, and changes with what the guest writes onto it."""
    screen = opened(context, vm, "screen")
    wait_for(lambda: screen.evaluate(HASH)["lit"] > 50, seconds=30, what="a picture", every=0.3)
    before = screen.evaluate(HASH)["sum"]
    serial.bring_to_front()
    serial.locator(".xterm-helper-textarea").focus()
    serial.keyboard.type("for i in 1 2 3; do echo PICTURE > /dev/tty0; done\n")
    screen.bring_to_front()
    wait_for(lambda: screen.evaluate(HASH)["sum"] != before, seconds=30, what="another picture", every=0.3)
    screen.close()
