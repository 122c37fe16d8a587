"""``POST vms/``: what is accepted, and every way of being wrong with the field it names."""

import uuid
from typing import Any

import pytest

from tests.api.answers import problem_of, rows


@pytest.fixture
def client(api_for: Any, member: Any) -> Any:
    return api_for(member)


def test_it_answers_202_with_the_vm_and_its_operation(client: Any, new_vm: dict[str, Any]) -> None:
    response = client.post("/api/v1/vms/", new_vm, format="json")

    assert response.status_code == 202
    assert set(response.data) == {"vm", "operation"}
    vm, operation = response.json()["vm"], response.json()["operation"]
    assert response["Location"] == f"/api/v1/operations/{operation['id']}/"
    assert client.get(response["Location"]).json() == operation
    assert client.get(f"/api/v1/vms/{vm['id']}/").json() == vm
    assert {
        key: vm[key] for key in ("name", "status", "power", "desired_power", "host", "size", "vcpus", "memory_mib")
    } == {
        "name": "web-1",
        "status": "creating",
        "power": "unknown",
        "desired_power": "on",
        "host": None,
        "size": None,
        "vcpus": 1,
        "memory_mib": 256,
    }
    assert vm["image"] == "tiny"
    assert vm["addresses"] == []
    assert (vm["protected"], vm["start_on_boot"], vm["tags"]) == (False, True, [])
    assert operation["kind"] == "vm.create"
    assert operation["status"] == "queued"
    assert operation["target"] == {"type": "vm", "id": vm["id"], "name": "web-1"}
    assert operation["error"] is None


def test_documented_members_are_there(client: Any, new_vm: dict[str, Any]) -> None:
    found = client.post("/api/v1/vms/", new_vm, format="json").json()
    vm = "id name status power observed_at desired_power host size vcpus memory_mib disk_gib image addresses protected"
    operation = "id kind target status step progress error run_after created_at started_at finished_at"
    assert set(found["vm"]) >= {*vm.split(), "start_on_boot", "tags", "created_at"}
    assert set(found["operation"]) >= set(operation.split())


def test_a_size_brings_its_numbers(client: Any, new_vm: dict[str, Any]) -> None:
    body = {"name": "web-1", "image": new_vm["image"], "size": "s-1vcpu-512mb"}
    vm = client.post("/api/v1/vms/", body, format="json").json()["vm"]
    assert (vm["size"], vm["vcpus"], vm["memory_mib"]) == ("s-1vcpu-512mb", 1, 512)


def test_references_are_names_or_ids(client: Any, new_vm: dict[str, Any], image: Any, make_key: Any) -> None:
    from apps.compute.models import VM

    key = make_key(client.handler._force_user)
    for name, image_reference, key_reference in (
        ("by-name", "tiny", "laptop"),
        ("by-id", str(image.pk), str(key.pk)),
        ("by-hex", image.pk.hex.upper(), key.pk.hex),
    ):
        body = {**new_vm, "name": name, "image": image_reference, "ssh_keys": [key_reference]}
        assert client.post("/api/v1/vms/", body, format="json").status_code == 202
        assert VM.objects.get(name=name).ssh_keys == [key.public_key]


def test_user_data_is_kept_byte_for_byte(client: Any, new_vm: dict[str, Any], cloud_image: Any) -> None:
    from apps.compute.models import VM

    text = "#!/bin/sh\r\n  \nprintf '\\u0000 \\x00 ü  '\t\n\n \n"
    response = client.post("/api/v1/vms/", {**new_vm, "user_data": text}, format="json")
    assert response.status_code == 202
    assert VM.objects.get().user_data == text
    assert "user_data" not in response.json()["vm"]


def test_an_image_without_cloud_init_takes_no_user_data(client: Any, new_vm: dict[str, Any]) -> None:
    response = client.post("/api/v1/vms/", {**new_vm, "user_data": "#cloud-config\n{}"}, format="json")
    problem_of(response, 422, "user_data.no_cloud_init", "user_data")


NOT_A_NAME = "name.invalid"
WRONG: list[tuple[str, dict[str, Any], int, str, str]] = [
    ("unknown image", {"image": "nothing"}, 422, "image.unknown", "image"),
    ("unknown image id", {"image": str(uuid.UUID(int=7))}, 422, "image.unknown", "image"),
    ("unknown key", {"ssh_keys": ["nobodys"]}, 422, "ssh_key.unknown", "ssh_keys"),
    ("size and numbers", {"size": "s-1vcpu-512mb"}, 422, "vm.size_and_numbers", "vcpus"),
    ("no cpus", {"vcpus": 0}, 422, "vm.out_of_range", "vcpus"),
    ("negative memory", {"memory_mib": -1}, 422, "vm.out_of_range", "memory_mib"),
    ("too little memory", {"memory_mib": 1}, 422, "vm.out_of_range", "memory_mib"),
    ("too much disk", {"disk_gib": 2**63}, 422, "vm.out_of_range", "disk_gib"),
    ("many tags", {"tags": [f"t{n}" for n in range(21)]}, 422, "request.refused", "tags"),
    ("comma in tag", {"tags": ["a,b"]}, 422, "vm.tags", "tags"),
    ("long tag", {"tags": ["x" * 64]}, 422, "vm.tags", "tags"),
    ("empty tag", {"tags": [""]}, 422, "request.refused", "tags.0"),
    ("no cloud-config", {"user_data": "hello"}, 422, "user_data.header", "user_data"),
    ("text for a number", {"vcpus": "1"}, 400, "request.malformed", "vcpus"),
    ("fraction", {"memory_mib": 256.5}, 400, "request.malformed", "memory_mib"),
    ("true for a number", {"vcpus": True}, 400, "request.malformed", "vcpus"),
    ("null", {"disk_gib": None}, 400, "request.malformed", "disk_gib"),
    ("number for a name", {"name": 7}, 400, "request.malformed", "name"),
    ("text for a list", {"tags": "a"}, 400, "request.malformed", "tags"),
    ("number in a list", {"ssh_keys": [7]}, 400, "request.malformed", "ssh_keys.0"),
    ("text for a boolean", {"start_on_boot": "yes"}, 400, "request.malformed", "start_on_boot"),
    ("unknown field", {"owner": "admin"}, 400, "request.malformed", "owner"),
    ("read-only field", {"id": str(uuid.UUID(int=1))}, 400, "request.malformed", "id"),
    ("derived field", {"status": "running"}, 400, "request.malformed", "status"),
]


@pytest.mark.parametrize(
    ("change", "status", "code", "field"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
def test_wrong_values_name_their_field(
    client: Any, new_vm: dict[str, Any], change: dict[str, Any], status: int, code: str, field: str
) -> None:
    before = rows()
    problem_of(client.post("/api/v1/vms/", {**new_vm, **change}, format="json"), status, code, field)
    assert rows() == before


@pytest.mark.parametrize("missing", ["name", "image"])
def test_missing_fields_are_named(client: Any, new_vm: dict[str, Any], missing: str) -> None:
    del new_vm[missing]
    problem_of(client.post("/api/v1/vms/", new_vm, format="json"), 400, "request.malformed", missing)


@pytest.mark.parametrize("missing", ["vcpus", "memory_mib", "disk_gib"])
def test_numbers_belong_together(client: Any, new_vm: dict[str, Any], missing: str) -> None:
    del new_vm[missing]
    problem_of(client.post("/api/v1/vms/", new_vm, format="json"), 422, "vm.size_missing", missing)


def test_an_unknown_size_lists_the_known_ones(client: Any, image: Any, host: Any) -> None:
    body = {"name": "web-1", "image": "tiny", "size": "huge"}
    found = problem_of(client.post("/api/v1/vms/", body, format="json"), 422, "size.unknown", "size")
    assert "s-1vcpu-512mb" in found["detail"]


def test_several_wrong_fields_are_named_at_once(client: Any, new_vm: dict[str, Any]) -> None:
    response = client.post("/api/v1/vms/", {**new_vm, "vcpus": "x", "tags": 1, "colour": "red"}, format="json")
    found = problem_of(response, 400, "request.malformed")
    assert {error["field"] for error in found["errors"]} == {"vcpus", "tags", "colour"}


def test_a_disk_must_hold_its_image(client: Any, new_vm: dict[str, Any], image: Any) -> None:
    image.virtual_size_bytes = 5 * 2**30
    image.min_memory_mib = 512
    image.save()
    answer = client.post("/api/v1/vms/", new_vm, format="json")
    problem_of(answer, 422, "vm.disk_too_small", "disk_gib")
    answer = client.post("/api/v1/vms/", {**new_vm, "disk_gib": 5}, format="json")
    problem_of(answer, 422, "vm.memory_too_small", "memory_mib")


def test_a_foreign_key_is_as_unknown_as_none(client: Any, new_vm: dict[str, Any], other: Any, make_key: Any) -> None:
    foreign = make_key(other, "theirs")
    answers = [
        problem_of(
            client.post("/api/v1/vms/", {**new_vm, "ssh_keys": [reference]}, format="json"), 422, "ssh_key.unknown"
        )
        for reference in ("theirs", str(foreign.pk), "nothing", str(uuid.UUID(int=3)))
    ]
    assert all(answer == answers[0] for answer in answers)


def test_a_name_is_unique_per_person(client: Any, new_vm: dict[str, Any], api_for: Any, other: Any) -> None:
    assert client.post("/api/v1/vms/", new_vm, format="json").status_code == 202
    problem_of(client.post("/api/v1/vms/", new_vm, format="json"), 422, "vm.name_taken", "name")
    assert api_for(other).post("/api/v1/vms/", new_vm, format="json").status_code == 202


def test_only_admins_choose_the_host(
    client: Any, new_vm: dict[str, Any], api_for: Any, admin: Any, make_host: Any
) -> None:
    from apps.operations.models import Operation

    second = make_host("h2")
    problem_of(client.post("/api/v1/vms/", {**new_vm, "host": "h2"}, format="json"), 403, "host.admin_only")
    boss = api_for(admin)
    problem_of(boss.post("/api/v1/vms/", {**new_vm, "host": "h9"}, format="json"), 422, "host.unknown", "host")
    for name, reference in (("a", "h2"), ("b", str(second.pk))):
        response = boss.post("/api/v1/vms/", {**new_vm, "name": name, "host": reference}, format="json")
        assert response.status_code == 202
        assert Operation.objects.get(pk=response.json()["operation"]["id"]).params["host"] == str(second.pk)


def test_no_host_fits_says_what_each_lacks(
    client: Any, new_vm: dict[str, Any], make_host: Any, api_for: Any, admin: Any
) -> None:
    make_host("closed", enabled=False)
    make_host("down", status="unreachable", reason="No answer.")
    make_host("small", cpus=1, memory_mib=1100)
    make_host("arm", architectures=["aarch64"])
    before = rows()
    body = {**new_vm, "memory_mib": 100_000}

    seen = problem_of(api_for(admin).post("/api/v1/vms/", body, format="json"), 422, "placement.no_host_fits")
    for part in ("h1: ", "MiB short of memory", "closed: closed for new VMs", "down: ", "arm: cannot run x86_64"):
        assert part in seen["detail"]
    problem_of(client.post("/api/v1/vms/", body, format="json"), 422, "placement.no_host_fits")
    assert rows() == before


def test_no_host_at_all(client: Any, image: Any) -> None:
    body = {"name": "web-1", "image": "tiny", "size": "s-1vcpu-512mb"}
    found = problem_of(client.post("/api/v1/vms/", body, format="json"), 422, "placement.no_host_fits")
    assert "no host yet" in found["detail"]
