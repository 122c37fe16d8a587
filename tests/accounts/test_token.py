"""Signing in over the API, and everything that ends it."""

from collections.abc import Callable
from typing import Any

import jwt
import pytest
from django.conf import settings
from django.core.cache import cache
from rest_framework.test import APIClient

from apps.accounts import services, tokens
from apps.accounts.models import Role, TokenFamily, User
from apps.accounts.selectors import SIGN_IN_TTL_S, sign_in_key
from apps.events.models import Event
from tests.accounts.conftest import PASSWORD, bearer, me
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[..., dict[str, str]]
PROMISED_S = 5.0


def ends(access: str) -> None:
    """The token is refused within the promised time."""
    wait_for(lambda: me(access) == 401, seconds=PROMISED_S, what="the token to end", every=0.2)


def refresh(api: APIClient, token: str) -> Any:
    return api.post("/api/v1/token/refresh/", {"refresh": token}, format="json")


def test_lifetimes_and_claims(sign_in: SignIn, member: User) -> None:
    pair = sign_in(member)
    claims = jwt.decode(pair["access"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] <= 300
    assert (claims["role"], claims["scope"], claims["iss"]) == ("member", "full", "cloudsite")
    assert SIGN_IN_TTL_S < PROMISED_S
    assert settings.JWT_KEY != settings.SECRET_KEY
    assert len(pair["refresh"]) < tokens.MAX_LENGTH


def test_me(sign_in: SignIn, member: User) -> None:
    answer = bearer(sign_in(member)["access"]).get("/api/v1/me/")
    assert answer.json() == {"id": str(member.pk), "username": "member", "role": "member"}


def test_wrong_name_and_wrong_password_are_told_alike(api: APIClient, member: User) -> None:
    User.objects.create_user("closed", password=PASSWORD, is_active=False)
    answers = [
        api.post("/api/v1/token/", {"username": name, "password": password}, format="json")
        for name, password in [("member", "wrong"), ("nobody", "wrong"), ("closed", PASSWORD), ("member", "x" * 5000)]
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0]["WWW-Authenticate"].startswith("Bearer")


def test_an_unknown_name_costs_as_many_hashes_as_a_known_one(
    api: APIClient, member: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time is hash work here, so the work is counted instead of measured."""
    from django.contrib.auth.hashers import Argon2PasswordHasher

    count = {"known": 0, "unknown": 0, "closed": 0}
    doing = "known"
    User.objects.create_user("closed", password=PASSWORD, is_active=False)
    for name in ("encode", "verify"):
        real = getattr(Argon2PasswordHasher, name)

        def counted(self: Any, *args: Any, _real: Any = real, **kwargs: Any) -> Any:
            count[doing] += 1
            return _real(self, *args, **kwargs)

        monkeypatch.setattr(Argon2PasswordHasher, name, counted)
    for doing, name in [("known", "member"), ("unknown", "nobody"), ("closed", "closed")]:  # noqa: B007
        api.post("/api/v1/token/", {"username": name, "password": "wrong"}, format="json")
    assert count["unknown"] == count["known"] == count["closed"] == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"username": "member"}, 400),
        ({"username": 7, "password": "x"}, 400),
        ({"username": "member", "password": "x", "admin": True}, 400),
        ({"username": None, "password": "x"}, 400),
        ([], 400),
        ("x", 400),
        ({"username": "member", "password": "x", "scope": "root"}, 422),
        ({"username": "", "password": "x"}, 422),
    ],
    ids=str,
)
def test_a_body_that_is_not_as_documented(api: APIClient, body: Any, status: int) -> None:
    assert api.post("/api/v1/token/", body, format="json").status_code == status


def test_a_get_does_nothing(api: APIClient) -> None:
    assert api.get("/api/v1/token/").status_code == 405


def test_refresh_gives_a_new_pair_and_the_old_refresh_token_is_spent(
    api: APIClient, sign_in: SignIn, member: User
) -> None:
    first = sign_in(member)
    second = refresh(api, first["refresh"]).json()
    assert me(second["access"]) == 200
    third = refresh(api, second["refresh"])
    assert third.status_code == 200
    assert third["Cache-Control"] == "no-store"


def test_reuse_ends_the_whole_family(api: APIClient, sign_in: SignIn, member: User) -> None:
    first, elsewhere = sign_in(member), sign_in(member)
    second = refresh(api, first["refresh"]).json()
    assert me(second["access"]) == 200  # also fills the cache
    assert refresh(api, first["refresh"]).status_code == 401
    assert me(second["access"]) == 401, "the cache must be told"
    assert me(first["access"]) == 401
    assert refresh(api, second["refresh"]).status_code == 401
    assert me(elsewhere["access"]) == 200, "another sign-in of the same person goes on"
    assert Event.objects.filter(kind="user.token_reused", actor_id=member.pk).count() == 1


def test_revoke_ends_this_sign_in_only(api: APIClient, sign_in: SignIn, member: User) -> None:
    here, there = sign_in(member), sign_in(member)
    assert me(here["access"]) == 200
    answer = api.post("/api/v1/token/revoke/", {"refresh": here["refresh"]}, format="json")
    assert answer.status_code == 204
    assert me(here["access"]) == 401
    assert refresh(api, here["refresh"]).status_code == 401
    assert me(there["access"]) == 200
    assert api.post("/api/v1/token/revoke/", {"refresh": "x"}, format="json").status_code == 401


def test_a_new_password_by_any_path_ends_tokens(api: APIClient, sign_in: SignIn, member: User) -> None:
    """M24: the library's default keeps both alive. Here nobody tells the cache: it is not a service."""
    pair = sign_in(member)
    assert me(pair["access"]) == 200
    member.set_password("another good password")
    member.save()
    ends(pair["access"])
    assert refresh(api, pair["refresh"]).status_code == 401


def test_a_deactivation_by_any_path_ends_tokens(api: APIClient, sign_in: SignIn, member: User) -> None:
    pair = sign_in(member)
    assert me(pair["access"]) == 200
    User.objects.filter(pk=member.pk).update(is_active=False)
    ends(pair["access"])
    assert refresh(api, pair["refresh"]).status_code == 401


@pytest.mark.parametrize(
    "end",
    [
        lambda admin, user: services.user_deactivate(actor=admin, user_id=user.pk),
        lambda admin, user: services.user_sign_out_everywhere(actor=admin, user_id=user.pk),
        lambda admin, user: services.user_sign_out_everywhere(actor=user, user_id=user.pk),
        lambda admin, user: services.password_set(actor=admin, user_id=user.pk, password="another good password"),
        lambda admin, user: services.password_change(actor=user, current=PASSWORD, new="another good password"),
        lambda admin, user: user.delete(),
    ],
    ids=["deactivate", "sign-out-by-admin", "sign-out-by-self", "password-by-admin", "password-by-self", "delete"],
)
def test_each_service_ends_tokens(api: APIClient, sign_in: SignIn, admin: User, member: User, end: Any) -> None:
    pair = sign_in(member)
    assert me(pair["access"]) == 200
    end(admin, member)
    ends(pair["access"])
    assert refresh(api, pair["refresh"]).status_code == 401


def test_nothing_comes_back_to_life_with_the_account(
    api: APIClient, sign_in: SignIn, admin: User, member: User
) -> None:
    pair = sign_in(member)
    services.user_deactivate(actor=admin, user_id=member.pk)
    services.user_activate(actor=admin, user_id=member.pk)
    assert me(pair["access"]) == 401
    assert refresh(api, pair["refresh"]).status_code == 401


def test_a_lost_role_acts_at_once(sign_in: SignIn, admin: User, member: User) -> None:
    client = bearer(sign_in(member)["access"])
    body = {"name": "k", "public_key": "x"}
    assert client.post("/api/v1/ssh-keys/", body, format="json").status_code == 422
    services.user_role_set(actor=admin, user_id=member.pk, role=Role.VIEWER)
    assert client.post("/api/v1/ssh-keys/", body, format="json").status_code == 403


def test_the_cached_read_is_one_query_less_and_never_a_stranger(
    sign_in: SignIn, member: User, django_assert_num_queries: Any
) -> None:
    access = sign_in(member)["access"]
    assert me(access) == 200
    with django_assert_num_queries(0):
        assert me(access) == 200
    cache.clear()
    with django_assert_num_queries(1):
        assert me(access) == 200


def test_a_forged_family_leaves_no_trace_in_the_cache(sign_in: SignIn, member: User) -> None:
    access = sign_in(member)["access"]
    family = TokenFamily.objects.get()
    family.delete()
    assert me(access) == 401
    assert cache.get(sign_in_key(family.pk)) is None


def test_ended_families_are_cleared_away(sign_in: SignIn, member: User) -> None:
    sign_in(member)
    TokenFamily.objects.update(expires_at="2020-01-01T00:00Z")
    sign_in(member)
    assert TokenFamily.objects.count() == 1


def test_dry_run_of_a_password_change_changes_nothing(sign_in: SignIn, member: User) -> None:
    client = bearer(sign_in(member)["access"])
    body = {"current_password": PASSWORD, "new_password": "another good password"}
    answer = client.post("/api/v1/me/password/?dry_run=true", body, format="json")
    assert answer.status_code == 200
    assert answer.json()["plan"]["changes"]
    member.refresh_from_db()
    assert member.check_password(PASSWORD)
    assert client.post("/api/v1/me/password/", body, format="json").status_code == 204
    assert client.get("/api/v1/me/").status_code == 401


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [("wrong", "another good password", "current_password"), (PASSWORD, "short", "new_password")],
)
def test_a_password_change_that_is_refused(sign_in: SignIn, member: User, current: str, new: str, field: str) -> None:
    client = bearer(sign_in(member)["access"])
    answer = client.post("/api/v1/me/password/", {"current_password": current, "new_password": new}, format="json")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.parametrize("path", ["token/refresh/", "token/revoke/"])
def test_trying_refresh_tokens_is_held_up(api: APIClient, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr("apps.accounts.throttles.attempts_per_minute", lambda: 2)
    answers = [api.post(f"/api/v1/{path}", {"refresh": "guess"}, format="json") for _ in range(5)]
    assert [answers[0].status_code, answers[-1].status_code] == [401, 429]
    assert int(answers[-1]["Retry-After"]) > 0


def test_an_old_client_that_refreshes_holds_up_no_sign_in(
    api: APIClient, member: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.accounts.throttles.attempts_per_minute", lambda: 2)
    for _ in range(5):
        refresh(api, "guess")
    body = {"username": member.username, "password": PASSWORD}
    assert api.post("/api/v1/token/", body, format="json").status_code == 200
