"""A real Chromium on a live server, and things to look at. What the browser complains about fails the test."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response, sync_playwright

from tests.dashboard.looks import DESKTOP

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]


@pytest.fixture(scope="session", autouse=True)
def static_root() -> None:
    """WhiteNoise wants the directory to be there; the files come from the finders."""
    from django.conf import settings

    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a module. Playwright's loop lives in this thread, so Django must allow queries beside it.

    It ends with the module: other tests could not run a loop of their own.
    """
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def sizes(db: None) -> list[Any]:
    """The catalogue: the tests with a live server empty every table."""
    from apps.compute.models import Size

    values = [("s-1vcpu-512mb", 1, 512, 10), ("s-2vcpu-2gb", 2, 2048, 60)]
    return [
        Size.objects.get_or_create(name=name, defaults={"vcpus": vcpus, "memory_mib": memory, "disk_gib": disk})[0]
        for name, vcpus, memory, disk in values
    ]


@pytest.fixture
def make_vm(host: Any, image: Any) -> Callable[..., Any]:
    """A VM as it is after its creation: running, with an address and its claim."""
    from apps.compute.models import VM, Nic
    from apps.hosts.capacity import Demand, capacity_claim
    from apps.network.models import Network

    network = Network.objects.get_or_create(
        host=host,
        libvirt_name="cs-test",
        defaults={"name": "default", "shared": True, "cidr": "192.168.150.0/24", "bridge": "cs0"},
    )[0]

    def make(owner: Any, name: str, **more: Any) -> VM:
        values = {"vcpus": 1, "memory_mib": 64, "disk_gib": 1, "phase": "ready", "power": "running"}
        vm = VM.objects.create(
            owner=owner, name=name, created_name=name, **{**values, "image": image, "host": host, **more}
        )
        number = Nic.objects.count()
        Nic.objects.create(vm=vm, network=network, mac=f"52:54:00:00:00:{number:02x}", ip=f"192.168.150.{10 + number}")
        demand = Demand(vcpus=vm.vcpus, memory_mib=vm.memory_mib, disk_gib=vm.disk_gib)
        assert capacity_claim(host_id=host.pk, consumer_id=vm.pk, label=name, demand=demand)
        return vm

    return make


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complained about; a test that expects one removes it."""
    return []


@pytest.fixture
def open_as(browser: Browser, live_server: Any, client: Any, complaints: list[str]) -> Iterator[Callable[..., Page]]:
    """Open the site as somebody: ``open_as(admin, "/vms/", viewport=PHONE, color_scheme="dark")``.

    After the test there must have been no error on the console (a violated content security policy is one), no
    exception in a script and no answer with a 5xx.
    """
    contexts: list[BrowserContext] = []

    def listen(page: Page) -> None:
        page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
        page.on("console", lambda message: _heard(message, complaints))
        page.on("response", lambda response: _answered(response, complaints))

    def start(user: Any, path: str, **options: Any) -> Page:
        context = browser.new_context(base_url=live_server.url, **{"viewport": DESKTOP, **options})
        contexts.append(context)
        if user is not None:
            client.force_login(user)
            cookie = client.cookies["sessionid"].value
            context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
        page = context.new_page()
        page.set_default_timeout(15_000)
        listen(page)
        page.goto(path)
        return page

    yield start
    for context in contexts:
        context.close()
    assert complaints == []


def _heard(message: ConsoleMessage, complaints: list[str]) -> None:
    """Nothing is wrong where htmx gave up a question for a newer one; one that failed is a ``htmx:sendError``."""
    given_up = message.text.startswith(("htmx:afterRequest", "htmx:sendAbort"))
    if message.type == "error" and not given_up and "Failed to load resource" not in message.text:
        complaints.append(f"console: {message.text}")


def _answered(response: Response, complaints: list[str]) -> None:
    if response.status >= 500:
        complaints.append(f"{response.status}: {response.url}")
