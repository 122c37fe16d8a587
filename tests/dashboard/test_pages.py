"""Every page by Django's client: who sees what, how many queries it takes, and that nothing is inline."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext

from apps.operations.services import operation_create
from apps.storage.models import Volume

INLINE = re.compile(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son[a-z]+=|javascript:", re.IGNORECASE)


@pytest.fixture
def paths(admin: Any, make_vm: Callable[..., Any], sizes: Any) -> dict[str, str]:
    """Every page that is read, with an object of the admin's on it."""
    vm = make_vm(admin, "web-1")
    volume = Volume.objects.create(kind="data", owner=admin, name="data", host=vm.host, size_gib=3)
    operation = operation_create(kind="vm.reboot", target_type="vm", target=vm, actor=admin)
    return {
        "overview": "/",
        "search": "/search/?q=web",
        "differences": "/differences/",
        "vm-list": "/vms/",
        "vm-create": "/vms/new/",
        "vm-detail": f"/vms/{vm.pk}/",
        "vm-update": f"/vms/{vm.pk}/edit/",
        "snapshot-list": "/snapshots/",
        "vm-snapshots": f"/vms/{vm.pk}/snapshots/",
        "snapshot-create": f"/vms/{vm.pk}/snapshots/new/",
        "vm-volumes": f"/vms/{vm.pk}/volumes/",
        "volume-list": "/volumes/",
        "volume-create": "/volumes/new/",
        "volume-detail": f"/volumes/{volume.pk}/",
        "volume-update": f"/volumes/{volume.pk}/edit/",
        "host-list": "/hosts/",
        "host-create": "/hosts/new/",
        "host-detail": f"/hosts/{vm.host_id}/",
        "host-update": f"/hosts/{vm.host_id}/edit/",
        "image-list": "/images/",
        "image-create": "/images/new/",
        "image-detail": f"/images/{vm.image_id}/",
        "operation-list": "/operations/",
        "operation-detail": f"/operations/{operation.pk}/",
        "ssh-key-list": "/ssh-keys/",
        "ssh-key-create": "/ssh-keys/new/",
        "password-change": "/account/password/",
    }


SEEN_BY_OTHERS = {
    "overview",
    "search",
    "vm-list",
    "vm-create",
    "snapshot-list",
    "volume-list",
    "volume-create",
    "image-list",
    "image-create",
    "image-detail",
    "operation-list",
    "ssh-key-list",
    "ssh-key-create",
    "password-change",
}


def test_every_page_answers_its_owner(client: Any, admin: Any, paths: dict[str, str]) -> None:
    client.force_login(admin)
    assert {name: client.get(path).status_code for name, path in paths.items()} == dict.fromkeys(paths, 200)


def test_a_second_person_sees_nothing_of_it(client: Any, other: Any, paths: dict[str, str]) -> None:
    client.force_login(other)
    for name, path in paths.items():
        answer = client.get(path)
        if name in SEEN_BY_OTHERS:
            assert answer.status_code == 200, name
            assert "web-1</a>" not in answer.content.decode(), name
        else:
            assert answer.status_code in (403, 404), name


def test_nobody_sees_a_page_without_signing_in(client: Any, paths: dict[str, str]) -> None:
    for name, path in paths.items():
        answer = client.get(path)
        assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/sign-in/"), name


def test_nothing_is_inline(client: Any, admin: Any, paths: dict[str, str]) -> None:
    """The content security policy would refuse it, and the page would be broken without a word."""
    anonymous = client.get("/sign-in/")
    client.force_login(admin)
    for answer in [anonymous, *(client.get(path) for path in paths.values())]:
        found = INLINE.search(answer.content.decode())
        assert found is None, (answer.request["PATH_INFO"], found)
        assert "default-src 'self'" in answer["Content-Security-Policy"]
        assert "unsafe" not in answer["Content-Security-Policy"]


@pytest.mark.parametrize("name", ["overview", "vm-list", "host-list", "host-detail", "image-list", "operation-list"])
def test_more_objects_take_no_more_queries(
    client: Any,
    admin: Any,
    paths: dict[str, str],
    make_vm: Callable[..., Any],
    make_host: Callable[..., Any],
    django_db_blocker: Any,
    name: str,
) -> None:
    from django.db import connection

    client.force_login(admin)
    client.get(paths[name])
    with CaptureQueriesContext(
        connection,
    ) as before:
        client.get(paths[name])
    for number in range(5):
        make_host(f"more-{number}")
        vm = make_vm(admin, f"more-{number}", observed_addresses=[{"ip": "10.0.0.1", "source": "lease"}])
        operation_create(kind="vm.reboot", target_type="vm", target=vm, actor=admin)
    with CaptureQueriesContext(connection) as after:
        client.get(paths[name])
    assert len(after) == len(before) <= 15


@pytest.mark.parametrize(
    "verb", ["start", "shutdown", "power-off", "reboot", "reset", "pause", "resume", "delete", "protect"]
)
def test_verbs_are_for_posts_of_their_owner(
    client: Any, admin: Any, other: Any, make_vm: Callable[..., Any], verb: str
) -> None:
    vm = make_vm(admin, "web-1")
    path = f"/vms/{vm.pk}/{verb}/"
    client.force_login(admin)
    assert client.get(path).status_code == 405
    client.force_login(other)
    assert client.post(path).status_code == 404


def test_a_post_without_its_token_is_refused(admin: Any, make_vm: Callable[..., Any]) -> None:
    from django.test import Client

    vm = make_vm(admin, "web-1")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin)
    assert strict.post(f"/vms/{vm.pk}/delete/").status_code == 403
    vm.refresh_from_db()
    assert vm.phase == "ready"


def test_a_viewer_reads_and_changes_nothing(client: Any, viewer: Any, make_vm: Callable[..., Any], sizes: Any) -> None:
    vm = make_vm(viewer, "mine")
    client.force_login(viewer)
    page = client.get(f"/vms/{vm.pk}/")
    assert page.status_code == 200
    assert "/shutdown/" not in page.content.decode()
    assert client.post(f"/vms/{vm.pk}/shutdown/").status_code == 403
    assert client.post("/vms/new/", {"name": "no"}).status_code == 403


def test_a_conflict_is_said_on_the_page_it_came_from(client: Any, admin: Any, make_vm: Callable[..., Any]) -> None:
    vm = make_vm(admin, "web-1")
    operation_create(kind="vm.reboot", target_type="vm", target=vm, actor=admin)
    client.force_login(admin)
    path = f"/vms/{vm.pk}/"
    answer = client.post(f"{path}start/", headers={"referer": f"http://testserver{path}"}, follow=True)
    assert answer.redirect_chain == [(path, 302)]
    assert "web-1 is busy" in answer.content.decode()


def test_a_foreign_referer_is_not_followed(client: Any, admin: Any, make_vm: Callable[..., Any]) -> None:
    vm = make_vm(admin, "web-1")
    client.force_login(admin)
    answer = client.post(f"/vms/{vm.pk}/reboot/", headers={"referer": "https://evil.example/vms/"})
    assert answer["Location"] == "/"


def test_a_fragment_is_a_part_of_its_page(client: Any, admin: Any, paths: dict[str, str]) -> None:
    client.force_login(admin)
    for name in ("overview", "vm-list", "vm-detail", "host-list", "host-detail", "operation-list", "operation-detail"):
        whole = client.get(paths[name])
        part = client.get(paths[name], headers={"hx-request": "true"})
        assert "<html" in whole.content.decode()
        assert "<html" not in part.content.decode(), name
        assert "HX-Request" in part["Vary"], name


def test_a_part_polls_only_while_something_happens(client: Any, admin: Any, make_vm: Callable[..., Any]) -> None:
    vm = make_vm(admin, "web-1")
    client.force_login(admin)
    paths = ["/", "/vms/", f"/vms/{vm.pk}/", "/operations/"]
    assert not any("every 2s" in client.get(path).content.decode() for path in paths)
    operation_create(kind="vm.reboot", target_type="vm", target=vm, actor=admin)
    assert all("every 2s" in client.get(path).content.decode() for path in paths)


def test_a_page_needs_no_host(client: Any, admin: Any, make_vm: Callable[..., Any], host: Any) -> None:
    """The host is gone: the page says so, and shows what was last seen."""
    vm = make_vm(admin, "web-1")
    type(host).objects.filter(pk=host.pk).update(status="unreachable", reason="No route to host.")
    client.force_login(admin)
    page = client.get(f"/vms/{vm.pk}/").content.decode()
    assert "is unreachable: No route to host." in page
    assert "192.168.150.10" in page


def test_lists_are_filtered_and_paged(client: Any, admin: Any, make_vm: Callable[..., Any]) -> None:
    for number in range(3):
        make_vm(admin, f"web-{number}", tags=["prod"] if number else [])
    make_vm(admin, "off", power="shutoff")
    client.force_login(admin)

    def names(query: str) -> set[str]:
        return set(re.findall(r'name-link" href="/vms/[^"]+">([^<]+)<', client.get(f"/vms/?{query}").content.decode()))

    assert names("q=web") == {"web-0", "web-1", "web-2"}
    assert names("q=prod") == {"web-1", "web-2"}
    assert names("status=stopped") == {"off"}
    assert names("q=192.168.150.12") == {"web-2"}
    first = names("limit=3")
    assert len(first) == 3
    link = re.search(r'href="(\?[^"]+)" rel="next"', client.get("/vms/?limit=3").content.decode())
    assert link is not None
    assert names(link.group(1)[1:].replace("&amp;", "&")) == {"off", "web-0", "web-1", "web-2"} - first


@pytest.mark.parametrize("query", ["cursor=nonsense", "limit=0", "limit=all", "ordering=-host"])
def test_what_is_no_page_of_a_list_is_not_found(client: Any, admin: Any, query: str) -> None:
    client.force_login(admin)
    assert client.get(f"/vms/?{query}").status_code == 404


def test_guests_words_are_escaped(client: Any, admin: Any, make_vm: Callable[..., Any]) -> None:
    evil = "<script>alert(1)</script>"
    vm = make_vm(
        admin, "web-1", phase="error", reason=evil, tags=[evil], observed_addresses=[{"ip": evil, "source": "agent"}]
    )
    client.force_login(admin)
    for path in ("/vms/", f"/vms/{vm.pk}/", "/"):
        assert evil not in client.get(path).content.decode()
