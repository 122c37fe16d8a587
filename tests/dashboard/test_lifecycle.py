"""Resize and rebuild: the plan before, what is refused and why, and the same in a real Chromium."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from apps.compute.models import Snapshot
from apps.operations.models import Operation
from tests.dashboard.looks import looks_right

Open = Callable[..., Page]
HTMX = {"hx-request": "true"}


@pytest.fixture
def vm(member: Any, make_vm: Any, sizes: Any) -> Any:
    return make_vm(member, "web-1", max_memory_mib=256)


@pytest.fixture
def off(vm: Any) -> Any:
    vm.power = "shutoff"
    vm.save()
    return vm


@pytest.fixture
def send(client: Any, member: Any) -> Callable[..., Any]:
    client.force_login(member)

    def post(vm: Any, page: str, sent: dict[str, Any], **headers: Any) -> Any:
        return client.post(f"/vms/{vm.pk}/{page}/", sent, headers=headers)

    return post


OWN = {"size": "custom", "vcpus": "1", "memory_mib": "64", "disk_gib": "1", "max_memory_mib": "256"}


def test_the_plan_of_a_resize_writes_nothing(send: Any, off: Any) -> None:
    text = send(off, "resize", {"size": "s-1vcpu-512mb"}, **HTMX).content.decode()
    assert "Change memory from 64 to 512 MiB" in text and "Grow the disk from 1 to 10 GiB" in text
    assert "cannot be taken back" in text and "has this when it is started" in text
    assert not Operation.objects.exists()


def test_only_what_differs_is_asked_for(send: Any, off: Any) -> None:
    answer = send(off, "resize", {**OWN, "memory_mib": "512", "intent": "resize"})
    assert answer["Location"] == f"/vms/{off.pk}/"
    numbers = Operation.objects.get().params["numbers"]
    assert (numbers["memory_mib"], numbers["max_memory_mib"]) == (512, 512)  # a maximum left alone is raised


def test_the_size_goes_with_room_to_grow(send: Any, off: Any) -> None:
    send(off, "resize", {"size": "s-1vcpu-512mb", "vcpus": "9", "max_vcpus": "2", "intent": "resize"})
    params = Operation.objects.get().params
    assert (params["size"], params["numbers"]["vcpus"], params["numbers"]["max_vcpus"]) == ("s-1vcpu-512mb", 1, 2)


def test_what_needs_it_off_is_said_and_what_does_not(send: Any, vm: Any) -> None:
    text = send(vm, "resize", {**OWN, "vcpus": "2", "memory_mib": "128"}, **HTMX).content.decode()
    assert "web-1 has to be off for this. Shut it down first. While it runs, you can change the memory." in text
    assert "vCPUs: it was started with room for 1" in text
    live = send(vm, "resize", {**OWN, "memory_mib": "128"}, **HTMX).content.decode()
    assert "Change memory from 64 to 128 MiB" in live and "It runs on meanwhile" in live


REFUSED = [
    (OWN, None, "has this size already"),
    ({"size": "custom", "disk_gib": "0"}, "disk_gib", "greater than or equal to 1"),
    ({"size": "custom", "vcpus": "9999"}, "vcpus", "vcpus lies between"),
    ({"size": "custom", "memory_mib": "9" * 40}, "memory_mib", "lies between"),
    ({"size": "custom", "vcpus": "x"}, "vcpus", "whole number"),
    ({"size": "huge"}, "size", "not one of the available choices"),
    ({"size": "custom", "disk_gib": "60000"}, "disk_gib", "short on its host"),
    ({"vcpus": "2"}, "size", "required"),
]


@pytest.mark.parametrize(("sent", "field", "words"), REFUSED)
def test_a_refused_resize_stands_at_its_field(send: Any, off: Any, sent: Any, field: str, words: str) -> None:
    answer = send(off, "resize", {**sent, "intent": "resize"})
    assert answer.status_code == 422
    assert words in str(answer.context["form"].errors[field or "__all__"])
    assert not Operation.objects.exists()


def test_a_rebuild_wants_the_name(send: Any, vm: Any) -> None:
    image = str(vm.image_id)
    for confirm in ("", "web-2", "WEB-1"):
        answer = send(vm, "rebuild", {"image": image, "confirm": confirm, "intent": "rebuild"})
        assert answer.status_code == 422 and "Type web-1 to confirm." in answer.content.decode()
    assert not Operation.objects.exists()
    answer = send(vm, "rebuild", {"image": image, "confirm": "web-1", "intent": "rebuild"})
    assert answer["Location"] == f"/vms/{vm.pk}/"
    assert (Operation.objects.get().kind, Operation.objects.get().params["image"]) == ("vm.rebuild", image)


def test_no_rebuild_while_there_are_snapshots(client: Any, send: Any, vm: Any) -> None:
    numbers = {"vcpus": 1, "memory_mib": 64, "disk_gib": 1, "max_vcpus": 1, "max_memory_mib": 64}
    Snapshot.objects.create(vm=vm, name="s", host_name="s", phase="ready", memory=True, power="running", **numbers)
    page = client.get(f"/vms/{vm.pk}/rebuild/")
    assert page.status_code == 200 and "has snapshots, which would be lost" in page.content.decode()
    sent = {"image": str(vm.image_id), "confirm": "web-1", "intent": "rebuild"}
    assert send(vm, "rebuild", sent).status_code == 422
    assert not Operation.objects.exists()


def test_a_foreign_image_is_none_of_the_choices(send: Any, vm: Any, other: Any, image: Any) -> None:
    image.pk, image.name, image.public, image.owner = None, "secret", False, other
    image._state.adding = True
    image.save(force_insert=True)
    answer = send(vm, "rebuild", {"image": str(image.pk), "confirm": "web-1", "intent": "rebuild"})
    assert answer.status_code == 422 and "secret" not in answer.content.decode()


@pytest.mark.django_db(transaction=True)
def test_resize_in_the_browser(open_as: Open, member: Any, off: Any) -> None:
    page = open_as(member, f"/vms/{off.pk}/")
    page.get_by_text("More").click()
    page.get_by_role("link", name="Resize").click()
    plan = page.get_by_label("The plan")
    expect(plan).to_contain_text("Choose something else than it has")
    page.get_by_label("Memory (MiB)", exact=True).fill("128")
    expect(plan).to_contain_text("Change memory from 64 to 128 MiB")
    page.get_by_text("512 MiB", exact=True).click()
    expect(page.get_by_label("Memory (MiB)", exact=True)).to_be_hidden()
    expect(plan).to_contain_text("Grow the disk from 1 to 10 GiB")
    assert not Operation.objects.exists()
    plan.get_by_role("button", name="Resize").click()
    expect(page.locator(".toast")).to_contain_text("change memory from 64 to 512 MiB")
    assert Operation.objects.get().kind == "vm.resize"


@pytest.mark.django_db(transaction=True)
def test_rebuild_in_the_browser(open_as: Open, member: Any, vm: Any) -> None:
    page = open_as(member, f"/vms/{vm.pk}/")
    page.get_by_text("More").click()
    page.get_by_role("link", name="Rebuild").click()
    expect(page.get_by_label("The plan")).to_contain_text("destroy its disk")
    button = page.get_by_role("button", name="Rebuild")
    expect(button).to_be_disabled()
    page.get_by_label("Type web-1 to confirm").fill("web-1")
    button.click()
    expect(page.locator(".toast")).to_contain_text("web-1 is being rebuilt")
    assert Operation.objects.get().kind == "vm.rebuild"


@pytest.mark.django_db(transaction=True)
def test_axe_finds_nothing(open_as: Open, admin: Any, make_vm: Any, sizes: Any) -> None:
    vm = make_vm(admin, "w" * 63, vcpus=2, disk_gib=20, max_vcpus=4, max_memory_mib=2048)
    page = open_as(admin, f"/vms/{vm.pk}/")
    for path in ("resize", "rebuild"):
        page.goto(f"/vms/{vm.pk}/{path}/")
        if path == "resize":
            page.get_by_label("vCPUs", exact=True).fill("9")
            expect(page.get_by_label("The plan")).to_contain_text("has to be off")
        looks_right(page)
