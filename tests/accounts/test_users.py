"""People: the first administrator, roles, the last administrator, and the admin site."""

from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from typing import Any

import pytest
from django.contrib import admin as django_admin
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from pydantic import SecretStr

from apps.accounts import services
from apps.accounts.models import Role, Scope, TokenFamily, User
from apps.errors import AppError, Conflict, Forbidden, Refused
from apps.events.models import Event
from tests.accounts.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def ensure_admin() -> str:
    out = StringIO()
    call_command("ensure_admin", stdout=out)
    return out.getvalue()


@pytest.fixture
def password_setting(settings: Any) -> Any:
    """``CLOUDSITE_ADMIN_PASSWORD`` of this test."""

    def give(value: str | None) -> None:
        secret = SecretStr(value) if value else None
        settings.CONFIG = settings.CONFIG.model_copy(update={"admin_password": secret})

    give(None)
    return give


def test_the_first_administrator_gets_a_random_password_once(password_setting: Any) -> None:
    printed = ensure_admin()
    user = User.objects.get()
    password = printed.split("Password: ")[1].strip()
    assert user.username == "admin"
    assert user.is_admin and user.is_staff
    assert user.check_password(password)
    assert len(password) >= 20
    assert ensure_admin() == ""
    assert User.objects.count() == 1


def test_a_password_that_was_given_is_not_printed(password_setting: Any) -> None:
    password_setting("a password of ours")
    assert "a password of ours" not in ensure_admin()
    assert User.objects.get().check_password("a password of ours")


def test_a_weak_password_that_was_given_is_told(password_setting: Any) -> None:
    password_setting("admin")
    with pytest.raises(CommandError, match="too short"):
        ensure_admin()


def test_a_deactivated_administrator_is_still_one(password_setting: Any, admin: User) -> None:
    User.objects.update(is_active=False)
    assert ensure_admin() == ""


@pytest.mark.parametrize(
    "act",
    [
        lambda actor, user: services.user_create(actor=actor, username="x", password=PASSWORD),
        lambda actor, user: services.user_deactivate(actor=actor, user_id=user.pk),
        lambda actor, user: services.user_activate(actor=actor, user_id=user.pk),
        lambda actor, user: services.user_role_set(actor=actor, user_id=actor.pk, role=Role.ADMIN),
        lambda actor, user: services.user_sign_out_everywhere(actor=actor, user_id=user.pk),
        lambda actor, user: services.password_set(actor=actor, user_id=user.pk, password=PASSWORD),
    ],
)
def test_only_administrators_manage_people(member: User, other: User, act: Any) -> None:
    with pytest.raises(Forbidden):
        act(member, other)
    assert not Event.objects.exists()


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "x" * 151, "<script>"])
def test_user_names_that_are_refused(admin: User, name: str) -> None:
    with pytest.raises(Refused):
        services.user_create(actor=admin, username=name, password=PASSWORD)


def test_a_user_name_and_a_password_that_are_refused(admin: User, member: User) -> None:
    with pytest.raises(Refused) as caught:
        services.user_create(actor=admin, username="member", password=PASSWORD)
    assert caught.value.code == "user.name_taken"
    with pytest.raises(Refused) as caught:
        services.user_create(actor=admin, username="long", password="x" * 5000)
    assert caught.value.code == "password.too_long"


def test_a_sign_in_is_ended_by_its_person_or_an_administrator(admin: User, member: User, other: User) -> None:
    for actor in (other, member, admin):
        services.token_issue(user=member, scope=Scope.FULL)
        family = TokenFamily.objects.get(revoked_at=None)
        if actor == other:
            with pytest.raises(Forbidden):
                services.family_revoke(actor=actor, family_id=family.pk)
        services.family_revoke(actor=member if actor == other else actor, family_id=family.pk)
    assert not TokenFamily.objects.filter(revoked_at=None).exists()


def test_what_is_shown_of_people(admin: User) -> None:
    services.token_issue(user=admin, scope=Scope.FULL)
    assert str(TokenFamily.objects.get()).startswith("admin since 20")


def test_a_role_opens_and_closes_the_admin_site(admin: User, member: User) -> None:
    user = services.user_role_set(actor=admin, user_id=member.pk, role=Role.ADMIN)
    assert user.is_staff and user.is_superuser and user.is_admin
    user = services.user_role_set(actor=admin, user_id=member.pk, role=Role.MEMBER)
    assert not (user.is_staff or user.is_superuser or user.is_admin)


def test_the_last_administrator_stays(admin: User, member: User) -> None:
    for act in (
        lambda: services.user_deactivate(actor=admin, user_id=admin.pk),
        lambda: services.user_role_set(actor=admin, user_id=admin.pk, role=Role.VIEWER),
    ):
        with pytest.raises(Conflict):
            act()
    services.user_role_set(actor=admin, user_id=member.pk, role=Role.ADMIN)
    assert not services.user_deactivate(actor=admin, user_id=admin.pk).is_active


@pytest.mark.django_db(transaction=True)
def test_two_administrators_cannot_remove_each_other(admin: User, member: User) -> None:
    services.user_role_set(actor=admin, user_id=member.pk, role=Role.ADMIN)

    def remove(victim: User) -> bool:
        try:
            services.user_deactivate(actor=admin, user_id=victim.pk)
        except AppError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(remove, [admin, member])) == [False, True]
    assert User.objects.filter(is_active=True, role=Role.ADMIN).count() == 1


@pytest.fixture
def site(admin: User) -> Client:
    client = Client(HTTP_HOST="localhost")
    client.force_login(admin)
    return client


def test_the_admin_makes_people_through_the_service(site: Client, admin: User) -> None:
    body = {"username": "ada", "role": "viewer", "password": PASSWORD}
    answer = site.post("/admin/accounts/user/add/", body)
    assert answer.status_code == 302
    user = User.objects.get(username="ada")
    assert user.role == "viewer"
    assert authenticate(Client().request().wsgi_request, username="ada", password=PASSWORD) == user
    assert Event.objects.get(kind="user.created").actor_id == admin.pk


def test_a_refusal_in_the_admin_is_told(site: Client) -> None:
    body = {"username": "ada", "role": "member", "password": "short"}
    answer = site.post("/admin/accounts/user/add/", body, follow=True)
    assert "too short" in answer.content.decode()
    assert not User.objects.filter(username="ada").exists()


def test_the_admin_changes_a_password_and_nothing_else_by_form(site: Client, member: User) -> None:
    path = f"/admin/accounts/user/{member.pk}/change/"
    assert site.get(path).status_code == 200
    site.post(
        path, {"new_password": "another good password", "username": "evil", "role": "admin", "is_superuser": "on"}
    )
    member.refresh_from_db()
    assert member.check_password("another good password")
    assert (member.username, member.role, member.is_superuser) == ("member", "member", False)


def test_actions_of_the_admin(site: Client, admin: User, member: User) -> None:
    def act(name: str) -> User:
        site.post("/admin/accounts/user/", {"action": name, "_selected_action": [str(member.pk)]})
        return User.objects.get(pk=member.pk)

    site.post("/admin/accounts/user/", {"action": "deactivate", "_selected_action": [str(admin.pk)]})
    assert User.objects.get(pk=admin.pk).is_active, "the last administrator stays"
    assert not act("deactivate").is_active
    assert act("activate").is_active
    assert act("make_viewer").role == "viewer"
    assert act("make_admin").role == "admin"
    assert act("make_member").role == "member"
    before = User.objects.get(pk=member.pk).token_epoch
    assert act("sign_out_everywhere").token_epoch == before + 1
    services.token_issue(user=User.objects.get(pk=member.pk), scope=Scope.FULL)
    family = TokenFamily.objects.get()
    site.post("/admin/accounts/tokenfamily/", {"action": "revoke", "_selected_action": [str(family.pk)]})
    assert TokenFamily.objects.get().revoked_at


def test_nobody_else_sees_the_admin(member: User, viewer: User) -> None:
    for user in (member, viewer):
        client = Client(HTTP_HOST="localhost")
        client.force_login(user)
        assert client.get("/admin/", follow=True).status_code == 403
        assert client.get("/admin/accounts/user/", follow=True).status_code == 403


def test_the_admin_has_no_door_of_its_own(admin: User) -> None:
    client = Client(HTTP_HOST="localhost")
    answer = client.get("/admin/", follow=True)
    assert answer.redirect_chain[-1][0] == "/sign-in/?next=/admin/"
    assert client.post("/admin/login/", {"username": "admin", "password": PASSWORD})["Location"].startswith("/sign-in/")
    answer = client.post("/sign-in/", {"username": "admin", "password": PASSWORD, "next": "/admin/"}, follow=True)
    assert answer.request["PATH_INFO"] == "/admin/"
    assert answer.status_code == 200
    assert client.get("/admin/password_change/")["Location"] == "/account/password/"


@pytest.mark.parametrize("model", ["user", "sshkey", "tokenfamily"])
def test_lists_of_the_admin_open_and_nothing_is_deleted_there(site: Client, admin: User, model: str, rf: Any) -> None:
    assert site.get(f"/admin/accounts/{model}/").status_code == 200
    registered = {m._meta.model_name: a for m, a in django_admin.site._registry.items()}
    request = rf.get("/")
    request.user = admin
    assert not registered[model].has_delete_permission(request)
