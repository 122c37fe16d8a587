"""The pages in a real Chromium: what people do, and what htmx and our scripts make of it."""

import contextlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Error, Page, Route, TimeoutError, expect

from apps.compute.models import VM
from apps.operations.models import Operation
from apps.operations.services import operation_create
from tests.dashboard.looks import BOTH, PHONE, looks_right

pytestmark = pytest.mark.django_db(transaction=True)
Open = Callable[..., Page]


def test_sign_in_leads_to_where_one_wanted_to_go(open_as: Open, admin: Any) -> None:
    page = open_as(None, "/vms/")
    expect(page).to_have_title(re.compile("Sign in"))
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("Wrong user name or password")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Virtual machines", exact=True)).to_be_visible()


def test_create_shows_the_plan_and_then_does_it(open_as: Open, admin: Any, host: Any, image: Any, sizes: Any) -> None:
    page = open_as(admin, "/vms/new/")
    plan = page.get_by_label("The plan")
    page.get_by_label("Name", exact=True).press_sequentially("web-1")
    expect(plan).to_contain_text("Nothing is done yet")
    expect(plan).to_contain_text("h1")
    page.get_by_text("60 GiB disk").click()
    expect(plan).to_contain_text("2 vCPU")
    assert VM.objects.count() == 0
    plan.get_by_role("button", name="Create virtual machine").click()
    expect(page.get_by_role("heading", name="web-1", exact=True)).to_be_visible()
    assert VM.objects.get().vcpus == 2


def test_a_refused_form_keeps_everything_and_has_the_focus(
    open_as: Open, admin: Any, host: Any, image: Any, sizes: Any
) -> None:
    page = open_as(admin, "/vms/new/")
    page.get_by_label("Name", exact=True).fill("web-1")
    page.get_by_text("Advanced").click()
    page.get_by_label("User-data", exact=False).first.fill("not yaml")
    page.get_by_text("60 GiB disk").click()
    page.get_by_role("button", name="Create virtual machine").click()
    wrong = page.locator("[name=user_data]")
    expect(wrong).to_be_focused()
    expect(wrong).to_have_attribute("aria-invalid", "true")
    expect(wrong).to_have_value("not yaml")
    expect(page.locator("[name=size][value=s-2vcpu-2gb]")).to_be_checked()


def test_own_numbers_show_their_fields(open_as: Open, admin: Any, host: Any, image: Any, sizes: Any) -> None:
    page = open_as(admin, "/vms/new/")
    expect(page.get_by_label("vCPUs", exact=True)).to_be_hidden()
    page.get_by_text("Own numbers").click()
    expect(page.get_by_label("vCPUs", exact=True)).to_be_visible()


def test_the_page_follows_an_operation_and_then_is_quiet(
    open_as: Open, admin: Any, make_vm: Callable[..., Any]
) -> None:
    vm = make_vm(admin, "web-1")
    operation = operation_create(kind="vm.reboot", target_type="vm", target=vm, actor=admin)
    page = open_as(admin, f"/vms/{vm.pk}/")
    expect(page.get_by_role("button", name="Shut down").first).to_be_disabled()
    row = Operation.objects.filter(pk=operation.pk)
    row.update(status="running", step="waiting for the guest", progress=40, started_at=timezone.now())
    expect(page.get_by_text("Waiting for the guest").first).to_be_visible()
    expect(page.locator("progress").first).to_have_attribute("value", "40")
    row.update(status="succeeded", finished_at=timezone.now())
    expect(page.locator("progress")).to_have_count(0)
    with pytest.raises(TimeoutError):
        page.wait_for_event("request", timeout=3000)
    expect(page.get_by_role("button", name="Shut down").first).to_be_enabled()


def test_a_verb_works_in_place(open_as: Open, admin: Any, make_vm: Callable[..., Any]) -> None:
    vm = make_vm(admin, "web-1")
    page = open_as(admin, f"/vms/{vm.pk}/")
    page.evaluate("document.body.dataset.same = 'yes'")
    page.get_by_role("button", name="Shut down").first.click()
    expect(page.locator(".toast")).to_contain_text("ask web-1 to shut down")
    expect(page.locator("#vm progress")).to_be_visible()
    assert page.evaluate("document.body.dataset.same") == "yes"
    vm.refresh_from_db()
    assert vm.desired_power == "off"


def test_an_open_menu_is_not_swapped_away(open_as: Open, admin: Any, make_vm: Callable[..., Any]) -> None:
    vm = make_vm(admin, "web-1")
    operation_create(kind="vm.reboot", target_type="vm", target=vm, actor=admin)
    page = open_as(admin, "/vms/")
    page.get_by_label("Actions for web-1").click()
    expect(page.get_by_text("Power off (pulls the plug)")).to_be_visible()
    with pytest.raises(TimeoutError):
        page.wait_for_event("request", timeout=3000)
    expect(page.get_by_text("Power off (pulls the plug)")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text("Power off (pulls the plug)")).to_be_hidden()


def test_a_list_stays_where_it_was_scrolled(open_as: Open, admin: Any, make_vm: Callable[..., Any]) -> None:
    for number in range(30):
        make_vm(admin, f"web-{number}")
    page = open_as(admin, "/vms/")
    page.get_by_label("Actions for web-15").click()
    page.get_by_text("Reboot", exact=True).locator("visible=true").click()
    expect(page.locator(".toast")).to_contain_text("ask web-15 to restart")
    expect(page.get_by_label("Actions for web-15")).to_be_in_viewport()


def test_the_search_narrows_as_one_types(open_as: Open, admin: Any, make_vm: Callable[..., Any]) -> None:
    for name in ("web-1", "database"):
        make_vm(admin, name)
    operation_create(kind="vm.reboot", target_type="vm", target=VM.objects.get(name="web-1"), actor=admin)
    page = open_as(admin, "/vms/")
    polls: list[Route] = []

    def late_poll_first(route: Route) -> None:
        """The list asks by itself, and is answered when the search has been sent, just before that."""
        if "q=" not in route.request.url:
            polls.append(route)
            return
        for poll in polls:
            with contextlib.suppress(Error):  # nobody wants it any more
                poll.fulfill(response=poll.fetch())
        polls.clear()
        route.fulfill(response=route.fetch())

    page.route("**/vms/**", late_poll_first)
    with page.expect_request("**/vms/"):
        pass
    page.get_by_label("Search by name, tag or address").press_sequentially("data")
    expect(page.get_by_role("link", name="web-1")).to_have_count(0)
    expect(page.get_by_role("link", name="database")).to_be_visible()
    assert page.url.endswith("q=data&status=")


@pytest.mark.usefixtures("without_trash")
def test_delete_asks_for_the_name(open_as: Open, admin: Any, make_vm: Callable[..., Any]) -> None:
    vm = make_vm(admin, "web-1")
    page = open_as(admin, f"/vms/{vm.pk}/")
    page.get_by_text("More").click()
    page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("button", name="Delete")).to_be_disabled()
    dialog.get_by_label("Type web-1 to confirm").fill("web-1")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Delete web-1")).to_be_visible()
    vm.refresh_from_db()
    assert vm.phase == "deleting"


def test_the_theme_is_remembered(open_as: Open, admin: Any) -> None:
    page = open_as(admin, "/", color_scheme="light")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark theme").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.goto("/vms/")
    assert page.evaluate(ground) == dark
    expect(page.get_by_role("button", name="Dark theme")).to_have_attribute("aria-pressed", "true")


def test_the_command_is_copied(open_as: Open, admin: Any, make_vm: Callable[..., Any]) -> None:
    vm = make_vm(admin, "web-1")
    page = open_as(admin, f"/vms/{vm.pk}/", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("Copy").first.click()
    expect(page.get_by_label("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "ssh root@192.168.150.10"


def test_the_keyboard_reaches_content_and_menu(open_as: Open, admin: Any) -> None:
    page = open_as(admin, "/", viewport=PHONE)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#page")).to_be_focused()
    page.get_by_role("button", name="Open menu").focus()
    page.keyboard.press("Enter")
    menu = page.get_by_role("dialog", name="Menu")
    expect(menu).to_be_visible()
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()


def test_a_lost_connection_is_said_and_taken_back(
    open_as: Open, admin: Any, make_vm: Callable[..., Any], complaints: list[str]
) -> None:
    operation_create(kind="vm.reboot", target_type="vm", target=make_vm(admin, "web-1"), actor=admin)
    page = open_as(admin, "/vms/")
    notice = page.get_by_text("Cloudsite does not answer at the moment")
    expect(notice).to_be_hidden()
    page.context.set_offline(True)
    expect(notice).to_be_visible()
    page.context.set_offline(False)
    expect(notice).to_be_hidden()
    complaints.clear()  # htmx reports the requests that failed


def test_the_pages_work_without_scripts(
    open_as: Open, admin: Any, host: Any, image: Any, sizes: Any, make_vm: Callable[..., Any]
) -> None:
    vm = make_vm(admin, "web-1")
    page = open_as(admin, f"/vms/{vm.pk}/", java_script_enabled=False)
    page.get_by_role("button", name="Shut down").first.click()
    expect(page.locator(".toast")).to_contain_text("ask web-1 to shut down")
    page.goto("/vms/new/")
    page.get_by_label("Name", exact=True).fill("web-2")
    page.get_by_role("button", name="Show the plan first").click()
    expect(page.get_by_label("The plan")).to_contain_text("Nothing is done yet")
    page.get_by_role("button", name="Create virtual machine").click()
    expect(page.get_by_role("heading", name="web-2", exact=True)).to_be_visible()


def test_the_api_documentation_works_under_the_policy(open_as: Open, admin: Any) -> None:
    page = open_as(admin, "/api/v1/docs/")
    expect(page.get_by_role("button", name="post /api/v1/vms/", exact=True)).to_be_visible()


def test_the_admin_works_under_the_policy(open_as: Open, admin: Any, make_vm: Callable[..., Any]) -> None:
    make_vm(admin, "web-1")
    page = open_as(admin, "/admin/compute/vm/")
    page.get_by_role("link", name="web-1").click()
    expect(page.locator("#site-name")).to_contain_text("Cloudsite")
    expect(page.get_by_text("192.168.150.10").or_(page.get_by_text("Desired power")).first).to_be_visible()


def test_an_ended_session_leads_to_the_door(open_as: Open, admin: Any, make_vm: Callable[..., Any]) -> None:
    vm = make_vm(admin, "web-1")
    operation_create(kind="vm.reboot", target_type="vm", target=vm, actor=admin)
    page = open_as(admin, f"/vms/{vm.pk}/")
    admin.set_password("another horse battery")
    admin.save()
    page.wait_for_url("**/sign-in/**")


def test_every_page_is_accessible_and_fits(
    open_as: Open, admin: Any, make_vm: Callable[..., Any], make_host: Callable[..., Any], sizes: Any
) -> None:
    """No violation that axe finds, no sideways scrolling, with long names and trouble on the pages."""
    long_name = "a-name-that-has-all-of-the-sixty-three-letters-that-it-may-have"
    vm = make_vm(admin, long_name, tags=["x" * 63, "prod"], protected=True)
    broken = make_vm(admin, "broken", phase="error", reason="/a/path/" + "without-any-blank" * 20)
    operation = operation_create(kind="vm.create", target_type="vm", target=broken, actor=admin)
    Operation.objects.update(status="failed", error_code="host-rejected", error_message=broken.reason, retryable=True)
    operation_create(kind="vm.reboot", target_type="vm", target=vm, actor=admin)
    lost = make_host("lost", transport="tls", address="l" * 60 + ".example", status="unreachable", reason="r" * 300)
    paths = [
        *("/", "/vms/", "/vms/?q=none", "/vms/new/", "/hosts/", "/hosts/new/", "/images/", "/operations/"),
        *("/ssh-keys/", "/ssh-keys/new/", "/account/password/", "/search/?q=a", "/nothing-here/"),
        *(f"/vms/{vm.pk}/edit/", f"/hosts/{vm.host_id}/edit/"),
        *(f"/vms/{vm.pk}/", f"/vms/{broken.pk}/", f"/hosts/{vm.host_id}/", f"/hosts/{lost.pk}/"),
        *(f"/images/{vm.image_id}/", f"/operations/{operation.pk}/"),
    ]
    page = open_as(admin, "/")
    for path in paths:
        page.goto(path)
        looks_right(page, looks=BOTH)
