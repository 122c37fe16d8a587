"""The dialogs of rescue systems and CDs in a real Chromium."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from apps.operations.models import Operation
from apps.storage.models import Image
from tests.dashboard.looks import looks_right

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


def test_axe_finds_nothing(open_as: Open, admin: Any, make_vm: Any, disc: Image, image: Any) -> None:
    vm = make_vm(admin, "w" * 63)
    page = open_as(admin, f"/vms/{vm.pk}/")
    for name, button in (("insert", "Insert a CD"), ("rescue", "Rescue")):
        page.get_by_text("More", exact=True).click()
        page.get_by_role("button", name=button).click()
        looks_right(page, name)
        page.keyboard.press("Escape")
    type(vm).objects.update(rescue_image=image)
    page.reload()
    expect(page.get_by_text("booted from a rescue system")).to_be_visible()
    looks_right(page, "rescued")
