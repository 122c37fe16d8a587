"""Firmware, devices and architecture: from the image or the request, and refused at once where they do not fit."""

from typing import Any

import pytest

from tests.api.answers import problem_of, rows


@pytest.fixture
def client(api_for: Any, member: Any) -> Any:
    return api_for(member)


def machine(client: Any, body: dict[str, Any]) -> tuple[str, str, str]:
    response = client.post("/api/v1/vms/", body, format="json")
    assert response.status_code == 202, response.content
    vm = response.json()["vm"]
    assert client.get(f"/api/v1/vms/{vm['id']}/").json() == vm
    return vm["architecture"], vm["firmware"], vm["devices"]


def test_the_image_says_and_the_request_may_say_otherwise(
    client: Any, new_vm: dict[str, Any], image: Any, make_host: Any
) -> None:
    make_host("modern", uefi=["x86_64"])
    assert machine(client, new_vm) == ("x86_64", "bios", "virtio")
    image.firmware, image.devices = "uefi", "compatible"
    image.save()
    assert machine(client, {**new_vm, "name": "b"}) == ("x86_64", "uefi", "compatible")
    asked = {**new_vm, "name": "c", "firmware": "bios", "devices": "virtio"}
    assert machine(client, asked) == ("x86_64", "bios", "virtio")


def test_uefi_is_refused_at_once_where_no_host_has_it(client: Any, new_vm: dict[str, Any], make_host: Any) -> None:
    make_host("arm-only", uefi=["aarch64"])
    before = rows()
    refusal = client.post("/api/v1/vms/", {**new_vm, "firmware": "uefi"}, format="json")
    assert "no UEFI firmware for x86_64" in problem_of(refusal, 422, "placement.no_host_fits")["detail"]
    assert rows() == before


def test_arm_has_neither_bios_nor_old_devices(client: Any, new_vm: dict[str, Any], image: Any, make_host: Any) -> None:
    image.architecture = "aarch64"
    image.save()
    make_host("arm", architectures=["aarch64", "x86_64"], uefi=["aarch64"])
    assert machine(client, new_vm) == ("aarch64", "uefi", "virtio")
    for field, value, code in (("firmware", "bios", "vm.firmware"), ("devices", "compatible", "vm.devices")):
        body = {**new_vm, "name": "b", field: value}
        problem_of(client.post("/api/v1/vms/", body, format="json"), 422, code, field)


def test_another_architecture_needs_a_host_that_has_it(client: Any, new_vm: dict[str, Any], image: Any) -> None:
    image.architecture = "aarch64"
    image.save()
    refusal = problem_of(client.post("/api/v1/vms/", new_vm, format="json"), 422, "placement.no_host_fits")
    assert "cannot run aarch64" in refusal["detail"]


@pytest.mark.parametrize("field", ["firmware", "devices"])
@pytest.mark.parametrize(("value", "status"), [("efi", 422), ("", 422), (None, 400), (7, 400), (["uefi"], 400)])
def test_nonsense_names_its_field(client: Any, new_vm: dict[str, Any], field: str, value: Any, status: int) -> None:
    problem_of(client.post("/api/v1/vms/", {**new_vm, field: value}, format="json"), status, field=field)
