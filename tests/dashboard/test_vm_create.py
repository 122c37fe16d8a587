"""The create page: the plan before anything is made, refusals at their field, nothing typed is lost."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import SSHKey
from apps.compute.models import VM
from apps.operations.models import Operation
from apps.placement.groups import group_create
from apps.placement.policies import policies_ensure

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPaHkqXhTOWxAXTGXhmnrXLfSeK3sBpU9tvyiPbJbAn6 you@laptop"


@pytest.fixture
def wish(image: Any, sizes: Any, host: Any) -> dict[str, Any]:
    return {"name": "web-1", "image": "tiny", "size": "s-1vcpu-512mb", "start_on_boot": "on"}


def test_the_plan_names_the_host_and_writes_nothing(client: Any, admin: Any, wish: dict[str, Any]) -> None:
    client.force_login(admin)
    new_key = {"key_name": "laptop", "public_key": KEY}
    page = client.post("/vms/new/", {**wish, **new_key, "intent": "plan"}, headers={"hx-request": "true"})
    text = page.content.decode()
    assert page.status_code == 200
    assert "Claim 1 vCPU" in text
    assert ">h1</dd>" in text
    assert (VM.objects.count(), Operation.objects.count(), SSHKey.objects.count()) == (0, 0, 0)


def test_create_makes_the_vm_and_leads_to_its_page(client: Any, admin: Any, wish: dict[str, Any]) -> None:
    client.force_login(admin)
    answer = client.post("/vms/new/", {**wish, "intent": "create", "tags": "prod, web"})
    vm = VM.objects.get()
    assert answer["Location"] == f"/vms/{vm.pk}/"
    assert (vm.name, vm.owner, vm.tags, vm.start_on_boot) == ("web-1", admin, ["prod", "web"], True)
    assert Operation.objects.get().kind == "vm.create"


def test_room_to_grow_is_chosen_at_creation(client: Any, admin: Any, wish: dict[str, Any]) -> None:
    client.force_login(admin)
    client.post("/vms/new/", {**wish, "max_vcpus": "4", "max_memory_mib": "1024", "intent": "create"})
    vm = VM.objects.get()
    assert (vm.vcpus, vm.max_vcpus, vm.memory_mib, vm.max_memory_mib) == (1, 4, 512, 1024)
    assert "4 vCPU · 1 GiB" in client.get(f"/vms/{vm.pk}/").content.decode()


def test_the_policy_is_chosen_at_creation(client: Any, admin: Any, wish: dict[str, Any]) -> None:
    policies_ensure()
    client.force_login(admin)
    page = client.get("/vms/new/").content.decode()
    assert "The default (balanced)" in page
    client.post("/vms/new/", {**wish, "policy": "pack", "intent": "create"})
    vm = VM.objects.get()
    assert vm.policy is not None and vm.policy.name == "pack"
    assert "<dd>pack</dd>" in client.get(f"/vms/{vm.pk}/").content.decode()
    assert client.post("/vms/new/", {**wish, "policy": "sprad", "intent": "create"}).status_code == 422


def test_a_group_is_joined_by_who_has_one(client: Any, admin: Any, member: Any, wish: dict[str, Any]) -> None:
    client.force_login(admin)
    group_create(actor=member, name="web", rule="affinity")
    assert "Placement group" not in client.get("/vms/new/").content.decode()
    group = group_create(actor=admin, name="db", rule="anti-affinity")
    page = client.get("/vms/new/").content.decode()
    assert "db (anti-affinity)" in page and "web (affinity)" not in page
    assert client.post("/vms/new/", {**wish, "group": "web", "intent": "create"}).status_code == 422
    client.post("/vms/new/", {**wish, "group": "db", "intent": "create"})
    vm = VM.objects.get()
    assert vm.group is not None and vm.group.name == "db"
    shown = f'<dd><a href="/placement-groups/{group.pk}/">db</a> <span class="tag">anti-affinity</span></dd>'
    assert shown in client.get(f"/vms/{vm.pk}/").content.decode()


def test_a_pasted_key_is_saved_and_used(client: Any, member: Any, wish: dict[str, Any]) -> None:
    client.force_login(member)
    client.post("/vms/new/", {**wish, "key_name": "laptop", "public_key": KEY, "intent": "create"})
    key = SSHKey.objects.get(owner=member)
    assert VM.objects.get().ssh_keys == [key.public_key]


REFUSALS = [
    ({"name": "No Good"}, "name", "1 to 63 of a-z"),
    ({"size": "custom", "vcpus": "1", "memory_mib": "64"}, "disk_gib", "Give a size, or all of"),
    ({"user_data": "hello"}, "user_data", "starts with the line #cloud-config"),
    ({"key_name": "Bad Name", "public_key": KEY}, "key_name", "1 to 63 of a-z"),
    ({"key_name": "k", "public_key": "nonsense"}, "public_key", "key"),
    ({"max_memory_mib": "100"}, "max_memory_mib", "at least memory_mib, 512"),
    ({"size": "custom", "vcpus": "200", "memory_mib": "64", "disk_gib": "1", "host": "h1"}, "host", "short of vCPUs"),
]


@pytest.mark.parametrize(("change", "field", "words"), REFUSALS)
def test_a_refusal_stands_at_its_field(
    client: Any, admin: Any, wish: dict[str, Any], change: dict[str, str], field: str, words: str
) -> None:
    client.force_login(admin)
    sent = {**wish, "tags": "kept-tag", "intent": "create", **change}
    answer = client.post("/vms/new/", sent)
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert words in str(answer.context["form"].errors[field])
    page = answer.content.decode()
    assert all(value in page for name, value in sent.items() if name != "intent" and "\n" not in value)
    assert VM.objects.count() == 0
    assert SSHKey.objects.count() == 0


def test_no_host_fits_is_said_above_the_form(
    client: Any, admin: Any, wish: dict[str, Any], make_vm: Callable[..., Any]
) -> None:
    client.force_login(admin)
    big = {"size": "custom", "vcpus": "200", "memory_mib": "64", "disk_gib": "1"}
    answer = client.post("/vms/new/", {**wish, **big, "intent": "create"})
    assert answer.status_code == 422
    assert "No host fits: h1: 136 vCPU short of vCPUs" in answer.content.decode()


def test_a_member_cannot_choose_a_host(client: Any, member: Any, wish: dict[str, Any]) -> None:
    client.force_login(member)
    page = client.get("/vms/new/").content.decode()
    assert 'name="host"' not in page
    client.post("/vms/new/", {**wish, "host": "h1", "intent": "create"})
    assert Operation.objects.get().params == {}
