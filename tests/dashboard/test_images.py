"""Images in a real Chromium: a file is really sent, checked by the worker's own handler, and seen to be ready."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Request, Route, expect

from apps.operations.models import ACTIVE, Operation
from apps.storage.models import Image, ImageCopy, Volume
from tests.dashboard.looks import looks_right
from tests.imagefile.hostile import qcow2
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
Open = Callable[..., Page]


@pytest.fixture
def carry_out(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """The worker's part, in this process: every operation, until it has ended. Returns how the last one ended."""
    from django.db.models.functions import Now

    from workers import engine
    from workers.observations import host_lost
    from workers.tasks import HANDLERS

    monkeypatch.setattr(engine, "close_old_connections", lambda: None)

    def all_ended() -> bool:
        for operation in Operation.objects.filter(status__in=ACTIVE):
            Operation.objects.filter(pk=operation.pk).update(run_after=Now())
            engine.execute(operation.pk, handlers=HANDLERS, host_lost=host_lost)
        return not Operation.objects.filter(status__in=ACTIVE).exists()

    def run() -> str:
        wait_for(all_ended, seconds=90, what="the end of all operations", every=0.2)
        return str(Operation.objects.latest("created_at").status)

    return run


def choose(page: Page, content: bytes, name: str = "mine.qcow2") -> None:
    page.locator("#upload-file").set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    )


def test_a_file_is_sent_and_becomes_an_image(open_as: Open, member: Any, carry_out: Callable[[], str]) -> None:
    page = open_as(member, "/images/new/")
    plan = page.get_by_label("The plan")
    choose(page, qcow2())
    page.get_by_label("Name", exact=True).press_sequentially("mine")
    expect(plan).to_contain_text("Wait for its upload")
    assert not Image.objects.exists(), "a plan writes nothing"
    page.get_by_text("What machines it is for").click()
    page.get_by_label("User (optional)").fill("ada")
    plan.get_by_role("button", name="Add image").click()
    expect(page.get_by_role("heading", name="mine", exact=True)).to_be_visible()
    expect(page.locator("#image .badge").first).to_have_text("Checking")
    image = Image.objects.get()
    assert (image.owner, image.default_user, image.received_bytes) == (member, "ada", len(qcow2()))
    assert carry_out() == "succeeded"
    expect(page.locator("#image .badge").first).to_have_text("Ready")
    expect(page.get_by_role("link", name="Create from it")).to_be_visible()


def test_a_piece_that_is_lost_is_sent_again(open_as: Open, member: Any) -> None:
    page = open_as(member, "/images/new/")
    page.route("**/file/", lambda route: route.abort("connectionreset"), times=1)
    choose(page, qcow2())
    page.get_by_label("Name", exact=True).fill("mine")
    page.get_by_role("button", name="Add image").click()
    expect(page.get_by_text("Interrupted. Trying again")).to_be_visible()
    expect(page.get_by_role("heading", name="mine", exact=True)).to_be_visible(timeout=20_000)
    assert Image.objects.get().status == "checking"


def test_a_large_one_goes_in_pieces(open_as: Open, member: Any, tmp_path: Path) -> None:
    page = open_as(member, "/images/new/")
    offsets: list[str] = []

    def note(request: Request) -> None:
        if request.method == "PUT":
            offsets.append(request.headers["upload-offset"])

    page.on("request", note)
    with (tmp_path / "disk.raw").open("wb") as file:
        file.truncate(17 * 2**20)
    page.locator("#upload-file").set_input_files(tmp_path / "disk.raw")
    page.get_by_label("Name", exact=True).fill("mine")
    page.get_by_label("Format").select_option("raw")
    page.get_by_role("button", name="Add image").click()
    expect(page.get_by_role("heading", name="mine", exact=True)).to_be_visible(timeout=20_000)
    assert offsets == ["0", str(2**24)]
    assert (Image.objects.get().status, Image.objects.get().received_bytes) == ("checking", 17 * 2**20)


def test_another_day_it_goes_on_from_its_page(open_as: Open, member: Any) -> None:
    from apps.storage.images import image_create
    from apps.storage.uploads import upload_open

    content = qcow2()
    image = image_create(actor=member, name="mine", size_bytes=len(content)).image
    with upload_open(actor=member, image_id=image.pk, offset=0, length=1000) as file:
        file.write(content[:1000])
    page = open_as(member, f"/images/{image.pk}/")
    choose(page, content + b"more")
    page.get_by_role("button", name="Go on", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="This is another file")).to_be_visible()
    choose(page, content)
    page.get_by_role("button", name="Go on", exact=True).click()
    expect(page.locator("#image .badge").first).to_have_text("Checking")
    expect(page.get_by_role("button", name="Go on", exact=True)).to_have_count(0)


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (qcow2(backing=b"/etc/passwd"), "mine", "reads through another file"),
        (b"PK\x03\x04" + bytes(100), "mine", "not a qcow2 image"),
        (b"", "mine", "empty"),
        (qcow2(), "Not A Name", "Name: "),
    ],
    ids=["backing", "zip", "empty", "name"],
)
def test_a_refusal_names_the_reason(open_as: Open, member: Any, content: bytes, name: str, reason: str) -> None:
    page = open_as(member, "/images/new/")
    choose(page, content)
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Add image").click()
    expect(page.locator("#upload-refused")).to_contain_text(reason)
    assert not Operation.objects.exists()


def test_one_is_chosen_from_the_catalogue(open_as: Open, member: Any) -> None:
    page = open_as(member, "/images/new/")
    page.get_by_text("From the catalogue", exact=True).click()
    expect(page.get_by_text("Checksum from cloud.debian.org").first).to_be_visible()
    page.get_by_text("Debian 13 (trixie)").click()
    expect(page.get_by_label("The plan")).to_contain_text("Fetch https://cloud.debian.org/")
    page.get_by_role("button", name="Add image").click()
    expect(page.get_by_role("heading", name="debian-13", exact=True)).to_be_visible()
    image = Image.objects.get()
    assert (image.status, image.default_user, Operation.objects.get().kind) == ("importing", "debian", "image.import")
    page.goto("/images/")
    expect(page.get_by_role("row", name="debian-13")).to_contain_text("Importing")


def test_what_is_chosen_while_a_plan_arrives_is_in_the_next_one(open_as: Open, member: Any) -> None:
    page = open_as(member, "/images/new/")

    def answer_after_another_choice(route: Route) -> None:
        answer = route.fetch()
        page.get_by_text("Debian 13 (trixie)").click()
        route.fulfill(response=answer)

    page.route("**/images/new/", answer_after_another_choice, times=1)
    page.get_by_text("From the catalogue", exact=True).click()
    expect(page.get_by_label("The plan")).to_contain_text("Fetch https://cloud.debian.org/")


def test_an_address_needs_its_checksum(open_as: Open, member: Any) -> None:
    page = open_as(member, "/images/new/?way=url")
    page.get_by_label("Name", exact=True).fill("mine")
    page.get_by_label("Address (optional)").fill("https://example.org/mine.qcow2")
    page.get_by_role("button", name="Add image").click()
    expect(page.locator(".field-error").first).to_contain_text("Give the checksum")
    page.get_by_label("Checksum (optional)").fill("sha256:" + "0" * 64)
    page.get_by_role("button", name="Add image").click()
    expect(page.get_by_role("heading", name="mine", exact=True)).to_be_visible()
    assert Image.objects.get().source == "https://example.org/mine.qcow2"


def test_what_is_said_of_it_is_changed(open_as: Open, admin: Any, member: Any) -> None:
    image = Image.objects.create(owner=member, name="mine", size_bytes=1)
    page = open_as(admin, f"/images/{image.pk}/")
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Title (optional)").fill("Our golden one")
    page.get_by_label("Memory at least (MiB) (optional)").fill("512")
    page.get_by_label("Everybody may start machines from it").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("For everybody")).to_be_visible()
    image.refresh_from_db()
    assert (image.title, image.min_memory_mib, image.public, image.cloud_init) == ("Our golden one", 512, True, True)
    page = open_as(member, f"/images/{image.pk}/edit/")
    expect(page.get_by_label("Everybody may start machines from it")).to_have_count(0)


def test_delete_names_who_needs_it_or_asks_for_the_name(
    open_as: Open, admin: Any, image: Any, make_vm: Callable[..., Any]
) -> None:
    make_vm(admin, "web-1")
    page = open_as(admin, f"/images/{image.pk}/delete/")
    expect(page.get_by_text("tiny is used by web-1.")).to_be_visible()
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)
    free = Image.objects.create(owner=admin, name="free", size_bytes=1)
    page.goto(f"/images/{free.pk}/")
    page.get_by_role("link", name="Delete…").click()
    expect(page.get_by_text("Delete the file of free")).to_be_visible()
    page.get_by_label("Type free to confirm").fill("fre")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("This is not its name.")).to_be_visible()
    page.get_by_label("Type free to confirm").fill("free")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Delete free")).to_be_visible()
    assert Operation.objects.get().kind == "image.delete"


def test_an_image_is_made_of_a_machine_that_is_off(open_as: Open, admin: Any, make_vm: Callable[..., Any]) -> None:
    disk = Volume.objects.create(size_gib=1)
    vm = make_vm(admin, "web-1", power="shutoff", root_volume=disk)
    page = open_as(admin, f"/vms/{vm.pk}/")
    page.locator(".page-head summary").last.click()
    page.get_by_role("button", name="Make an image…").click()
    page.get_by_label("Name of the image").fill("golden")
    page.get_by_role("button", name="Make the image").click()
    expect(page.get_by_role("heading", name="golden", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name="Make an image of web-1")).to_be_visible()
    assert Image.objects.get(name="golden").status == "importing"


def test_copies_are_tidied_up_after_a_look(open_as: Open, admin: Any, image: Any, host: Any) -> None:
    ImageCopy.objects.create(image=image, host=host, ready=True)
    page = open_as(admin, "/images/")
    page.get_by_role("link", name="Tidy up…").click()
    expect(page.get_by_text("Nothing would be removed.")).to_be_visible()
    page.get_by_label("Not needed for (days)").fill("0")
    page.get_by_role("button", name="Show what would go").click()
    expect(page.get_by_text("Remove the copy of tiny from h1")).to_be_visible()
    assert not Operation.objects.exists()
    page.get_by_role("button", name="Remove them").click()
    expect(page.locator(".toast")).to_contain_text("1 operation begun.")
    assert Operation.objects.get().kind == "image.prune"


def test_axe_finds_nothing(open_as: Open, admin: Any, image: Any, host: Any) -> None:
    made = {"owner": admin, "title": "t" * 100, "source_format": "qcow2"}
    waiting = Image.objects.create(**made, name="w" * 63, status="uploading", expected_bytes=2**33)
    broken = Image.objects.create(**made, name="b" * 63, status="error", reason="/a/path" + "x" * 400)
    edit = f"/images/{waiting.pk}/edit/"
    paths = [
        edit,
        edit.replace("edit", "delete"),
        "/images/",
        "/images/new/",
        "/images/new/?way=url",
        "/images/new/?way=catalogue",
    ]
    page = open_as(admin, paths[0])
    for path in (*paths, *(f"/images/{one.pk}/" for one in (image, waiting, broken)), "/images/prune/"):
        page.goto(path)
        looks_right(page)
