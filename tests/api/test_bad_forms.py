"""Nonsense in what browsers send: every form and button, the sign-in, headers. It is never an error of ours."""

import re
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from tests.api.answers import everything
from tests.api.test_pages import BUTTON, FORM, READ, ROWS, filled

NONSENSE = ["\x00", "x" * 100_000, "💩\u202e", "-1", "9" * 30, "<script>alert(1)</script>"]
NAME = re.compile(r'<(?:input|select|textarea)[^>]* name="([a-z_]+)"')
CHANGING = sorted(route for route, (_whose, kind) in ROWS.items() if kind != READ)


@pytest.fixture
def browser(admin: Any) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(admin, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def fields(browser: Client, world: dict[str, Any]) -> dict[str, set[str]]:
    """Every field of each form page, and of all pages together for the buttons."""
    pages = {route: browser.get(filled(route, world)) for route, (_whose, kind) in ROWS.items() if kind != BUTTON}
    found = {route: set(NAME.findall(page.content.decode())) for route, page in pages.items()}
    return found | {"": {name for names in found.values() for name in names} | {"enabled"}}


def test_nonsense_in_every_field(browser: Client, world: dict[str, Any], fields: dict[str, set[str]]) -> None:
    for route in CHANGING:
        kind = ROWS[route][1]
        names = fields[route if kind == FORM else ""]
        for nonsense in NONSENSE:
            mark = transaction.savepoint()  # some only ask for a confirmation, and do what they say
            answer = browser.post(filled(route, world), dict.fromkeys(names, nonsense))
            assert answer.status_code in (200, 302, 400, 404, 422), (route, nonsense[:10], answer.status_code)
            assert b"<script>alert(1)" not in answer.content
            transaction.savepoint_rollback(mark)


def test_a_button_refuses_what_no_text_can_hold(
    browser: Client, world: dict[str, Any], fields: dict[str, set[str]]
) -> None:
    before = everything()
    for route in (route for route in CHANGING if ROWS[route][1] == BUTTON):
        answer = browser.post(filled(route, world), dict.fromkeys(fields[""], "a\x00b"))
        assert answer.status_code == 302, route
    assert everything() == before


BODIES = {
    "application/x-www-form-urlencoded": [
        b"\xff\xfe",
        b"%",
        b"a=%00",
        "&".join(f"a{n}=1" for n in range(3000)).encode(),
    ],
    "application/x-www-form-urlencoded; charset=nonsense": [b"a=1"],
    "multipart/form-data": [b"garbage"],
    "multipart/form-data; boundary=x": [b"garbage", b'--x\r\nContent-Disposition: form-data; name="a"'],
    "application/json": [b"{}"],
}


def test_bodies_that_are_none(browser: Client, world: dict[str, Any]) -> None:
    for route in sorted(route for route, (_whose, kind) in ROWS.items() if kind == FORM):
        for media_type, bodies in BODIES.items():
            for body in bodies:
                answer = browser.generic("POST", filled(route, world), body, media_type)
                assert 200 <= answer.status_code < 500, (route, media_type, body[:20], answer.status_code)


HEADERS = [
    {"HTTP_HX_REQUEST": "true", "HTTP_HX_CURRENT_URL": "http://[::1"},
    {"HTTP_HX_REQUEST": "true", "HTTP_HX_CURRENT_URL": "%ff%00", "HTTP_HX_CURRENT_URL_URI_AUTOENCODED": "true"},
    {"HTTP_REFERER": "http://[bad"},
    {"HTTP_REFERER": "nowhere"},
    {"HTTP_X_REQUEST_ID": "a\nb"},
    {"HTTP_X_FORWARDED_FOR": "%%%"},
    {"HTTP_ACCEPT": "\xff"},
    {"HTTP_IF_MODIFIED_SINCE": "x"},
]


@pytest.mark.parametrize("headers", HEADERS, ids=lambda headers: "-".join(headers))
def test_headers_that_are_none(browser: Client, world: dict[str, Any], headers: dict[str, str]) -> None:
    for route in ("", "vms/", "vms/{vm_id}/", "vms/new/", "operations/"):
        assert browser.get(filled(route, world), **headers).status_code == 200  # type: ignore[arg-type]
    answer = browser.post(filled("hosts/{host_id}/enable/", world), {"enabled": "perhaps"}, **headers)  # type: ignore[arg-type]
    assert answer.status_code == 302
    assert answer["Location"].startswith("/")
    assert "\n" not in answer["X-Request-ID"]


def test_cookies_that_are_none(world: dict[str, Any]) -> None:
    for cookie in ("sessionid=\x00; csrftoken=%00", "sessionid=" + "x" * 5000, "=;;=", "messages=[[]]"):
        assert Client(raise_request_exception=False).get("/", HTTP_COOKIE=cookie).status_code == 302  # type: ignore[arg-type]


@pytest.mark.parametrize("nonsense", ["", *NONSENSE], ids=lambda text: ascii(text[:8]))
def test_the_door_takes_anything(db: None, nonsense: str) -> None:
    stranger = Client(raise_request_exception=False)
    for field in ("username", "password", "next"):
        answer = stranger.post("/sign-in/", {"username": "ada", "password": "p", field: nonsense})
        assert answer.status_code == 422, field
    assert stranger.get("/sign-in/", {"next": nonsense}).status_code == 200


def test_who_opens_a_host_says_so(browser: Client, host: Any) -> None:
    for said in ({}, {"enabled": "perhaps"}, {"enabled": "1"}):
        browser.post(f"/hosts/{host.pk}/enable/", said)
        host.refresh_from_db()
        assert host.enabled
    browser.post(f"/hosts/{host.pk}/enable/", {"enabled": "false"})
    host.refresh_from_db()
    assert not host.enabled
