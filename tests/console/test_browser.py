"""The tab "Console" in a real Chromium: it types, it says why it ended, it comes back."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.console.conftest import Site
from tests.console.test_open import fake
from tests.dashboard.conftest import browser, complaints, static_root  # noqa: F401  # fixtures
from tests.dashboard.looks import DESKTOP, PHONE

Open = Callable[..., Page]
# Whitenoise hands files on in pieces that Django would rather have asynchronously.
pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")


@pytest.fixture
def console_page(site: Site, browser: Browser, complaints: list[str]) -> Iterator[Open]:  # noqa: F811
    """Open the tab as somebody; what the browser complains about (a violated policy, too) fails the test."""
    contexts: list[BrowserContext] = []

    def start(user: Any, vm: Any, *, tab: str = "console", **options: Any) -> Page:
        context = browser.new_context(base_url=site.origin, **{"viewport": DESKTOP, **options})
        contexts.append(context)
        cookie = site.browser(user).cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": cookie, "url": site.origin}])
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(f"/vms/{vm.pk}/{tab}/")
        return page

    yield start
    for context in contexts:
        context.close()
    assert [text for text in complaints if "Failed to load resource" not in text] == []


def screen_of(page: Page) -> Any:
    return page.locator(".xterm-rows")


def status_of(page: Page) -> Any:
    return page.locator("[data-console=status]")


def test_it_shows_the_prompt_and_types(console_page: Open, guest: Any, member: Any) -> None:
    page = console_page(member, guest(member, "web-1"))
    expect(status_of(page)).to_have_text("Connected")
    expect(screen_of(page)).to_contain_text("fake login:")
    page.keyboard.type("root")
    expect(screen_of(page)).to_contain_text("fake login: root")
    assert Axe().run(page).response["violations"] == []


def test_control_keys_pasting_and_the_key_bar(console_page: Open, guest: Any, member: Any) -> None:
    """The fake echoes what arrives, so control characters show as what they do."""
    page = console_page(member, guest(member, "web-1"), viewport=PHONE, has_touch=True, is_mobile=True)
    expect(status_of(page)).to_have_text("Connected")
    page.evaluate(
        "() => { const old = WebSocket.prototype.send; window.sent = [];"
        " WebSocket.prototype.send = function (data) { window.sent.push(...new Uint8Array(data));"
        " old.call(this, data) } }"
    )
    page.get_by_role("button", name="Esc").click()
    page.get_by_role("button", name="Up", exact=True).click()
    page.get_by_role("button", name="Ctrl", exact=True).click()
    page.keyboard.type("c")
    page.keyboard.press("Control+c")
    page.get_by_role("button", name="Paste…").click()
    page.get_by_label("Text", exact=True).fill("two\nlines")
    page.get_by_role("button", name="Type it").click()
    expect(screen_of(page)).to_contain_text("lines")
    sent = page.evaluate("window.sent")
    assert bytes(sent) == b"\x1b\x1b[A\x03\x03two\rlines"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_it_says_why_it_ended_and_starts_when_the_machine_does(
    console_page: Open, guest: Any, member: Any, admin: Any
) -> None:
    vm = guest(member, "web-1")
    first = console_page(member, vm)
    expect(status_of(first)).to_have_text("Connected")
    second = console_page(admin, vm)
    expect(status_of(second)).to_have_text("Connected")
    expect(status_of(first)).to_have_text("The console was taken over by another session.")
    first.get_by_role("button", name="Connect", exact=True).click()
    expect(status_of(first)).to_have_text("Connected")
    fake(vm).stop_domain(vm.pk)
    expect(status_of(first)).to_have_text("The machine was switched off.")


def test_a_lost_connection_comes_back_with_a_new_ticket(console_page: Open, guest: Any, member: Any) -> None:
    page = console_page(member, guest(member, "web-1"))
    expect(screen_of(page)).to_contain_text("fake login:")
    page.evaluate(
        "() => { const old = WebSocket.prototype.send; WebSocket.prototype.send = function () { this.close() } }"
    )
    page.keyboard.type("x")
    expect(status_of(page)).to_have_text(re.compile("Trying again"))
    expect(status_of(page)).to_have_text("Connected")


def test_a_lost_connection_to_a_machine_that_is_off_says_so(console_page: Open, guest: Any, member: Any) -> None:
    vm = guest(member, "web-1")
    page = console_page(member, vm)
    expect(screen_of(page)).to_contain_text("fake login:")
    vm.power = "shutoff"
    vm.save()
    page.evaluate(
        "() => { const old = WebSocket.prototype.send; WebSocket.prototype.send = function () { this.close() } }"
    )
    page.keyboard.type("x")
    expect(page.locator("#console")).to_be_hidden(timeout=15_000)
    expect(page.get_by_role("heading", name="web-1 is not running")).to_be_visible()


def test_a_machine_that_is_off_and_a_viewer(console_page: Open, guest: Any, member: Any, viewer: Any) -> None:
    vm = guest(member, "web-1")
    vm.power = "shutoff"
    vm.save()
    page = console_page(member, vm)
    expect(page.get_by_text("web-1 is not running")).to_be_visible()
    expect(page.get_by_role("button", name="Start web-1")).to_be_enabled()
    expect(page.locator("#console")).to_be_hidden()
    page = console_page(viewer, guest(viewer, "web-2"))
    expect(page.get_by_text("Your role only reads")).to_be_visible()
    expect(page.locator("#console")).to_have_count(0)


def test_a_screen_that_no_way_leads_to(console_page: Open, guest: Any, member: Any) -> None:
    page = console_page(member, guest(member, "web-1"), tab="screen")
    expect(page.get_by_text("reached over TLS")).to_be_visible()
    expect(page.locator("#console")).to_have_count(0)
