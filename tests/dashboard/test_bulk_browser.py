"""Choosing machines in a real Chromium: what is chosen outlives the list being replaced; the keyboard does it all."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from apps.compute.models import VM
from apps.operations.models import Operation
from apps.operations.services import operation_create
from tests.dashboard.looks import BOTH, looks_right

pytestmark = pytest.mark.django_db(transaction=True)
Open = Callable[..., Page]


@pytest.fixture
def vms(admin: Any, make_vm: Callable[..., Any]) -> list[VM]:
    return [make_vm(admin, f"web-{number}") for number in (1, 2, 3, 4)]


def test_the_choice_outlives_a_living_list(open_as: Open, admin: Any, vms: list[VM]) -> None:
    operation = operation_create(kind="vm.reboot", target_type="vm", target=vms[3], actor=admin)
    page = open_as(admin, "/vms/")
    bar = page.get_by_role("form", name="Chosen machines")
    expect(bar).to_be_hidden()
    page.get_by_label("Choose web-1").check()
    page.get_by_label("Choose web-2").focus()
    page.keyboard.press("Space")
    expect(bar).to_contain_text("2 chosen")
    for _ in range(2):
        with page.expect_response(re.compile("/vms/$")):
            pass
    expect(page.get_by_label("Choose web-1")).to_be_checked()
    expect(page.get_by_label("Choose web-2")).to_be_focused()
    expect(bar).to_contain_text("2 chosen")
    VM.objects.filter(pk=vms[0].pk).delete()
    expect(bar).to_contain_text("1 chosen")  # nobody acts on what is not in sight any more
    Operation.objects.filter(pk=operation.pk).update(status="succeeded")


def test_all_a_range_and_none(open_as: Open, admin: Any, vms: list[VM]) -> None:
    page = open_as(admin, "/vms/")
    bar = page.get_by_role("form", name="Chosen machines")
    every = page.get_by_role("checkbox", name="Choose all on this page")
    every.check()
    expect(bar).to_contain_text("4 chosen")
    page.get_by_label("Choose web-2").uncheck()
    expect(bar).to_contain_text("3 chosen")
    assert every.evaluate("box => box.indeterminate")
    bar.get_by_role("button", name="Choose none").click()
    expect(bar).to_be_hidden()
    page.get_by_label("Choose web-4").click()
    page.get_by_label("Choose web-2").click(modifiers=["Shift"])
    expect(bar).to_contain_text("3 chosen")


@pytest.mark.usefixtures("without_trash")
def test_delete_is_shown_confirmed_and_told(open_as: Open, admin: Any, vms: list[VM]) -> None:
    VM.objects.filter(pk=vms[1].pk).update(protected=True)
    page = open_as(admin, "/vms/")
    page.evaluate("document.body.dataset.same = 'yes'")
    for name in ("web-1", "web-2", "web-3"):
        page.get_by_label(f"Choose {name}").check()
    page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog", name="Delete 2 machines?")
    expect(dialog).to_contain_text("web-2 is protected")
    button = dialog.get_by_role("button", name="Delete 2")
    expect(button).to_be_disabled()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert Operation.objects.count() == 0
    page.get_by_role("button", name="Delete…").click()
    expect(dialog.get_by_label("Type delete 2 to confirm")).to_be_focused()
    page.keyboard.type("delete 2")
    page.keyboard.press("Enter")
    told = page.get_by_role("dialog", name="Delete: 2 machines accepted, 1 refused")
    expect(told).to_contain_text("Take the protection off first")
    expect(page.locator("#vms").get_by_text("Deleting")).to_have_count(2)
    told.get_by_role("link", name="Close").click()
    expect(told).to_be_hidden()
    expect(page.get_by_role("form", name="Chosen machines")).to_be_hidden()
    assert page.evaluate("document.body.dataset.same") == "yes"


def test_it_works_without_scripts(open_as: Open, admin: Any, vms: list[VM]) -> None:
    page = open_as(admin, "/vms/", java_script_enabled=False)
    page.get_by_label("Choose web-1").check()
    page.get_by_role("button", name="Power off…").click()
    expect(page.get_by_role("heading", name="Power off 1 machine?")).to_be_visible()
    page.get_by_role("button", name="Power off 1").click()
    expect(page.get_by_role("heading", name="Power off: 1 machine accepted")).to_be_visible()
    page.get_by_role("link", name="Close").click()
    expect(page.get_by_role("heading", name="Virtual machines", exact=True)).to_be_visible()


@pytest.mark.usefixtures("without_trash")
def test_it_is_accessible_and_fits(open_as: Open, admin: Any, make_vm: Callable[..., Any], vms: list[VM]) -> None:
    make_vm(admin, "a-name-that-has-all-of-the-sixty-three-letters-that-it-may-have", protected=True)
    page = open_as(admin, "/vms/")
    page.get_by_role("checkbox", name="Choose all on this page").check()
    for step in ("chosen", "tags", "asked", "told"):
        if step == "tags":
            page.get_by_role("button", name="Tags…").click()
            expect(page.get_by_label("Tags", exact=True)).to_be_focused()
        if step == "asked":
            page.get_by_role("link", name="Cancel").click()
            page.get_by_role("button", name="Delete…").click()
            page.get_by_label("Type delete 4 to confirm").fill("delete 4")
        if step == "told":
            page.get_by_role("button", name="Delete 4").click()
            expect(page.get_by_role("dialog")).to_contain_text("4 machines accepted, 1 refused")
        looks_right(page, step, looks=BOTH)
