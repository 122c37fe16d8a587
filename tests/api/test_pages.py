"""Who sees which page: every path outside of the API against every kind of person."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.api.answers import everything, undone
from tests.api.routes import page_routes

ACTORS = ("anonymous", "member", "other", "viewer", "admin")
OWN, EVERYBODY, ADMINS, PERSONAL = "own", "everybody", "admins", "personal"
READ, FORM, BUTTON = "read", "form", "button"

ROWS: dict[str, tuple[str, str]] = {
    "": (EVERYBODY, READ),
    "search/": (EVERYBODY, READ),
    "differences/": (ADMINS, READ),
    "differences/confirm/": (ADMINS, BUTTON),
    "volumes/": (EVERYBODY, READ),
    "volumes/new/": (EVERYBODY, FORM),
    "volumes/{volume_id}/": (OWN, READ),
    "volumes/{volume_id}/edit/": (OWN, FORM),
    "volumes/{volume_id}/attach/": (OWN, BUTTON),
    "volumes/{volume_id}/detach/": (OWN, BUTTON),
    "volumes/{volume_id}/resize/": (OWN, BUTTON),
    "volumes/{volume_id}/delete/": (OWN, BUTTON),
    "vms/{vm_id}/console/": (OWN, READ),
    "vms/{vm_id}/graphs/": (OWN, READ),
    "vms/{vm_id}/screen/": (OWN, READ),
    "vms/{vm_id}/thumbnail/": (OWN, READ),
    "vms/{vm_id}/console-password/": (OWN, BUTTON),
    "vms/{vm_id}/console-password/reveal/": (OWN, BUTTON),
    "vms/{vm_id}/volumes/": (OWN, READ),
    "vms/{vm_id}/volumes/attach/": (OWN, BUTTON),
    "vms/{vm_id}/io-limits/": (OWN, BUTTON),
    "images/": (EVERYBODY, READ),
    "images/new/": (EVERYBODY, FORM),
    "images/{image_id}/": (EVERYBODY, READ),
    "images/{own_image_id}/": (OWN, READ),
    "images/{own_image_id}/edit/": (OWN, FORM),
    "images/{own_image_id}/delete/": (OWN, FORM),
    "images/prune/": (ADMINS, FORM),
    "vms/{off_id}/image/": (OWN, BUTTON),
    "operations/": (EVERYBODY, READ),
    "operations/{operation_id}/": (OWN, READ),
    "operations/{operation_id}/cancel/": (OWN, BUTTON),
    "operations/{operation_id}/retry/": (OWN, BUTTON),
    "vms/": (EVERYBODY, READ),
    "vms/bulk/": (EVERYBODY, BUTTON),
    "vms/trash/": (EVERYBODY, READ),
    "vms/{vm_id}/restore/": (OWN, BUTTON),
    "vms/new/": (EVERYBODY, FORM),
    "vms/{vm_id}/": (OWN, READ),
    "vms/{vm_id}/menu/": (OWN, READ),
    "vms/{vm_id}/edit/": (OWN, FORM),
    "vms/{vm_id}/clone/": (OWN, BUTTON),
    "vms/{vm_id}/rescue/": (OWN, BUTTON),
    "vms/{vm_id}/unrescue/": (OWN, BUTTON),
    "vms/{vm_id}/insert/": (OWN, BUTTON),
    "vms/{vm_id}/eject/": (OWN, BUTTON),
    "vms/{vm_id}/delete/": (OWN, BUTTON),
    "vms/{vm_id}/resize/": (OWN, FORM),
    "vms/{vm_id}/rebuild/": (OWN, FORM),
    "vms/{vm_id}/power-off/": (OWN, BUTTON),
    "vms/{vm_id}/protect/": (OWN, BUTTON),
    "vms/{vm_id}/reboot/": (OWN, BUTTON),
    "vms/{vm_id}/reset/": (OWN, BUTTON),
    "vms/{vm_id}/pause/": (OWN, BUTTON),
    "vms/{vm_id}/resume/": (OWN, BUTTON),
    "vms/{vm_id}/shutdown/": (OWN, BUTTON),
    "vms/{vm_id}/start/": (OWN, BUTTON),
    "vms/{vm_id}/snapshots/": (OWN, READ),
    "vms/{vm_id}/snapshots/new/": (OWN, FORM),
    "vms/{vm_id}/schedules/": (OWN, READ),
    "vms/{vm_id}/schedules/new/": (OWN, FORM),
    "schedules/{schedule_id}/edit/": (OWN, FORM),
    "schedules/{schedule_id}/enable/": (OWN, BUTTON),
    "schedules/{schedule_id}/delete/": (OWN, BUTTON),
    "snapshots/": (EVERYBODY, READ),
    "snapshots/{snapshot_id}/revert/": (OWN, FORM),
    "snapshots/{snapshot_id}/delete/": (OWN, FORM),
    "vms/{vm_id}/network/": (OWN, READ),
    "vms/{vm_id}/nics/new/": (OWN, BUTTON),
    "nics/{nic_id}/delete/": (OWN, BUTTON),
    "vms/{vm_id}/port-forwards/new/": (OWN, BUTTON),
    "port-forwards/{forward_id}/delete/": (OWN, BUTTON),
    "networks/": (EVERYBODY, READ),
    "networks/new/": (EVERYBODY, FORM),
    "networks/{network_id}/": (OWN, READ),
    "networks/{network_id}/delete/": (OWN, BUTTON),
    "hosts/": (ADMINS, READ),
    "hosts/new/": (ADMINS, FORM),
    "hosts/{host_id}/": (ADMINS, READ),
    "hosts/{host_id}/edit/": (ADMINS, FORM),
    "hosts/{host_id}/delete/": (ADMINS, BUTTON),
    "hosts/{host_id}/enable/": (ADMINS, BUTTON),
    "hosts/{host_id}/probe/": (ADMINS, BUTTON),
    "hosts/{host_id}/setup/": (ADMINS, BUTTON),
    "hosts/{host_id}/trust/": (ADMINS, FORM),
    "policies/": (EVERYBODY, READ),
    "policies/new/": (ADMINS, FORM),
    "policies/{policy_id}/": (EVERYBODY, READ),
    "policies/{policy_id}/edit/": (ADMINS, FORM),
    "policies/{policy_id}/delete/": (ADMINS, FORM),
    "placement-groups/": (EVERYBODY, READ),
    "placement-groups/new/": (EVERYBODY, FORM),
    "placement-groups/{group_id}/": (OWN, READ),
    "placement-groups/{group_id}/delete/": (OWN, FORM),
    "placements/": (ADMINS, READ),
    "placements/{placement_id}/": (ADMINS, READ),
    "what-if/": (ADMINS, READ),
    "what-if/badge/": (ADMINS, READ),
    "ssh-keys/": (EVERYBODY, READ),
    "ssh-keys/new/": (EVERYBODY, FORM),
    "ssh-keys/{key_id}/delete/": (PERSONAL, BUTTON),
    "account/password/": (EVERYBODY, FORM),
}
ELSEWHERE = {"sign-in/", "sign-out/", "healthz", "readyz"}
# What a viewer may send: it concerns only themselves.
VIEWERS_OWN = {"account/password/"}
STRANGE_QUERIES = (
    "cursor=garbage",
    "cursor=cD1ub3QrYStkYXRl",
    "limit=0",
    "limit=x",
    "ordering=owner__password",
    "status=happy",
    "q=%00",
    "q=" + "x" * 5000,
    "q=%3Cscript%3Ealert(1)%3C/script%3E",
    "colour=red",
)


def test_every_page_has_a_row() -> None:
    rows = {route.replace("own_image_id", "image_id").replace("off_id", "vm_id") for route in ROWS}
    assert page_routes() == rows | ELSEWHERE


@pytest.fixture
def browser(member: Any, other: Any, viewer: Any, admin: Any) -> Callable[[str], Client]:
    people = {"member": member, "other": other, "viewer": viewer, "admin": admin}

    def make(actor: str) -> Client:
        client = Client()
        if actor != "anonymous":
            client.force_login(people[actor], backend="django.contrib.auth.backends.ModelBackend")
        return client

    return make


def filled(route: str, ids: dict[str, Any]) -> str:
    return "/" + route.format(**ids)


def may_see(whose: str, actor: str, route: str) -> bool:
    if whose == ADMINS:
        return actor == "admin"
    if whose == OWN and "{" in route:
        return actor in ("member", "admin")
    if whose == PERSONAL and "{" in route:
        return actor == "member"
    return True


@pytest.mark.parametrize("route", sorted(ROWS))
def test_reading(world: dict[str, Any], browser: Any, subtests: pytest.Subtests, route: str) -> None:
    for actor in ACTORS:
        with subtests.test(actor=actor), undone():
            read(browser(actor), actor, route, world)


def read(client: Client, actor: str, route: str, world: dict[str, Any]) -> None:
    whose, kind = ROWS[route]
    before = everything()
    response = client.get(filled(route, world))
    if kind == BUTTON:
        assert response.status_code == 405
    elif actor == "anonymous":
        assert response.status_code == 302
        assert response["Location"].startswith("/sign-in/?next=")
    elif may_see(whose, actor, route):
        wanted = 204 if route.endswith("/thumbnail/") else 200  # no console process, so there is no picture
        assert response.status_code == wanted, response.content[:300]
    elif whose == ADMINS:
        assert response.status_code in (403, 404)
    else:
        assert response.status_code == 404
    assert everything() == before


@pytest.mark.parametrize("route", sorted(route for route, (_whose, kind) in ROWS.items() if kind != READ))
def test_sending(world: dict[str, Any], browser: Any, subtests: pytest.Subtests, route: str) -> None:
    for actor in ACTORS:
        with subtests.test(actor=actor), undone():
            send(browser(actor), actor, route, world)


def send(client: Client, actor: str, route: str, world: dict[str, Any]) -> None:
    whose, _kind = ROWS[route]
    before = everything()
    response = client.post(filled(route, world), {})
    if actor == "anonymous":
        assert response.status_code == 302
        assert response["Location"].startswith("/sign-in/")
        assert everything() == before
    elif actor == "viewer" and route not in VIEWERS_OWN:
        assert response.status_code == 403
        assert everything() == before
    elif may_see(whose, actor, route):
        assert response.status_code in (200, 302, 422)
    else:
        assert response.status_code in ((403, 404) if whose == ADMINS else (404,))
        assert everything() == before


@pytest.mark.parametrize("route", sorted(route for route, (whose, _kind) in ROWS.items() if "{" in route))
def test_foreign_looks_like_missing(world: dict[str, Any], browser: Any, route: str) -> None:
    whose, kind = ROWS[route]
    if whose in (EVERYBODY, ADMINS):
        return
    client = browser("other")
    ask = client.get if kind == READ else client.post
    nowhere = {name: uuid.uuid4() for name in world}
    foreign, missing = ask(filled(route, world)), ask(filled(route, nowhere))
    assert foreign.status_code == missing.status_code == 404
    assert foreign.content == missing.content


@pytest.mark.parametrize("route", sorted(route for route, (_whose, kind) in ROWS.items() if kind != READ))
def test_nothing_is_sent_without_a_csrf_token(world: dict[str, Any], admin: Any, route: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin, backend="django.contrib.auth.backends.ModelBackend")
    before = everything()
    assert client.post(filled(route, world), {}).status_code == 403
    assert everything() == before


@pytest.mark.parametrize("route", sorted(route for route, row in ROWS.items() if row[1] == READ and "{" not in route))
def test_a_strange_query_breaks_no_page(
    world: dict[str, Any], browser: Any, subtests: pytest.Subtests, route: str
) -> None:
    client = browser("admin")
    for query in STRANGE_QUERIES:
        with subtests.test(query=query[:40]):
            response = client.get(f"{filled(route, world)}?{query}")
            assert response.status_code in (200, 400, 404, 422)
            assert b"<script>alert(1)" not in response.content
