"""The pages of data volumes in a real Chromium."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from apps.compute.models import VolumeAttachment
from apps.operations.models import Operation
from apps.storage.models import Volume
from tests.dashboard.looks import looks_right

pytestmark = pytest.mark.django_db(transaction=True)
Open = Callable[..., Page]


@pytest.fixture
def make_volume(host: Any) -> Callable[..., Volume]:
    def make(owner: Any, name: str, *, vm: Any = None, **values: Any) -> Volume:
        volume = Volume.objects.create(kind="data", owner=owner, name=name, host=host, **{"size_gib": 20, **values})
        if vm is not None:
            VolumeAttachment.objects.create(volume=volume, vm=vm, target="vdc", state="attached", sent=True)
        return volume

    return make


def test_create_shows_the_plan_and_then_does_it(open_as: Open, admin: Any, make_vm: Any) -> None:
    make_vm(admin, "web-1")
    page = open_as(admin, "/volumes/")
    page.get_by_role("link", name="Create the first one").click()
    plan = page.get_by_label("The plan")
    page.get_by_label("Name", exact=True).press_sequentially("data")
    expect(plan).to_contain_text("Nothing is done yet")
    page.get_by_label("For the virtual machine").select_option("web-1")
    expect(plan).to_contain_text("Claim 10 GiB of disk on h1")
    assert not Volume.objects.exists()
    plan.get_by_role("button", name="Create volume").click()
    expect(page.get_by_role("heading", name="data", exact=True)).to_be_visible()
    assert Operation.objects.get().kind == "volume.create"


def test_attach_and_detach(open_as: Open, admin: Any, make_vm: Any, make_volume: Any) -> None:
    other, vm, volume = make_vm(admin, "web-0"), make_vm(admin, "web-1"), make_volume(admin, "data")
    page = open_as(admin, f"/volumes/{volume.pk}/")
    choice = page.get_by_label("Virtual machine on h1")
    expect(choice).to_have_value(str(other.pk))
    choice.select_option(str(vm.pk))
    choice.blur()
    with page.expect_response(f"**/volumes/{volume.pk}/"):
        page.evaluate("document.body.dispatchEvent(new Event('returned'))")  # the tab was away for a moment
    page.wait_for_function("!document.querySelector('.htmx-request, .htmx-settling')")
    expect(choice).to_have_value(str(vm.pk))
    page.get_by_role("button", name="Attach", exact=True).click()
    expect(page.locator(".toast")).to_contain_text("put data into web-1 as disk vdc")
    expect(page.get_by_role("button", name="Detach")).to_be_disabled()
    Operation.objects.update(status="succeeded")
    VolumeAttachment.objects.update(state="attached")
    expect(page.get_by_text(f"sudo mount /dev/disk/by-id/virtio-{str(volume.pk)[:20]} /mnt")).to_be_visible()
    expect(page.get_by_role("button", name="Delete…")).to_be_disabled()
    page.goto(f"/vms/{vm.pk}/volumes/")
    page.get_by_role("button", name="Detach data").click()
    expect(page.locator(".toast")).to_contain_text("take data (disk vdc) off web-1")
    assert VolumeAttachment.objects.get().state == "detaching"


def test_attach_from_the_machine_and_limit_its_disk(open_as: Open, admin: Any, make_vm: Any, make_volume: Any) -> None:
    vm = make_vm(admin, "web-1", root_volume=Volume.objects.create(size_gib=1))
    make_volume(admin, "data")
    page = open_as(admin, f"/vms/{vm.pk}/volumes/")
    page.get_by_label("Operations per second").fill("300")
    page.get_by_role("button", name="Set the limits").click()
    expect(page.locator(".toast")).to_contain_text("limit iops of the disk of web-1 to 300")
    Operation.objects.update(status="succeeded")
    page.goto(f"/vms/{vm.pk}/volumes/")
    expect(page.get_by_label("Operations per second")).to_have_value("300")
    page.get_by_role("button", name="Attach").click()
    expect(page.locator(".toast")).to_contain_text("put data into web-1")


def test_growing_and_nonsense(open_as: Open, admin: Any, make_volume: Any, make_host: Any) -> None:
    volume = make_volume(admin, "data")
    page = open_as(admin, f"/volumes/{volume.pk}/")
    page.get_by_label("New size (GiB)").fill("30")
    page.get_by_role("button", name="Grow").click()
    expect(page.locator(".toast")).to_contain_text("grow data from 20 to 30 GiB")
    token = page.locator("[name=csrfmiddlewaretoken]").first.input_value()
    for size in ("", "x", "-1", "9" * 30, "1", "60000"):
        answer = page.request.post(
            f"/volumes/{volume.pk}/resize/",
            form={"size_gib": size, "csrfmiddlewaretoken": token},
            headers={"Referer": page.url},
        )
        assert answer.status == 200, size
    assert Operation.objects.count() == 1


def test_delete_asks_for_the_name(open_as: Open, admin: Any, make_volume: Any) -> None:
    volume = make_volume(admin, "data")
    page = open_as(admin, f"/volumes/{volume.pk}/")
    page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Delete")).to_be_disabled()
    dialog.get_by_label("Type data to confirm").fill("data")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Delete data")).to_be_visible()


def test_a_viewer_has_no_buttons(open_as: Open, viewer: Any, make_vm: Any, make_volume: Any) -> None:
    vm = make_vm(viewer, "web-1")
    volume = make_volume(viewer, "data", vm=vm)
    for path in ("/volumes/", f"/volumes/{volume.pk}/", f"/vms/{vm.pk}/volumes/"):
        page = open_as(viewer, path)
        expect(page.get_by_text("data").first).to_be_visible()
        assert page.locator("main form[method=post]:visible button").count() == 0, path


def test_axe_finds_nothing(open_as: Open, admin: Any, make_vm: Any, make_volume: Any) -> None:
    vm = make_vm(admin, "w" * 60)
    held, _free = make_volume(admin, "d" * 60, vm=vm, iops=500, bandwidth_mib_s=20), make_volume(admin, "free")
    page = open_as(admin, "/volumes/")
    for path in (
        "/volumes/",
        "/volumes/new/",
        f"/volumes/{held.pk}/",
        f"/volumes/{_free.pk}/",
        f"/vms/{vm.pk}/volumes/",
    ):
        page.goto(path)
        looks_right(page)
