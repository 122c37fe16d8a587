"""The dialogs of rescue systems and CDs in a real Chromium."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from apps.operations.models import Operation
from apps.storage.models import Image
from tests.dashboard.conftest import ALL_LOOKS

Open = Callable[..., Page]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def disc(image: Any) -> Image:
    return Image.objects.create(name="d" * 63, format="iso", cloud_init=False)


def test_a_cd_is_chosen_and_booted_from(open_as: Open, member: Any, make_vm: Any, disc: Image) -> None:
    vm = make_vm(member, "web-1")
    page = open_as(member, f"/vms/{vm.pk}/")
    page.get_by_text("More").click()
    page.get_by_role("button", name="Insert a CD").click()
    page.get_by_label("Switch it off").check()
    page.get_by_role("button", name="Insert", exact=True).click()
    expect(page.locator(".toast")).to_contain_text("pull the plug of web-1, and boot it from the CD")
    operation = Operation.objects.get()
    assert (operation.kind, operation.params) == ("vm.insert", {"image": str(disc.pk), "boot": True})


@ALL_LOOKS
def test_axe_finds_nothing(
    open_as: Open, admin: Any, make_vm: Any, disc: Image, image: Any, scheme: str, viewport: Any
) -> None:
    vm = make_vm(admin, "w" * 63)
    page = open_as(admin, f"/vms/{vm.pk}/", viewport=viewport, color_scheme=scheme)
    for name, button in (("insert", "Insert a CD"), ("rescue", "Rescue")):
        page.get_by_text("More", exact=True).click()
        page.get_by_role("button", name=button).click()
        look(page, name, scheme, viewport)
        page.keyboard.press("Escape")
    type(vm).objects.update(rescue_image=image)
    page.reload()
    expect(page.get_by_text("booted from a rescue system")).to_be_visible()
    look(page, "rescued", scheme, viewport)


def look(page: Page, name: str, scheme: str, viewport: Any) -> None:
    if shots := os.environ.get("CLOUDSITE_SHOTS"):
        page.screenshot(path=Path(shots) / f"rescue-{name}-{scheme}-{viewport['width']}.png")
    found = Axe().run(page)
    assert found.violations_count == 0, f"{name}: {found.generate_report()}"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
