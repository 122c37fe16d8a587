"""Another size and a new root disk: what is accepted, refused and planned."""

from typing import Any

import pytest

from tests.api.answers import everything, problem_of


@pytest.fixture
def client(api_for: Any, member: Any) -> Any:
    return api_for(member)


@pytest.fixture
def vm(member: Any, make_vm: Any, host: Any) -> Any:
    """One vCPU, 256 MiB and 2 GiB on a host with room, running, claimed."""
    from apps.hosts.capacity import capacity_claim

    made = make_vm(member, "web-1", host=host)
    assert capacity_claim(host_id=host.pk, consumer_id=made.pk, label="web-1", demand=made.demand)
    return made


@pytest.fixture
def off(vm: Any) -> Any:
    vm.power = "shutoff"
    vm.save()
    return vm


def ask(client: Any, vm: Any, body: Any, query: str = "", verb: str = "resize") -> Any:
    return client.post(f"/api/v1/vms/{vm.pk}/{verb}/{query}", body, format="json")


def test_it_is_an_operation_with_the_numbers_as_they_shall_be(client: Any, off: Any) -> None:
    from apps.operations.models import Operation

    found = ask(client, off, {"vcpus": 2, "disk_gib": 4}).json()
    assert found["operation"]["kind"] == "vm.resize"
    assert (found["vm"]["vcpus"], found["vm"]["max_vcpus"]) == (1, 1)  # until it is done
    numbers = Operation.objects.get(pk=found["operation"]["id"]).params["numbers"]
    assert (numbers["vcpus"], numbers["memory_mib"], numbers["disk_gib"]) == (2, 256, 4)


def test_the_plan_says_whether_it_can_be_undone(client: Any, off: Any) -> None:
    plan = ask(client, off, {"vcpus": 2}, "?dry_run=true").json()["plan"]
    assert plan == {
        "host": None,
        "changes": ["change vCPUs from 1 to 2", "claim 1 vCPU more on its host"],
        "restart_needed": False,
        "reversible": True,
    }
    plan = ask(client, off, {"disk_gib": 3}, "?dry_run=true").json()["plan"]
    assert plan["reversible"] is False
    assert "never shrinks" in plan["changes"][0]


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"disk_gib": 1}, 422, "vm.disk_shrinks", "disk_gib"),
        ({}, 422, "vm.same_size", None),
        ({"vcpus": 1}, 422, "vm.same_size", None),
        ({"vcpus": 0}, 422, "vm.out_of_range", "vcpus"),
        ({"vcpus": -1}, 422, "vm.out_of_range", "vcpus"),
        ({"memory_mib": 10**30}, 422, "vm.out_of_range", "memory_mib"),
        ({"disk_gib": 65537}, 422, "vm.out_of_range", "disk_gib"),
        ({"max_vcpus": 257}, 422, "vm.out_of_range", "max_vcpus"),
        ({"vcpus": 4, "max_vcpus": 2}, 422, "vm.maximum_too_small", "max_vcpus"),
        ({"max_memory_mib": 128}, 422, "vm.maximum_too_small", "max_memory_mib"),
        ({"size": "none"}, 422, "size.unknown", "size"),
        ({"size": "s-1vcpu-512mb", "vcpus": 2}, 422, "vm.size_and_numbers", "vcpus"),
        ({"vcpus": 65}, 422, "vm.no_room", "vcpus"),
        ({"memory_mib": 32768}, 422, "vm.no_room", "memory_mib"),
        ({"disk_gib": 1001}, 422, "vm.no_room", "disk_gib"),
        ({"vcpus": "2"}, 400, "request.malformed", "vcpus"),
        ({"vcpus": 1.5}, 400, "request.malformed", "vcpus"),
        ({"vcpus": True}, 400, "request.malformed", "vcpus"),
        ({"vcpus": None}, 400, "request.malformed", "vcpus"),
        ({"host": "h1"}, 400, "request.malformed", "host"),
    ],
)
def test_what_is_refused(client: Any, off: Any, body: Any, status: int, code: str, field: str | None) -> None:
    before = everything()
    problem_of(ask(client, off, body), status, code, field)
    assert everything() == before


def test_a_smaller_size_of_the_catalogue_never_takes_disk_away(client: Any, off: Any) -> None:
    off.disk_gib = 400
    off.save()
    problem_of(ask(client, off, {"size": "s-1vcpu-512mb"}), 422, "vm.disk_shrinks", "size")


def test_a_running_one_is_told_what_needs_a_stop_and_what_does_not(client: Any, vm: Any) -> None:
    found = problem_of(
        ask(client, vm, {"vcpus": 2, "memory_mib": 128, "disk_gib": 3}), 409, "vm.resize_needs_stop", "vcpus"
    )
    assert found["live"] == ["memory_mib", "disk_gib"]
    assert [error["field"] for error in found["errors"]] == ["vcpus"]
    assert ask(client, vm, {"memory_mib": 128, "disk_gib": 3}).status_code == 202


def test_within_its_maxima_a_running_one_grows(client: Any, vm: Any) -> None:
    vm.max_vcpus, vm.max_memory_mib = 4, 512
    vm.save()
    assert ask(client, vm, {"vcpus": 4, "memory_mib": 512}, "?dry_run=true").status_code == 200
    problem_of(ask(client, vm, {"vcpus": 5}), 409, "vm.resize_needs_stop", "vcpus")
    problem_of(ask(client, vm, {"max_vcpus": 8}), 409, "vm.resize_needs_stop", "max_vcpus")
    vm.power = "paused"
    vm.save()
    problem_of(ask(client, vm, {"vcpus": 2}), 409, "vm.resize_needs_stop", "vcpus")
    assert ask(client, vm, {"disk_gib": 3}).status_code == 202


def test_room_to_grow_is_chosen_at_creation_and_its_memory_is_claimed(boss: Any, new_vm: Any, host: Any) -> None:
    found = boss.post("/api/v1/vms/?dry_run=true", new_vm | {"max_memory_mib": 1024}, format="json").json()
    assert "1024 MiB memory" in found["plan"]["changes"][0]
    problem_of(boss.post("/api/v1/vms/", new_vm | {"max_memory_mib": 10**6}, format="json"), 422)
    problem_of(
        boss.post("/api/v1/vms/", new_vm | {"max_memory_mib": 128}, format="json"),
        422,
        "vm.maximum_too_small",
        "max_memory_mib",
    )
    made = boss.post("/api/v1/vms/", new_vm | {"max_memory_mib": 1024, "max_vcpus": 2}, format="json").json()["vm"]
    assert (made["max_vcpus"], made["max_memory_mib"]) == (2, 1024)


class TestRebuild:
    @pytest.fixture
    def other_image(self, image: Any) -> Any:
        return type(image).objects.create(name="other", sha256="0" * 64, size_bytes=1, virtual_size_bytes=2**30)

    def test_it_is_planned_and_an_operation(self, client: Any, vm: Any, other_image: Any) -> None:
        body = {"image": "other"}
        plan = ask(client, vm, body, "?dry_run=true", "rebuild").json()["plan"]
        assert plan["reversible"] is False
        assert "destroy its disk" in plan["changes"][0]
        found = ask(client, vm, body, verb="rebuild").json()
        assert (found["operation"]["kind"], found["vm"]["image"]) == ("vm.rebuild", "tiny")

    def test_a_protected_one_is_left_alone(self, client: Any, vm: Any) -> None:
        vm.protected = True
        vm.save()
        problem_of(ask(client, vm, {"image": "tiny"}, verb="rebuild"), 409, "vm.protected")

    @pytest.mark.parametrize(
        ("values", "code"),
        [
            ({"virtual_size_bytes": 3 * 2**30}, "vm.disk_too_small"),
            ({"min_memory_mib": 512}, "vm.memory_too_small"),
            ({"architecture": "aarch64"}, "vm.other_architecture"),
            ({"firmware": "uefi"}, "vm.no_uefi"),
        ],
    )
    def test_an_image_that_does_not_fit(
        self, client: Any, vm: Any, other_image: Any, values: dict[str, Any], code: str
    ) -> None:
        type(other_image).objects.filter(pk=other_image.pk).update(**values)
        before = everything()
        problem_of(ask(client, vm, {"image": "other"}, verb="rebuild"), 422, code, "image")
        assert everything() == before

    def test_user_data_that_nobody_would_read(self, client: Any, vm: Any, other_image: Any) -> None:
        vm.user_data = "#cloud-config\n{}"
        vm.save()
        type(other_image).objects.filter(pk=other_image.pk).update(cloud_init=False)
        problem_of(ask(client, vm, {"image": "other"}, verb="rebuild"), 422, "user_data.no_cloud_init", "image")

    @pytest.mark.parametrize(("body", "status"), [({}, 400), ({"image": 7}, 400), ({"image": "none"}, 422)])
    def test_other_bodies(self, client: Any, vm: Any, body: Any, status: int) -> None:
        problem_of(ask(client, vm, body, verb="rebuild"), status, field="image")
