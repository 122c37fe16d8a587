"""Placement in a real Chromium: the editor by keyboard, and what axe finds on every page, light and dark."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from apps.placement.groups import group_create
from apps.placement.models import Placement, Policy
from apps.placement.policies import policy_create, policy_replace
from tests.dashboard.looks import BOTH, DESKTOP, looks_right
from tests.dashboard.test_placement_pages import TEXT, claim

pytestmark = pytest.mark.django_db(transaction=True)
Open = Callable[..., Page]
WRONG = "name: quiet\nfilters:\n  memroy: {ratio: 1}\nscore: [{metric: vms}]\n"


def type_a_policy(page: Page) -> None:
    """Wrong first: the line is marked and reached by keyboard. Then right, and kept."""
    editor = page.get_by_label("Policy (YAML)")
    editor.fill(WRONG)
    to_line = page.get_by_role("button", name="Go to line 3")
    expect(page.locator(".editor-wrong")).to_have_text("3")
    looks_right(page, looks=BOTH)
    page.set_viewport_size(DESKTOP)
    to_line.press("Enter")
    expect(editor).to_be_focused()
    assert editor.evaluate("area => area.selectionStart") == WRONG.index("memroy")
    editor.fill(WRONG.replace("memroy", "memory"))
    expect(page.locator("#policy-check")).to_contain_text("would go to")
    size = page.get_by_label("A new machine now, of size")
    for name in ("s-2vcpu-2gb", "s-1vcpu-512mb"):
        with page.expect_response("**/policies/new/"):
            size.select_option(name)
        expect(size).to_have_value(name)
    expect(page.locator("#policy-check")).to_contain_text("would go to")
    page.get_by_role("button", name="Create policy").click()
    expect(page.get_by_role("heading", name="quiet", exact=True)).to_be_visible()


def group_pages(admin: Any, vm: Any) -> tuple[str, ...]:
    """With a long name and somebody in it."""
    group = group_create(actor=admin, name="g" * 63, rule="anti-affinity")
    type(vm).objects.filter(pk=vm.pk).update(group=group)
    own = f"/placement-groups/{group.pk}/"
    return "/placement-groups/", "/placement-groups/new/", own, f"{own}delete/", f"/vms/{vm.pk}/edit/"


def test_the_pages_of_placement(open_as: Open, admin: Any, sizes: Any, make_host: Any, make_vm: Any, host: Any) -> None:
    make_host("a" * 63, memory_mib=65536, enabled=False)
    long = policy_create(actor=admin, text=TEXT.replace("quiet", "l" * 63))
    policy_replace(actor=admin, policy_id=long.pk, text=TEXT.replace("quiet", "l" * 63) + "  - metric: kvm\n")
    vm = make_vm(admin, "w" * 63, policy=long)
    told: Placement = claim("v" * 63, long)
    Placement.objects.filter(pk=told.pk).update(consumer_id=vm.pk)
    page = open_as(admin, "/policies/new/")
    type_a_policy(page)
    assert Policy.objects.filter(name="quiet").exists()
    policy = f"/policies/{long.pk}/"
    what_if = "/what-if/?grow=90&remove=h1&add=1&cpus=0"
    groups = group_pages(admin, vm)
    for path in (*groups, "/policies/", policy, "/placements/", f"/placements/{told.pk}/", f"/vms/{vm.pk}/", what_if):
        page.goto(path)
        looks_right(page, looks=BOTH if path in (policy, what_if, groups[-1]) else BOTH[1:])
