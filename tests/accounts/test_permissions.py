"""What a scope and a role allow, over every mutation that the documentation lists."""

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from apps.accounts.models import User
from tests.accounts.conftest import PASSWORD, bearer

pytestmark = pytest.mark.django_db
SignIn = Callable[..., dict[str, str]]
OPEN = ("/api/v1/token/", "/api/v1/token/refresh/", "/api/v1/token/revoke/")
OWN_ACCOUNT = "/api/v1/me/password/"


def mutations() -> list[tuple[str, str]]:
    """Every documented call that is not a read, with ids of nothing in its path."""
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]  # type: ignore[no-untyped-call]
    return [
        (method, re.sub(r"\{\w+\}", str(uuid.uuid4()), path))
        for path, methods in paths.items()
        for method in methods
        if method in ("post", "put", "patch", "delete") and path not in OPEN
    ]


def test_a_read_only_token_changes_nothing_anywhere(sign_in: SignIn, admin: User) -> None:
    client = bearer(sign_in(admin, scope="read")["access"])
    assert client.get("/api/v1/ssh-keys/").status_code == 200
    found = mutations()
    assert len(found) > 3
    for method, path in found:
        answer = getattr(client, method)(path, {}, format="json")
        assert (answer.status_code, answer.json()["code"]) == (403, "auth.scope"), (method, path)


def test_a_refreshed_read_only_token_is_read_only(sign_in: SignIn, api: APIClient, admin: User) -> None:
    first = sign_in(admin, scope="read")
    pair = api.post("/api/v1/token/refresh/", {"refresh": first["refresh"]}, format="json").json()
    answer = bearer(pair["access"]).post("/api/v1/ssh-keys/", {}, format="json")
    assert answer.json()["code"] == "auth.scope"


def test_a_viewer_changes_nothing_but_their_password(sign_in: SignIn, viewer: User) -> None:
    client = bearer(sign_in(viewer)["access"])
    for method, path in mutations():
        answer = getattr(client, method)(path, {}, format="json")
        expected = 400 if path == OWN_ACCOUNT else 403
        assert answer.status_code == expected, (method, path)


def test_a_stranger_gets_401_everywhere(api: APIClient) -> None:
    for method, path in [*mutations(), ("get", "/api/v1/me/"), ("get", "/api/v1/ssh-keys/")]:
        answer = getattr(api, method)(path, {}, format="json")
        assert answer.status_code == 401, (method, path)
        assert answer.json()["code"] == "auth.required"


def test_two_identities_in_one_request(sign_in: SignIn, member: User, other: User) -> None:
    token = sign_in(member)["access"]
    browser = Client(HTTP_HOST="localhost")
    browser.force_login(other)
    answer = browser.get("/api/v1/me/", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (401, "auth.two_identities")
    browser.force_login(member)
    assert browser.get("/api/v1/me/", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_a_broken_token_is_not_saved_by_a_session(member: User) -> None:
    browser = Client(HTTP_HOST="localhost")
    browser.force_login(member)
    assert browser.get("/api/v1/me/", headers={"Authorization": "Bearer x"}).status_code == 401


def test_method_override_headers_are_ignored(sign_in: SignIn, member: User) -> None:
    client = bearer(sign_in(member, scope="read")["access"])
    answer = client.get("/api/v1/ssh-keys/", headers={"X-HTTP-Method-Override": "POST"})
    assert answer.status_code == 200
    assert client.post("/api/v1/ssh-keys/?_method=GET", {}, format="json").status_code == 403


@pytest.mark.parametrize(("proxies", "expected"), [(0, "10.0.0.9"), (1, "3.3.3.3"), (2, "2.2.2.2"), (4, "10.0.0.9")])
def test_the_client_address_is_taken_past_exactly_the_configured_proxies(
    settings: Any, rf: Any, proxies: int, expected: str
) -> None:
    from apps.accounts.throttles import client_address

    settings.TRUSTED_PROXIES = proxies
    request = rf.get("/", REMOTE_ADDR="10.0.0.9", HTTP_X_FORWARDED_FOR="1.1.1.1, 2.2.2.2, 3.3.3.3")
    assert client_address(request) == expected


def test_the_password_never_reaches_an_answer(api: APIClient, member: User) -> None:
    answer = api.post("/api/v1/token/", {"username": "member", "password": PASSWORD, "x": PASSWORD}, format="json")
    assert answer.status_code == 400
    assert PASSWORD not in answer.content.decode()
