"""Editing what only our records know."""

from collections.abc import Callable
from typing import Any

import pytest


def test_name_tags_and_notes_are_changed(client: Any, member: Any, make_vm: Callable[..., Any]) -> None:
    vm = make_vm(member, "web-1", tags=["old"])
    client.force_login(member)
    sent = {"name": "web-2", "tags": "prod, web", "notes": "line one\r\nline two"}
    assert client.post(f"/vms/{vm.pk}/edit/", sent)["Location"] == f"/vms/{vm.pk}/"
    vm.refresh_from_db()
    assert (vm.name, vm.tags, vm.notes) == ("web-2", ["prod", "web"], "line one\nline two")
    assert (vm.created_name, vm.start_on_boot) == ("web-1", False)


def test_the_boot_order_is_kept_unless_it_is_given(client: Any, member: Any, make_vm: Callable[..., Any]) -> None:
    vm = make_vm(member, "web-1")
    client.force_login(member)
    sent = {"name": "web-1", "start_on_boot": "on"}
    for order, kept in (("10", 10), ("", 10), ("0", 0)):
        client.post(f"/vms/{vm.pk}/edit/", {**sent, "boot_order": order})
        vm.refresh_from_db()
        assert vm.boot_order == kept
    for order in ("-1", "x", "10000", "9" * 40):
        answer = client.post(f"/vms/{vm.pk}/edit/", {**sent, "boot_order": order})
        assert (answer.status_code, list(answer.context["form"].errors)) == (422, ["boot_order"])


def test_one_refusal_changes_nothing(client: Any, member: Any, make_vm: Callable[..., Any]) -> None:
    vm = make_vm(member, "web-1")
    client.force_login(member)
    answer = client.post(f"/vms/{vm.pk}/edit/", {"name": "web-2", "tags": "x" * 64})
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == ["tags"]
    vm.refresh_from_db()
    assert vm.name == "web-1"


@pytest.mark.usefixtures("without_trash")
def test_protection_is_switched_and_obeyed(client: Any, member: Any, make_vm: Callable[..., Any]) -> None:
    vm = make_vm(member, "web-1")
    client.force_login(member)
    client.post(f"/vms/{vm.pk}/protect/", {"protected": "true"})
    page = client.post(f"/vms/{vm.pk}/delete/", headers={"referer": "http://testserver/vms/"}, follow=True)
    assert "web-1 is protected" in page.content.decode()
    client.post(f"/vms/{vm.pk}/protect/", {"protected": "false"})
    client.post(f"/vms/{vm.pk}/delete/")
    vm.refresh_from_db()
    assert vm.phase == "deleting"
