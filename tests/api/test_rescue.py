"""``rescue/``, ``unrescue/``, ``insert/`` and ``eject/``: what is accepted and what is refused, in every state."""

from typing import Any

import pytest

from tests.api.answers import problem_of, rows


@pytest.fixture
def client(api_for: Any, member: Any) -> Any:
    return api_for(member)


@pytest.fixture
def vm(member: Any, make_vm: Any, host: Any) -> Any:
    return make_vm(member, "web-1", host=host)


def test_its_own_image_unless_another_is_named(client: Any, vm: Any) -> None:
    from apps.operations.models import Operation

    response = client.post(f"/api/v1/vms/{vm.pk}/rescue/", {}, format="json")
    assert response.status_code == 202, response.content
    operation = Operation.objects.get(pk=response.json()["operation"]["id"])
    assert (operation.kind, operation.params) == ("vm.rescue", {"image": str(vm.image_id)})
    assert response.json()["vm"]["rescued"] is False  # not yet


@pytest.mark.parametrize(
    ("change", "body", "status", "code"),
    [
        ({}, {"image": "nothing"}, 422, "image.unknown"),
        ({"format": "iso"}, {}, 422, "rescue.image_needed"),
        ({"format": "iso"}, {"image": "tiny"}, 422, "rescue.image"),
        ({"firmware": "uefi"}, {}, 422, "rescue.firmware"),
        ({"architecture": "aarch64"}, {"image": "other"}, 422, "vm.other_architecture"),
        ({"min_memory_mib": 512}, {}, 422, "vm.memory_too_small"),
        ({}, {"image": 7}, 400, "request.malformed"),
        ({}, {"image": ""}, 422, "request.refused"),
        ({}, {"disk": "x"}, 400, "request.malformed"),
    ],
)
def test_what_does_not_fit_is_refused(
    client: Any, vm: Any, image: Any, change: dict[str, Any], body: dict[str, Any], status: int, code: str
) -> None:
    type(image).objects.create(name="other")
    type(image).objects.exclude(name="other").update(**change)
    before = rows()
    problem_of(client.post(f"/api/v1/vms/{vm.pk}/rescue/", body, format="json"), status, code)
    assert rows() == before


@pytest.mark.parametrize(
    ("state", "verb", "code"),
    [
        ({}, "unrescue", "vm.not_rescued"),
        ({}, "eject", "vm.no_cdrom"),
        ({"rescued": True}, "rescue", "vm.rescued"),
        ({"rescued": True}, "eject", "vm.rescued"),
        ({"rescued": True}, "insert", "vm.rescued"),
        ({"rescued": True, "power": "shutoff"}, "clone", "vm.rescued"),
        ({"rescued": True, "power": "shutoff"}, "image", "vm.rescued"),
        ({"rescued": True}, "snapshots", "vm.rescued"),
        ({"rescued": True}, "resize", "vm.rescued"),
        ({"rescued": True}, "rebuild", "vm.rescued"),
        ({"rescued": True}, "io-limits", "vm.rescued"),
        ({"phase": "creating"}, "insert", "vm.not_ready"),
        ({"phase": "creating"}, "rescue", "vm.not_ready"),
    ],
)
def test_states_in_which_it_makes_no_sense(
    client: Any, vm: Any, image: Any, state: dict[str, Any], verb: str, code: str
) -> None:
    vm.rescue_image = image if state.pop("rescued", False) else None
    for field, value in state.items():
        setattr(vm, field, value)
    vm.save()
    body = {
        "clone": {"name": "web-2"},
        "image": {"name": "copy"},
        "snapshots": {"name": "before"},
        "resize": {"vcpus": 2},
        "rebuild": {"image": "tiny"},
        "insert": {"image": "tiny"},
        "io-limits": {"iops": 100},
    }.get(verb, {})
    problem_of(client.post(f"/api/v1/vms/{vm.pk}/{verb}/", body, format="json"), 409, code)


@pytest.fixture
def disc(image: Any) -> Any:
    return type(image).objects.create(name="setup", format="iso", cloud_init=False)


@pytest.mark.parametrize(
    ("power", "body", "wish", "then", "restart"),
    [
        ("shutoff", {}, "off", "it boots from it when it is next switched on", False),
        ("shutoff", {"boot": True}, "on", "boot web-1 from it", False),
        ("running", {}, "on", "it boots from it when it is next switched on", True),
        ("running", {"boot": True}, "on", "pull the plug of web-1, and boot it from the CD", False),
    ],
)
def test_a_cd_goes_in(
    client: Any, vm: Any, disc: Any, power: str, body: dict[str, Any], wish: str, then: str, restart: bool
) -> None:
    from apps.operations.models import Operation

    type(vm).objects.update(power=power, desired_power="off" if power == "shutoff" else "on")
    url = f"/api/v1/vms/{vm.pk}/insert/"
    plan = client.post(f"{url}?dry_run=true", {"image": "setup", **body}, format="json").json()["plan"]
    assert plan["changes"] == ["put the CD setup into web-1", then]
    assert plan["restart_needed"] is restart
    response = client.post(url, {"image": "setup", **body}, format="json")
    assert response.status_code == 202, response.content
    operation = Operation.objects.get(pk=response.json()["operation"]["id"])
    assert operation.params == {"image": str(disc.pk), "boot": body.get("boot", False)}
    vm.refresh_from_db()
    assert vm.desired_power == wish


@pytest.mark.parametrize(
    ("change", "body", "status", "code"),
    [
        ({}, {}, 400, "request.malformed"),
        ({}, {"image": "nothing"}, 422, "image.unknown"),
        ({}, {"image": "tiny"}, 422, "cdrom.image"),
        ({}, {"image": "setup", "boot": "perhaps"}, 400, "request.malformed"),
        ({"architecture": "aarch64"}, {"image": "setup"}, 422, "vm.other_architecture"),
        ({"status": "checking"}, {"image": "setup"}, 422, "image.not_ready"),
    ],
)
def test_what_is_no_cd_for_it_is_refused(
    client: Any, vm: Any, disc: Any, change: dict[str, Any], body: dict[str, Any], status: int, code: str
) -> None:
    type(disc).objects.filter(pk=disc.pk).update(**change)
    before = rows()
    problem_of(client.post(f"/api/v1/vms/{vm.pk}/insert/", body, format="json"), status, code)
    assert rows() == before


def test_one_cd_at_a_time_and_none_becomes_a_root_disk(client: Any, vm: Any, disc: Any) -> None:
    rebuilt = client.post(f"/api/v1/vms/{vm.pk}/rebuild/", {"image": "setup"}, format="json")
    problem_of(rebuilt, 422, "rebuild.image")
    type(vm).objects.update(cdrom=disc)
    problem_of(client.post(f"/api/v1/vms/{vm.pk}/insert/", {"image": "setup"}, format="json"), 409, "vm.has_cdrom")
    assert client.get(f"/api/v1/vms/{vm.pk}/").json()["cdrom"] == "setup"
    assert [row["cdrom"] for row in client.get("/api/v1/vms/").json()["results"]] == ["setup"]


def test_a_cd_in_a_drive_is_not_deleted(api_for: Any, admin: Any, vm: Any, disc: Any) -> None:
    type(vm).objects.update(cdrom=disc)
    problem_of(api_for(admin).delete(f"/api/v1/images/{disc.pk}/"), 409, "image.in_use")


def test_the_dialogs_offer_what_fits(vm: Any, disc: Any, image: Any, member: Any, other: Any) -> None:
    from django.test import Client

    images = type(image).objects
    images.create(name="arm-disc", format="iso", architecture="aarch64")
    images.create(name="not-mine", format="iso", owner=other)
    images.create(name="<b>disk</b>")
    browser = Client()
    browser.force_login(member)
    page = browser.get(f"/vms/{vm.pk}/").content.decode()
    assert f'<option value="{disc.pk}">setup</option>' in page
    assert "&lt;b&gt;disk&lt;/b&gt;" in page
    assert "arm-disc" not in page
    assert "not-mine" not in page
    answer = browser.post(f"/vms/{vm.pk}/insert/", {"image": str(disc.pk), "boot": "on"}, follow=True)
    assert "boot it from the CD" in answer.content.decode()


def test_the_page_tells_and_offers_the_way_back(client: Any, vm: Any, image: Any, member: Any) -> None:
    from django.test import Client

    browser = Client()
    browser.force_login(member)
    assert "vm-rescue-dialog" in browser.get(f"/vms/{vm.pk}/").content.decode()
    type(vm).objects.update(rescue_image=image)
    page = browser.get(f"/vms/{vm.pk}/").content.decode()
    assert "booted from a rescue system (tiny)" in page
    assert f"/vms/{vm.pk}/unrescue/" in page
    assert client.get(f"/api/v1/vms/{vm.pk}/").json()["rescued"] is True
