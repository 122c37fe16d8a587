"""The trash on pages."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from apps.compute.models import VM
from apps.operations.models import Operation
from tests.dashboard.looks import BOTH, looks_right

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def a_day(settings: Any) -> None:
    settings.TRASH_HOURS = 24


def in_trash(vm: VM) -> VM:
    VM.objects.filter(pk=vm.pk).update(
        phase="trashed", power="shutoff", desired_power="off", trashed_until=timezone.now() + timedelta(hours=23.5)
    )
    return vm


def test_delete_and_undo(open_as: Callable[..., Page], admin: Any, make_vm: Callable[..., Any]) -> None:
    vm = make_vm(admin, "web-1")
    page = open_as(admin, f"/vms/{vm.pk}/")
    page.get_by_text("More").click()
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("dialog").get_by_role("button", name="Move to trash").click()
    expect(page.get_by_text("It is in the trash, off, with everything it had")).to_be_visible()
    expect(page.get_by_role("button", name="Restore")).to_be_disabled()  # it is still being powered off
    Operation.objects.update(status="succeeded", finished_at=timezone.now())
    VM.objects.update(power="shutoff")
    page.get_by_role("button", name="Restore").click()
    expect(page.locator(".toast").last).to_contain_text("web-1 is restored. It is off.")
    expect(page.get_by_role("button", name="Start").first).to_be_enabled()


def test_the_trash_has_a_page(open_as: Callable[..., Page], admin: Any, make_vm: Callable[..., Any]) -> None:
    in_trash(make_vm(admin, "old-1"))
    make_vm(admin, "web-1")
    page = open_as(admin, "/vms/")
    expect(page.get_by_role("link", name="old-1")).to_have_count(0)
    page.get_by_role("link", name="Trash").click()
    expect(page.get_by_role("link", name="web-1")).to_have_count(0)
    expect(page.get_by_text("in 23 h")).to_be_visible()
    page.get_by_role("button", name="Restore old-1").click()
    expect(page.get_by_role("heading", name="The trash is empty")).to_be_visible()
    assert VM.objects.get(name="old-1").phase == "ready"
    many_at_once(page, [in_trash(make_vm(admin, f"old-{number}")) for number in (2, 3)])


def many_at_once(page: Page, vms: list[VM]) -> None:
    page.reload()
    page.get_by_role("checkbox", name="Choose all on this page").check()
    page.get_by_role("button", name="Delete for good…").click()
    dialog = page.get_by_role("dialog", name="Delete for good 2 machines?")
    expect(dialog.get_by_role("button", name="Delete for good 2")).to_be_disabled()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Restore", exact=True).click()
    expect(page.get_by_role("dialog", name="Restore: 2 machines accepted")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="The trash is empty")).to_be_visible()
    assert VM.objects.filter(pk__in=[vm.pk for vm in vms], phase="ready").count() == 2


def test_for_good_asks_for_the_name(open_as: Callable[..., Page], admin: Any, make_vm: Callable[..., Any]) -> None:
    vm = in_trash(make_vm(admin, "old-1"))
    page = open_as(admin, f"/vms/{vm.pk}/")
    page.get_by_role("button", name="Delete for good…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Delete")).to_be_disabled()
    dialog.get_by_label("Type old-1 to confirm").fill("old-1")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Delete old-1")).to_be_visible()
    assert Operation.objects.get().kind == "vm.delete"


def test_many_go_to_the_trash_without_typing(
    open_as: Callable[..., Page], admin: Any, make_vm: Callable[..., Any]
) -> None:
    for name in ("web-1", "web-2"):
        make_vm(admin, name)
    page = open_as(admin, "/vms/")
    page.get_by_role("checkbox", name="Choose all on this page").check()
    page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog", name="Move to trash 2 machines?")
    dialog.get_by_role("button", name="Move to trash 2").click()
    expect(page.get_by_role("dialog", name="Delete: 2 machines accepted")).to_be_visible()
    expect(page.get_by_text("No virtual machines yet")).to_have_count(1)
    assert set(Operation.objects.values_list("kind", flat=True)) == {"vm.trash"}


def test_switched_off_it_says_so(client: Any, member: Any, settings: Any) -> None:
    settings.TRASH_HOURS = 0
    client.force_login(member)
    assert "is switched off on this installation" in client.get("/vms/trash/").content.decode()


def test_it_is_accessible_and_fits(open_as: Callable[..., Page], admin: Any, make_vm: Callable[..., Any]) -> None:
    page = open_as(admin, "/vms/trash/")
    looks_right(page, looks=BOTH)
    vm = in_trash(make_vm(admin, "a-name-that-has-all-of-the-sixty-three-letters-that-it-may-have"))
    for path in ("/vms/trash/", f"/vms/{vm.pk}/"):
        page.goto(path)
        looks_right(page, looks=BOTH)
