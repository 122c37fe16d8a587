"""One virtual machine: read, patch, rename, verbs, delete."""

import uuid
from typing import Any

import pytest

from tests.api.answers import problem_of, rows


@pytest.fixture
def client(api_for: Any, member: Any) -> Any:
    return api_for(member)


@pytest.fixture
def vm(member: Any, make_vm: Any, host: Any) -> Any:
    return make_vm(member, "web-1", host=host)


def url(vm: Any, verb: str = "") -> str:
    return f"/api/v1/vms/{vm.pk}/{verb}"


def test_detail_shows_addresses_with_their_source(client: Any, vm: Any, host: Any) -> None:
    from apps.network.models import Network

    network = Network.objects.create(libvirt_name="cs", host=host, cidr="10.9.0.0/24", bridge="cs0")
    vm.nics.create(network=network, mac="52:54:00:00:00:01", ip="10.9.0.2")
    vm.observed_addresses = [{"ip": "10.9.0.2", "source": "lease"}, {"ip": "10.9.0.77", "source": "arp"}]
    vm.save()
    found = client.get(url(vm)).json()
    assert found["addresses"] == [{"ip": "10.9.0.2", "source": "reserved"}, {"ip": "10.9.0.77", "source": "arp"}]
    assert (found["status"], found["host"]) == ("running", "h1")


def test_patch_changes_our_records_only(client: Any, vm: Any) -> None:
    from apps.operations.models import Operation

    wanted = {"protected": True, "start_on_boot": False, "tags": ["a", "b"], "notes": "first\nsecond"}
    response = client.patch(url(vm), wanted, format="json")
    assert response.status_code == 200
    assert {key: response.json()[key] for key in wanted} == wanted
    assert client.get(url(vm)).json() == response.json()
    assert not Operation.objects.exists()
    assert client.patch(url(vm), {}, format="json").status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"protected": "yes"}, 400, "protected"),
        ({"protected": None}, 400, "protected"),
        ({"protected": 1}, 400, "protected"),
        ({"tags": {"a": 1}}, 400, "tags"),
        ({"notes": 5}, 400, "notes"),
        ({"notes": "x" * 10001}, 422, "notes"),
        ({"name": "other"}, 400, "name"),
        ({"vcpus": 2}, 400, "vcpus"),
        ({"power": "running"}, 400, "power"),
        ({"status": "running"}, 400, "status"),
        ({"phase": "ready"}, 400, "phase"),
        ({"owner": "admin"}, 400, "owner"),
        ({"owner_id": str(uuid.UUID(int=1))}, 400, "owner_id"),
        ({"fence": 9}, 400, "fence"),
    ],
)
def test_patch_takes_nothing_else(client: Any, vm: Any, body: dict[str, Any], status: int, field: str) -> None:
    before = client.get(url(vm)).json()
    problem_of(client.patch(url(vm), body, format="json"), status, field=field)
    assert client.get(url(vm)).json() == before


def test_rename_keeps_what_libvirt_knows(client: Any, vm: Any) -> None:
    before = vm.libvirt_name
    response = client.post(url(vm, "rename/"), {"name": "shop"}, format="json")
    assert (response.status_code, response.json()["name"]) == (200, "shop")
    vm.refresh_from_db()
    assert (vm.name, vm.libvirt_name) == ("shop", before)


def test_rename_to_a_taken_name(client: Any, vm: Any, member: Any, other: Any, make_vm: Any) -> None:
    make_vm(member, "taken")
    make_vm(other, "free")
    problem_of(client.post(url(vm, "rename/"), {"name": "taken"}, format="json"), 422, "vm.name_taken", "name")
    assert client.post(url(vm, "rename/"), {"name": "web-1"}, format="json").status_code == 200
    assert client.post(url(vm, "rename/"), {"name": "free"}, format="json").status_code == 200


VERBS = ["start", "shutdown", "power-off", "reboot", "reset", "pause"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_an_operation(client: Any, vm: Any, verb: str) -> None:
    response = client.post(url(vm, f"{verb}/"), {}, format="json")
    assert response.status_code == 202
    found = response.json()
    assert set(found) == {"vm", "operation"}
    assert found["operation"]["kind"] == f"vm.{verb}"
    assert found["operation"]["target"] == {"type": "vm", "id": str(vm.pk), "name": "web-1"}
    assert response["Location"] == f"/api/v1/operations/{found['operation']['id']}/"
    assert found["vm"]["desired_power"] == ("off" if verb in ("shutdown", "power-off") else "on")


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_takes_no_body_at_all_too(client: Any, vm: Any, verb: str) -> None:
    assert client.post(url(vm, f"{verb}/")).status_code == 202


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("body", [{"force": True}, [], "x", 7, None])
def test_a_verb_takes_no_other_body(client: Any, vm: Any, verb: str, body: Any) -> None:
    import json

    before = rows()
    response = client.post(url(vm, f"{verb}/"), json.dumps(body), content_type="application/json")
    problem_of(response, 400, "request.malformed")
    assert rows() == before


@pytest.mark.parametrize("verb", ["reboot", "reset", "pause"])
def test_what_is_off_cannot_be_restarted(client: Any, vm: Any, verb: str) -> None:
    vm.power = "shutoff"
    vm.save()
    problem_of(client.post(url(vm, f"{verb}/"), {}, format="json"), 409, "vm.not_running")


def test_only_what_is_paused_is_resumed(client: Any, vm: Any) -> None:
    problem_of(client.post(url(vm, "resume/"), {}, format="json"), 409, "vm.not_paused")
    vm.power = "paused"
    vm.save()
    problem_of(client.post(url(vm, "pause/"), {}, format="json"), 409, "vm.not_running")
    found = client.post(url(vm, "resume/"), {}, format="json").json()
    assert (found["vm"]["status"], found["operation"]["kind"]) == ("paused", "vm.resume")


def test_boot_order(client: Any, vm: Any) -> None:
    assert client.get(url(vm)).json()["boot_order"] == 0
    assert client.patch(url(vm), {"boot_order": 9999}, format="json").json()["boot_order"] == 9999
    for wrong in (-1, 10000):
        problem_of(client.patch(url(vm), {"boot_order": wrong}, format="json"), 422, "vm.boot_order", "boot_order")
    for wrong in ("1", True, 1.5, None):
        problem_of(client.patch(url(vm), {"boot_order": wrong}, format="json"), 400, field="boot_order")


@pytest.mark.parametrize("phase", ["creating", "error", "deleting"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_vm_that_is_not_ready_refuses_verbs(client: Any, vm: Any, verb: str, phase: str) -> None:
    vm.phase, vm.reason = phase, "No room."
    vm.save()
    problem_of(client.post(url(vm, f"{verb}/"), {}, format="json"), 409, "vm.not_ready")


def test_one_that_was_undefined_can_only_be_started(client: Any, vm: Any) -> None:
    vm.missing = True
    vm.save()
    problem_of(client.post(url(vm, "power-off/"), {}, format="json"), 409, "vm.missing")
    assert client.post(url(vm, "start/"), {}, format="json").status_code == 202


@pytest.mark.parametrize("verb", VERBS)
def test_a_busy_vm_names_the_operation_in_the_way(client: Any, vm: Any, verb: str) -> None:
    running = client.post(url(vm, "start/"), {}, format="json").json()["operation"]
    before = rows()
    found = problem_of(client.post(url(vm, f"{verb}/"), {}, format="json"), 409, "operation.in_the_way")
    assert found["operation"] == running["id"]
    assert "vm.start" in found["detail"]
    assert rows() == before
    vm.refresh_from_db()
    assert vm.desired_power == "on"


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"timeout_s": 0}, 422, "timeout_s"),
        ({"timeout_s": 601}, 422, "timeout_s"),
        ({"timeout_s": 10**30}, 422, "timeout_s"),
        ({"timeout_s": "10"}, 400, "timeout_s"),
        ({"timeout_s": 1.5}, 400, "timeout_s"),
        ({"on_timeout": "destroy"}, 422, "on_timeout"),
        ({"on_timeout": 1}, 400, "on_timeout"),
        ({"force": True}, 400, "force"),
    ],
)
def test_shutdown_arguments(client: Any, vm: Any, body: dict[str, Any], status: int, field: str) -> None:
    problem_of(client.post(url(vm, "shutdown/"), body, format="json"), status, field=field)


def test_shutdown_keeps_what_was_asked_for(client: Any, vm: Any) -> None:
    from apps.operations.models import Operation

    body = {"timeout_s": 20, "on_timeout": "power-off"}
    operation = client.post(url(vm, "shutdown/"), body, format="json").json()["operation"]
    assert Operation.objects.get(pk=operation["id"]).params == body


@pytest.mark.usefixtures("without_trash")
def test_delete(client: Any, vm: Any) -> None:
    response = client.delete(url(vm))
    assert response.status_code == 202
    found = response.json()
    assert found["operation"]["kind"] == "vm.delete"
    assert found["vm"]["status"] == "deleting"
    assert response["Location"] == f"/api/v1/operations/{found['operation']['id']}/"


@pytest.mark.usefixtures("without_trash")
def test_delete_asks_the_active_operation_to_stop(client: Any, vm: Any) -> None:
    from apps.operations.models import Operation

    active = client.post(url(vm, "start/"), {}, format="json").json()["operation"]
    deletion = client.delete(url(vm)).json()["operation"]
    assert Operation.objects.get(pk=active["id"]).cancel_requested
    found = problem_of(client.delete(url(vm)), 409, "operation.in_the_way")
    assert found["operation"] == deletion["id"]
    problem_of(client.post(f"/api/v1/operations/{deletion['id']}/cancel/"), 409, "operation.not_cancellable")


def test_protection_is_taken_off_first(client: Any, vm: Any) -> None:
    client.patch(url(vm), {"protected": True}, format="json")
    before = rows()
    problem_of(client.delete(url(vm)), 409, "vm.protected")
    problem_of(client.delete(f"{url(vm)}?dry_run=true"), 409, "vm.protected")
    assert rows() == before
    client.patch(url(vm), {"protected": False}, format="json")
    assert client.delete(url(vm)).status_code == 202


def test_a_delete_with_a_body_is_not_what_was_meant(client: Any, vm: Any) -> None:
    problem_of(client.delete(url(vm), {"keep_disk": True}, format="json"), 400, field="keep_disk")
    vm.refresh_from_db()
    assert vm.phase == "ready"


def test_foreign_and_missing_are_the_same(client: Any, vm: Any, api_for: Any, other: Any) -> None:
    stranger = api_for(other)
    missing = uuid.uuid4()
    before = rows()
    for method, verb in [
        ("get", ""),
        ("patch", ""),
        ("delete", ""),
        ("post", "rename/"),
        *(("post", f"{verb}/") for verb in VERBS),
    ]:
        body = {"name": "x"} if verb == "rename/" else {}
        foreign = getattr(stranger, method)(url(vm, verb), body, format="json")
        absent = getattr(stranger, method)(f"/api/v1/vms/{missing}/{verb}", body, format="json")
        assert problem_of(foreign, 404, "vm.not_found") == problem_of(absent, 404)
    assert rows() == before
