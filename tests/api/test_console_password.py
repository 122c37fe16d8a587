"""``POST vms/{id}/console-password/`` and ``reveal/``: who gets a password, when, and how often."""

from datetime import timedelta
from typing import Any

import pytest

from tests.api.answers import everything, problem_of

SECRET = "abcd-efgh-ijkm-nopq"


def path(vm: Any, more: str = "") -> str:
    return f"/api/v1/vms/{vm.pk}/console-password/{more}"


def reveal(client: Any, vm: Any, **headers: str) -> Any:
    return client.post(path(vm, "reveal/"), {}, format="json", headers=headers)


def test_it_is_asked_for(boss: Any, admin: Any, with_login: Any) -> None:
    answer = boss.post(path(with_login(admin, "web-1")), {}, format="json")
    assert answer.status_code == 202
    operation = answer.json()["operation"]
    assert (operation["kind"], operation["status"]) == ("vm.console-password", "queued")


def test_it_is_shown_once(boss: Any, admin: Any, with_login: Any) -> None:
    vm = with_login(admin, "web-1", password=SECRET)
    answer = reveal(boss, vm)
    assert answer.status_code == 200
    assert answer.json() == {"login": "debian", "password": SECRET, "must_change": False}
    problem_of(reveal(boss, vm), 409, "console_password.none")


def test_a_dry_run_does_not_use_it_up(boss: Any, admin: Any, with_login: Any) -> None:
    vm = with_login(admin, "web-1", password=SECRET)
    assert SECRET not in boss.post(path(vm, "reveal/?dry_run=true"), {}, format="json").content.decode()
    assert reveal(boss, vm).json()["password"] == SECRET


def test_a_repeated_request_does_not_show_it_again(boss: Any, admin: Any, with_login: Any) -> None:
    vm = with_login(admin, "web-1", password=SECRET)
    first, second = (reveal(boss, vm, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json()["password"] == SECRET
    assert second.json() == {"login": "debian", "password": "", "must_change": False}
    assert SECRET not in str(everything())


def test_nothing_that_is_kept_holds_it(boss: Any, admin: Any, with_login: Any) -> None:
    """Neither a dump of the database alone nor one of Redis alone is enough."""
    from django.core.cache import cache

    vm = with_login(admin, "web-1", password=SECRET)
    assert SECRET not in str(everything())
    cache.clear()
    problem_of(reveal(boss, vm), 409, "console_password.lost")


def test_only_who_asked_sees_it(
    api_for: Any, admin: Any, member: Any, other: Any, viewer: Any, with_login: Any
) -> None:
    vm = with_login(member, "web-1", password=SECRET)
    problem_of(reveal(api_for(admin), vm), 409, "console_password.none")
    problem_of(reveal(api_for(other), vm), 404)
    problem_of(reveal(api_for(viewer), vm), 403)
    problem_of(reveal(api_for(None), vm), 401)
    assert reveal(api_for(member), vm).json()["password"] == SECRET


def test_not_before_it_is_set_nor_ten_minutes_later(boss: Any, admin: Any, with_login: Any) -> None:
    from django.utils import timezone

    from apps.compute.models import ConsolePassword
    from apps.compute.services.console_password import LIFETIME

    vm = with_login(admin, "web-1")
    boss.post(path(vm), {}, format="json")
    problem_of(reveal(boss, vm), 409, "console_password.not_ready")
    late = with_login(admin, "web-2", password=SECRET)
    row = ConsolePassword.objects.get(vm=late)
    assert timedelta(0) < row.expires_at - timezone.now() <= LIFETIME
    ConsolePassword.objects.filter(pk=row.pk).update(expires_at=timezone.now())
    problem_of(reveal(boss, late), 409, "console_password.none")


def test_a_newer_one_voids_it(boss: Any, admin: Any, with_login: Any) -> None:
    vm = with_login(admin, "web-1", password=SECRET)
    assert boss.post(path(vm), {}, format="json").status_code == 202
    problem_of(reveal(boss, vm), 409, "console_password.not_ready")
    problem_of(boss.post(path(vm), {}, format="json"), 409, "operation.in_the_way")


@pytest.mark.parametrize(
    ("values", "status", "code"),
    [
        ({"power": "shutoff"}, 409, "vm.not_running"),
        ({"power": "paused"}, 409, "vm.not_running"),
        ({"phase": "creating"}, 409, "vm.not_ready"),
        ({"phase": "trashed"}, 409, "vm.in_trash"),
        ({"missing": True}, 409, "vm.missing"),
        ({"image": None}, 422, "console_password.no_user"),
    ],
    ids=str,
)
def test_where_there_is_nobody_to_set_it_for(
    boss: Any, admin: Any, with_login: Any, values: Any, status: int, code: str
) -> None:
    problem_of(boss.post(path(with_login(admin, "web-1", **values)), {}, format="json"), status, code)


def test_an_image_that_does_not_say_and_a_cd(boss: Any, admin: Any, with_login: Any, image: Any) -> None:
    from apps.storage.models import Image

    disc = Image.objects.create(name="disc", format="iso", default_user="root")
    for name, chosen in (("silent", image), ("cd", disc)):
        vm = with_login(admin, name, image=chosen)
        problem_of(boss.post(path(vm), {}, format="json"), 422, "console_password.no_user")
    rescued = with_login(admin, "rescued", rescue_image=image)
    problem_of(boss.post(path(rescued), {}, format="json"), 422, "console_password.no_user")


def test_without_redis_nothing_is_begun(
    boss: Any, admin: Any, with_login: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.core.cache import cache

    vm, before = with_login(admin, "web-1"), everything()
    monkeypatch.setattr(type(cache._connections["default"]), "set", lambda *_arguments, **_more: None)  # type: ignore[attr-defined]
    problem_of(boss.post(path(vm), {}, format="json"), 503, "console_password.no_cache")
    assert everything() == before


@pytest.mark.parametrize("body", [{"user": "root"}, {"password": "x"}, [], "x"], ids=str)
def test_a_body_that_is_none(boss: Any, admin: Any, with_login: Any, body: Any) -> None:
    vm = with_login(admin, "web-1", password=SECRET)
    for more in ("", "reveal/"):
        assert boss.post(path(vm, more), body, format="json").status_code in (400, 422)
