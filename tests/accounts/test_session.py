"""The browser's session: how it begins, and everything that ends it."""

from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client

from apps.accounts import services
from apps.accounts.models import User
from tests.accounts.conftest import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)
HERE = {"HTTP_HOST": "localhost"}


@pytest.fixture
def browser() -> Client:
    return Client(**HERE)


def sign_in(browser: Client, name: str = "member", password: str = PASSWORD, **more: str) -> Any:
    return browser.post("/sign-in/", {"username": name, "password": password, **more})


def is_signed_in(browser: Client) -> bool:
    return bool(browser.get("/api/v1/me/").status_code == 200)


def test_signing_in_makes_a_new_session_and_leads_to_the_overview(browser: Client, member: User) -> None:
    answer = sign_in(browser)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert answer.cookies[settings.SESSION_COOKIE_NAME]["httponly"]
    assert is_signed_in(browser)


def test_the_session_key_changes_at_sign_in(browser: Client, member: User, other: User) -> None:
    sign_in(browser)
    before = browser.cookies[settings.SESSION_COOKIE_NAME].value
    sign_in(browser, "other")
    assert browser.cookies[settings.SESSION_COOKIE_NAME].value != before
    assert not Session.objects.filter(pk=before).exists()


def test_a_stranger_leaves_no_session(browser: Client, member: User) -> None:
    """A flood of visits with ``?next=`` must not fill the table."""
    browser.get("/sign-in/?next=/vms/")
    sign_in(browser, password="wrong", next="/vms/")
    assert Session.objects.count() == 0


@pytest.mark.parametrize(
    ("wanted", "location"),
    [
        ("/ssh-keys/", "/ssh-keys/"),
        ("http://localhost/ssh-keys/", "http://localhost/ssh-keys/"),
        ("//evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/\\evil.example", "/"),
        ("http:///evil.example", "/"),
        ("\x00/", "/"),
    ],
)
def test_next_leads_to_ourselves_only(browser: Client, member: User, wanted: str, location: str) -> None:
    assert sign_in(browser, next=wanted)["Location"] == location


def test_a_wrong_password_is_told_like_a_wrong_name(browser: Client, member: User) -> None:
    wrong, unknown = sign_in(browser, password="wrong"), sign_in(browser, "nobody", "wrong")
    assert wrong.status_code == unknown.status_code == 422
    assert "Wrong user name or password." in wrong.content.decode()
    assert "Wrong user name or password." in unknown.content.decode()


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a\x00b", "x" * 200, "' OR 1=1 --", "\u202e"])
def test_a_strange_name_is_shown_escaped_or_not_at_all(browser: Client, name: str) -> None:
    answer = sign_in(browser, name)
    assert answer.status_code == 422
    assert b"<script>alert" not in answer.content


def test_get_never_signs_out(browser: Client, member: User) -> None:
    sign_in(browser)
    assert browser.get("/sign-out/").status_code == 405
    assert is_signed_in(browser)


def test_sign_out_ends_the_session_on_the_server(browser: Client, member: User) -> None:
    sign_in(browser)
    thief = Client(**HERE)
    thief.cookies[settings.SESSION_COOKIE_NAME] = browser.cookies[settings.SESSION_COOKIE_NAME].value
    assert is_signed_in(thief)
    assert browser.post("/sign-out/").status_code == 302
    assert not is_signed_in(browser)
    assert not is_signed_in(thief)


@pytest.mark.parametrize(
    "end",
    [
        lambda admin, user: services.user_deactivate(actor=admin, user_id=user.pk),
        lambda admin, user: services.user_sign_out_everywhere(actor=admin, user_id=user.pk),
        lambda admin, user: services.password_set(actor=admin, user_id=user.pk, password="another good password"),
        lambda admin, user: User.objects.filter(pk=user.pk).update(token_epoch=7),
        lambda admin, user: User.objects.filter(pk=user.pk).update(is_active=False),
        lambda admin, user: user.delete(),
    ],
    ids=["deactivate", "sign-out-everywhere", "password", "epoch by hand", "inactive by hand", "delete"],
)
def test_what_ends_every_session_at_once(browser: Client, admin: User, member: User, end: Any) -> None:
    sign_in(browser)
    assert is_signed_in(browser)
    end(admin, member)
    assert not is_signed_in(browser)


def test_a_password_change_keeps_this_browser_and_ends_the_others(browser: Client, member: User) -> None:
    elsewhere = Client(**HERE)
    sign_in(browser)
    sign_in(elsewhere)
    new = "another good password"
    body = {"current_password": PASSWORD, "new_password": new, "repeated": new}
    assert browser.post("/account/password/", body).status_code == 302
    assert is_signed_in(browser)
    assert not is_signed_in(elsewhere)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"current_password": "wrong", "new_password": "another good one", "repeated": "another good one"}, "current"),
        ({"current_password": PASSWORD, "new_password": "password1234", "repeated": "password1234"}, "too common"),
        ({"current_password": PASSWORD, "new_password": "another good one", "repeated": "x"}, "differ"),
    ],
)
def test_a_password_change_that_is_refused(browser: Client, viewer: User, body: dict[str, str], told: str) -> None:
    """A viewer may change their own password, so the refusals here are about the passwords."""
    sign_in(browser, "viewer")
    answer = browser.post("/account/password/", body)
    assert answer.status_code == 422
    assert told in answer.content.decode()


def test_guessing_the_current_password_is_held_up(browser: Client, member: User, monkeypatch: Any) -> None:
    sign_in(browser)
    monkeypatch.setattr("apps.accounts.throttles.attempts_per_minute", lambda: 1)
    new = "another good password"
    wrong = {"current_password": "wrong", "new_password": new, "repeated": new}
    pages = [browser.post("/account/password/", wrong).content.decode() for _ in range(3)]
    assert "Too many attempts" in pages[-1]
    answer = browser.post(
        "/api/v1/me/password/", {"current_password": PASSWORD, "new_password": new}, "application/json"
    )
    assert answer.status_code == 429
    assert member.check_password(PASSWORD)


def test_who_is_signed_in_is_led_on(browser: Client, member: User) -> None:
    sign_in(browser)
    assert browser.get("/sign-in/?next=/ssh-keys/")["Location"] == "/ssh-keys/"


def test_a_form_without_csrf_token_is_refused(member: User) -> None:
    strict = Client(enforce_csrf_checks=True, **HERE)
    assert strict.post("/sign-in/", {"username": "member", "password": PASSWORD}).status_code == 403
    strict.force_login(member)
    assert strict.post("/sign-out/").status_code == 403
    answer = strict.post("/api/v1/ssh-keys/", {"name": "k", "public_key": "x"}, content_type="application/json")
    assert answer.status_code == 403
    assert answer["Content-Type"] == "application/problem+json"


def test_a_signed_in_page_is_kept_by_no_cache(browser: Client, member: User) -> None:
    sign_in(browser)
    answer = browser.get("/ssh-keys/")
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]


def test_htmx_of_an_ended_session_is_sent_to_the_sign_in_page(browser: Client) -> None:
    answer = browser.get("/ssh-keys/", headers={"HX-Request": "true"})
    assert (answer.status_code, answer["HX-Redirect"]) == (401, "/sign-in/")
    assert browser.get("/ssh-keys/")["Location"] == "/sign-in/?next=/ssh-keys/"


def test_guessing_locks_the_pair_of_name_and_address(browser: Client, member: User, settings: Any) -> None:
    """Also for a name that does not exist, or the lock would tell which ones do."""
    settings.AXES_FAILURE_LIMIT = 3
    for name in ("member", "nobody"):
        for _ in range(3):
            last = sign_in(browser, name, "wrong")
        assert last.status_code in (422, 429)
        answer = sign_in(browser, name)
        assert answer.status_code == 429
        assert "Too many attempts" in answer.content.decode()
    token = browser.post(
        "/api/v1/token/", {"username": "member", "password": PASSWORD}, content_type="application/json"
    )
    assert token.status_code == 429
    assert token["Content-Type"] == "application/problem+json"
    assert int(token["Retry-After"]) > 0
    assert sign_in(Client(REMOTE_ADDR="10.1.2.3", **HERE)).status_code == 302, "from elsewhere the owner gets in"


def test_an_address_that_tries_many_names_is_held_up(browser: Client, member: User, monkeypatch: Any) -> None:
    monkeypatch.setattr("apps.accounts.throttles.attempts_per_minute", lambda: 2)
    statuses = [sign_in(browser, f"n{number}", "wrong").status_code for number in range(4)]
    assert 429 in statuses[2:]
    body = {"username": "member", "password": PASSWORD}
    answer = browser.post("/api/v1/token/", body, content_type="application/json")
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 60
