"""The small picture of a screen, from the page through the console process to a host: who gets it, and who waits."""

import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from console import thumbnails
from hypervisor.fake import Fault
from hypervisor.fake import console as fake_screens
from hypervisor.specs import Screenshot
from tests.console.conftest import Site
from tests.console.test_browser import Open, console_page  # noqa: F401  # a fixture
from tests.console.test_open import fake
from tests.console.test_picture import pixels, ppm
from tests.dashboard.conftest import browser, complaints, static_root  # noqa: F401  # fixtures
from tests.dashboard.looks import PHONE
from tests.waiting import wait_for

pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
RED_AND_BLUE = [bytes([255, 0, 0, 0, 0, 255])]


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    from django.core.cache import cache

    cache.clear()


@pytest.fixture
def vm(guest: Any, member: Any) -> Any:
    return guest(member, "web-1")


def look(client: Any, vm: Any) -> Any:
    begin = time.monotonic()
    answer = client.get(f"/vms/{vm.pk}/thumbnail/")
    assert time.monotonic() - begin < 2, "nobody waits for a host"
    return answer


def seen(client: Any, vm: Any) -> Any:
    """The answer, once it is known."""
    wait_for(lambda: look(client, vm).status_code != 202, seconds=10, what="an answer", every=0.1)
    return look(client, vm)


def test_it_is_fetched_meanwhile_and_then_there(site: Site, vm: Any, member: Any) -> None:
    client = site.browser(member)
    first = look(client, vm)
    assert (first.status_code, first.content) == (202, b"")
    shown = seen(client, vm)
    assert (shown.status_code, shown["Content-Type"], shown["Cache-Control"]) == (200, "image/png", "no-store")
    assert pixels(shown.content) == RED_AND_BLUE


def test_who_may_not_open_the_console_does_not_see_it(
    site: Site, vm: Any, guest: Any, member: Any, other: Any, viewer: Any, admin: Any
) -> None:
    assert seen(site.browser(member), vm).status_code == 200
    assert look(site.browser(admin), vm).status_code == 200
    assert look(site.browser(other), vm).status_code == 404
    assert look(site.browser(viewer), vm).status_code == 404
    own = guest(viewer, "of-a-viewer")
    assert look(site.browser(viewer), own).status_code == 403
    page = site.browser(viewer).get(f"/vms/{own.pk}/").content.decode()
    assert "data-thumbnail" not in page


@pytest.mark.parametrize("change", [{"power": "shutoff"}, {"phase": "creating"}, {"phase": "deleting"}])
def test_one_that_is_off_has_none_even_if_it_had(site: Site, vm: Any, member: Any, change: dict[str, str]) -> None:
    client = site.browser(member)
    assert seen(client, vm).status_code == 200
    type(vm).objects.filter(pk=vm.pk).update(**change)
    assert look(client, vm).status_code == 204


def count(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the host was asked, within what is one time for the test however slow its machine is."""
    from apps.compute.services import thumbnail

    for module, name in (
        (thumbnail, "FRESH_SECONDS"),
        (thumbnail, "SHOWN_SECONDS"),
        (thumbnails, "EVERY_SECONDS"),
        (thumbnails, "TAKE_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 60.0)
    asked: list[float] = []

    def screenshot() -> Screenshot:
        asked.append(time.monotonic())
        return Screenshot(media_type="image/x-portable-pixmap", content=ppm(RED_AND_BLUE))

    monkeypatch.setattr(fake_screens, "screenshot", screenshot)
    return asked


def test_many_who_look_cost_one_picture(
    site: Site, vm: Any, member: Any, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = count(monkeypatch)
    clients = [site.browser(user) for user in (member, admin)]
    for _ in range(20):
        for client in clients:
            look(client, vm)
    assert seen(clients[0], vm).status_code == 200
    assert len(asked) == 1


def test_without_a_cache_the_host_is_not_asked_more_often(
    site: Site, vm: Any, member: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.compute.services import thumbnail

    asked, client = count(monkeypatch), site.browser(member)
    monkeypatch.setattr(thumbnail, "thumbnail_keep", lambda **_more: None)
    monkeypatch.setattr(thumbnails, "thumbnail_keep", lambda **_more: None)
    for _ in range(20):
        assert look(client, vm).status_code == 202
    assert len(asked) == 1


def test_an_old_one_is_shown_while_a_new_one_is_fetched(
    site: Site, vm: Any, member: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.compute.services import thumbnail

    monkeypatch.setattr(thumbnail, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(thumbnails, "EVERY_SECONDS", 0.0)
    client = site.browser(member)
    assert seen(client, vm).status_code == 200
    monkeypatch.setattr(
        fake_screens, "screenshot", lambda: Screenshot(media_type="image/png", content=ppm([bytes([0, 200, 0])]))
    )
    wait_for(lambda: pixels(look(client, vm).content) == [bytes([0, 200, 0])], seconds=10, what="the new one")


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"P6\n99999 99999\n255\n", b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_what_is_no_picture_is_none(
    site: Site, vm: Any, member: Any, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_screens, "screenshot", lambda: Screenshot(media_type="image/png", content=content))
    answer = seen(site.browser(member), vm)
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_host_that_hangs_costs_its_own_pictures_only(
    site: Site, vm: Any, guest: Any, make_host: Any, image: Any, member: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "TAKE_SECONDS", 4.0)
    well = guest(member, "well")
    well.host = make_host("h-well")
    well.save()
    from tests.console.conftest import spec_of
    from workers.connections import connect as hypervisor_of

    hypervisor = hypervisor_of(well.host)
    hypervisor.ensure_defined(spec_of(well))
    hypervisor.ensure_running(well.pk)
    neighbour = guest(member, "neighbour")
    fake(vm).inject(Fault(action="hang", method="screenshot", times=None, seconds=12))
    client = site.browser(member)
    assert look(client, vm).status_code == 202
    assert look(client, neighbour).status_code == 202
    assert seen(client, well).status_code == 200
    assert look(client, vm).status_code in (202, 204)
    assert seen(client, vm).status_code == 204
    fake(vm).release()


def test_refused_by_the_host_it_is_not_asked_again_at_once(site: Site, vm: Any, member: Any) -> None:
    fake(vm).inject(Fault(action="reject", method="screenshot", times=1))
    client = site.browser(member)
    assert seen(client, vm).status_code == 204
    assert look(client, vm).status_code == 204


def test_without_the_console_process_there_is_none(site: Site, vm: Any, member: Any) -> None:
    from apps.compute.services.console import socket_path

    socket_path().unlink()
    assert look(site.browser(member), vm).status_code == 204


def test_strangers_cannot_ring(site: Site, vm: Any) -> None:
    """What the console process is asked for is no address of the web port."""
    import httpx2 as httpx

    for path in (f"/thumbnail/{vm.pk}/", f"/console/{vm.pk}/"):
        assert httpx.post(f"{site.origin}{path}").status_code in (403, 404)


def picture_of(page: Page) -> Any:
    return page.locator(".screen img")


def test_on_the_page_it_comes_after_the_page(
    console_page: Open,  # noqa: F811
    guest: Any,
    member: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vm = guest(member, "web-1")
    page = console_page(member, vm, tab="snapshots", viewport=PHONE, color_scheme="dark")
    page.goto(f"/vms/{vm.pk}/")
    expect(picture_of(page)).to_be_visible()
    assert picture_of(page).evaluate("image => [image.naturalWidth, image.naturalHeight]") == [2, 1]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("link", name="Open the screen of web-1").click()
    expect(page).to_have_url(f"{page.url.split('/vms/')[0]}/vms/{vm.pk}/screen/")
    type(vm).objects.filter(pk=vm.pk).update(power="shutoff")
    page.goto(f"/vms/{vm.pk}/")
    expect(page.locator(".screen")).to_have_text("Off")
    expect(picture_of(page)).to_be_hidden()
