"""``POST vms/{id}/clone/``: what is accepted, what is written, what is refused."""

from typing import Any

import pytest

from tests.api.answers import problem_of, rows


@pytest.fixture
def client(api_for: Any, member: Any) -> Any:
    return api_for(member)


@pytest.fixture
def off(member: Any, make_vm: Any, host: Any) -> Any:
    return make_vm(member, "web-1", host=host, power="shutoff", ssh_keys=["ssh-ed25519 AAAA"], tags=["shop"])


def test_it_answers_with_the_new_vm_and_keeps_the_old_one_busy(client: Any, off: Any) -> None:
    from apps.compute.models import VM

    response = client.post(f"/api/v1/vms/{off.pk}/clone/", {"name": "web-2"}, format="json")
    assert response.status_code == 202, response.content
    vm, operation = response.json()["vm"], response.json()["operation"]
    assert (vm["name"], vm["status"], vm["host"], vm["desired_power"]) == ("web-2", "creating", None, "on")
    assert (vm["vcpus"], vm["disk_gib"], vm["image"], vm["tags"]) == (1, 2, "tiny", ["shop"])
    assert vm["id"] != str(off.pk)
    assert (operation["kind"], operation["target"]["id"]) == ("vm.clone", vm["id"])
    clone = VM.objects.get(pk=vm["id"])
    assert (clone.ssh_keys, clone.protected, clone.created_name) == (off.ssh_keys, False, "web-2")
    busy = problem_of(client.post(f"/api/v1/vms/{off.pk}/start/"), 409, "operation.in_the_way")
    assert "vm.copy" in busy["detail"]


@pytest.mark.parametrize("power", ["running", "paused", "unknown"])
def test_it_has_to_be_off(client: Any, off: Any, power: str) -> None:
    type(off).objects.update(power=power)
    before = rows()
    answer = client.post(f"/api/v1/vms/{off.pk}/clone/", {"name": "web-2"}, format="json")
    problem_of(answer, 409, "clone.needs_stop")
    assert rows() == before


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "name"),
        ({"name": "web-1"}, 422, "name"),
        ({"name": "Not A Name"}, 422, "name"),
        ({"name": "x" * 64}, 422, "name"),
        ({"name": 7}, 400, "name"),
        ({"name": "web-2", "host": "h2"}, 400, "host"),
    ],
)
def test_wrong_bodies_name_their_field(client: Any, off: Any, body: dict[str, Any], status: int, field: str) -> None:
    before = rows()
    problem_of(client.post(f"/api/v1/vms/{off.pk}/clone/", body, format="json"), status, field=field)
    assert rows() == before


def test_the_origins_host_needs_room_for_it(client: Any, off: Any, host: Any, make_host: Any) -> None:
    make_host("h2")
    type(host).objects.filter(pk=host.pk).update(disk_limit_gib=1)
    answer = client.post(f"/api/v1/vms/{off.pk}/clone/", {"name": "web-2"}, format="json")
    assert "short of disk" in problem_of(answer, 422, "placement.no_host_fits")["detail"]


def test_a_busy_one_is_not_cloned(client: Any, off: Any) -> None:
    assert client.post(f"/api/v1/vms/{off.pk}/start/").status_code == 202
    before = rows()
    answer = client.post(f"/api/v1/vms/{off.pk}/clone/", {"name": "web-2"}, format="json")
    problem_of(answer, 409, "operation.in_the_way")
    assert rows() == before
