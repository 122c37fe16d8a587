"""Snapshots: take, list, revert, delete, as the API answers and writes it."""

from typing import Any

import pytest

from tests.api.answers import everything, problem_of

SNAPSHOTS = "/api/v1/snapshots/"


@pytest.fixture
def client(api_for: Any, member: Any) -> Any:
    return api_for(member)


@pytest.fixture
def vm(member: Any, make_vm: Any, host: Any) -> Any:
    return make_vm(member, "web-1", host=host)


def take(client: Any, vm: Any, **body: Any) -> Any:
    return client.post(f"/api/v1/vms/{vm.pk}/snapshots/", {"name": "before", **body}, format="json")


@pytest.mark.parametrize(("power", "memory"), [("running", True), ("paused", True), ("shutoff", False)])
def test_memory_follows_whether_it_is_on(client: Any, vm: Any, power: str, memory: bool) -> None:
    type(vm).objects.filter(pk=vm.pk).update(power=power)
    answer = take(client, vm)
    assert answer.status_code == 202, answer.content
    shown, operation = answer.json()["snapshot"], answer.json()["operation"]
    assert (shown["memory"], shown["status"], shown["power"], shown["quiesced"]) == (memory, "creating", power, False)
    assert (shown["vcpus"], shown["memory_mib"], shown["disk_gib"]) == (1, 256, 2)
    assert (operation["kind"], operation["target"]["id"]) == ("snapshot.create", str(vm.pk))
    assert answer["Location"] == f"/api/v1/operations/{operation['id']}/"


@pytest.mark.parametrize(
    ("power", "memory", "status", "code"),
    [
        ("running", False, 422, "snapshot.needs_stop"),
        ("paused", False, 422, "snapshot.needs_stop"),
        ("shutoff", True, 422, "snapshot.needs_running"),
        ("unknown", None, 409, "vm.power_unknown"),
    ],
)
def test_what_cannot_be_taken(client: Any, vm: Any, power: str, memory: bool | None, status: int, code: str) -> None:
    type(vm).objects.filter(pk=vm.pk).update(power=power)
    before = everything()
    body = {} if memory is None else {"memory": memory}
    problem_of(take(client, vm, **body), status, code, "memory" if status == 422 else None)
    assert everything() == before


def test_a_vm_with_uefi_is_stopped_first(client: Any, vm: Any) -> None:
    type(vm).objects.filter(pk=vm.pk).update(firmware="uefi")
    problem_of(take(client, vm), 422, "snapshot.uefi", "memory")
    type(vm).objects.filter(pk=vm.pk).update(power="shutoff")
    assert take(client, vm).status_code == 202


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"name": "Upper"}, 422, "name"),
        ({"name": "a/../b"}, 422, "name"),
        ({"name": "<b>x</b>"}, 422, "name"),
        ({"name": ""}, 422, "name"),
        ({"name": "x" * 64}, 422, "name"),
        ({"name": None}, 400, "name"),
        ({"memory": "yes"}, 400, "memory"),
        ({"memory": None}, 400, "memory"),
        ({"host_name": "cs-x"}, 400, "host_name"),
        ({"parent": "x"}, 400, "parent"),
        ({"foreign": False}, 400, "foreign"),
    ],
)
def test_nonsense(client: Any, vm: Any, body: dict[str, Any], status: int, field: str) -> None:
    before = everything()
    problem_of(take(client, vm, **body), status, field=field)
    assert everything() == before


def test_a_name_is_unique_for_each_vm(client: Any, vm: Any, member: Any, make_vm: Any, make_snapshot: Any) -> None:
    make_snapshot(vm)
    make_snapshot(make_vm(member, "web-2"), "other", foreign=True)
    problem_of(take(client, vm), 422, "snapshot.name_taken", "name")
    assert take(client, vm, name="other").status_code == 202


def test_the_most_of_one_vm(client: Any, vm: Any, make_snapshot: Any, settings: Any) -> None:
    """Foreign ones take room too, so they count."""
    settings.SNAPSHOTS_PER_VM = 2
    make_snapshot(vm, "one", foreign=True)
    assert take(client, vm, name="two").status_code == 202
    vm.snapshots.filter(name="two").update(phase="ready")
    type(vm).objects.get(pk=vm.pk)
    from apps.operations.models import Operation

    Operation.objects.all().delete()
    found = problem_of(take(client, vm, name="three"), 409, "snapshot.limit")
    assert "2 is the most" in found["detail"]


@pytest.mark.parametrize("values", [{"phase": "creating"}, {"phase": "deleting"}, {"missing": True}])
def test_a_vm_that_is_not_ready(client: Any, vm: Any, values: dict[str, Any], make_snapshot: Any) -> None:
    snapshot = make_snapshot(vm)
    type(vm).objects.filter(pk=vm.pk).update(**values)
    code = "vm.missing" if "missing" in values else "vm.not_ready"
    problem_of(take(client, vm, name="new"), 409, code)
    problem_of(client.post(f"{SNAPSHOTS}{snapshot.pk}/revert/"), 409, code)
    problem_of(client.delete(f"{SNAPSHOTS}{snapshot.pk}/"), 409, code)


def test_a_busy_vm_names_what_is_in_the_way(client: Any, vm: Any, make_snapshot: Any) -> None:
    snapshot = make_snapshot(vm)
    busy = client.post(f"/api/v1/vms/{vm.pk}/reboot/").json()["operation"]["id"]
    before = everything()
    for answer in (
        take(client, vm, name="new"),
        client.post(f"{SNAPSHOTS}{snapshot.pk}/revert/"),
        client.delete(f"{SNAPSHOTS}{snapshot.pk}/"),
    ):
        assert problem_of(answer, 409)["operation"] == busy
    assert everything() == before


def test_an_external_one_of_somebody_else_is_in_the_way(client: Any, vm: Any, make_snapshot: Any) -> None:
    make_snapshot(vm, "theirs", foreign=True, external=True)
    problem_of(take(client, vm), 409, "snapshot.external_exists")


def test_what_was_made_on_the_host_is_shown_and_left_alone(client: Any, vm: Any, make_snapshot: Any) -> None:
    theirs = make_snapshot(vm, "Somebody's <b>", foreign=True, disk_gib=None)
    shown = client.get(f"{SNAPSHOTS}{theirs.pk}/").json()
    assert (shown["name"], shown["foreign"], shown["disk_gib"]) == ("Somebody's <b>", True, None)
    before = everything()
    problem_of(client.post(f"{SNAPSHOTS}{theirs.pk}/revert/"), 409, "snapshot.foreign")
    problem_of(client.delete(f"{SNAPSHOTS}{theirs.pk}/"), 409, "snapshot.foreign")
    assert everything() == before


def test_a_revert_says_before_and_after_and_claims_both(client: Any, vm: Any, host: Any, make_snapshot: Any) -> None:
    snapshot = make_snapshot(vm, vcpus=2, memory_mib=512, max_memory_mib=512, disk_gib=1, power="shutoff", memory=False)
    url = f"{SNAPSHOTS}{snapshot.pk}/revert/"
    plan = client.post(f"{url}?dry_run=true").json()["plan"]
    assert plan["reversible"] is False
    for line in (
        "number of vCPUs 1 -> 2",
        "memory 256 MiB -> 512 MiB",
        "disk 2 GiB -> 1 GiB",
        "it is off, as it was then",
    ):
        assert line in plan["changes"]
    host.refresh_from_db()
    assert (host.vcpus_claimed, host.disk_claimed_gib) == (1, 2)
    assert client.post(url).status_code == 202
    host.refresh_from_db()
    vm.refresh_from_db()
    assert (host.vcpus_claimed, host.memory_claimed_mib, host.disk_claimed_gib) == (2, 512 + 64, 2)
    assert (vm.desired_power, vm.vcpus, vm.disk_gib) == ("off", 1, 2)


@pytest.mark.parametrize("field", ["vcpus", "max_memory_mib", "disk_gib"])
def test_a_revert_that_does_not_fit_is_a_conflict(client: Any, vm: Any, make_snapshot: Any, field: str) -> None:
    snapshot = make_snapshot(vm, **{field: 10**6})
    before = everything()
    problem_of(client.post(f"{SNAPSHOTS}{snapshot.pk}/revert/"), 409, "snapshot.no_room")
    assert everything() == before


@pytest.mark.parametrize("phase", ["creating", "deleting", "error"])
def test_only_a_complete_one_can_be_reverted_to(client: Any, vm: Any, make_snapshot: Any, phase: str) -> None:
    snapshot = make_snapshot(vm, phase=phase)
    problem_of(client.post(f"{SNAPSHOTS}{snapshot.pk}/revert/"), 409, "snapshot.not_ready")


def test_delete_says_what_happens_to_what_is_below(client: Any, vm: Any, make_snapshot: Any) -> None:
    root = make_snapshot(vm, "root")
    middle = make_snapshot(vm, "middle", parent=root)
    make_snapshot(vm, "leaf", parent=middle, current=True)
    plan = client.delete(f"{SNAPSHOTS}{middle.pk}/?dry_run=true").json()["plan"]
    assert "move what was taken after it (1) below root" in plan["changes"]
    assert "web-1 stays as it is: 1 vCPU, 256 MiB memory, 2 GiB disk" in plan["changes"]
    answer = client.delete(f"{SNAPSHOTS}{middle.pk}/")
    assert (answer.status_code, answer.json()["snapshot"]["status"]) == (202, "deleting")


def test_lists_and_filters(
    client: Any, vm: Any, member: Any, other: Any, make_vm: Any, make_snapshot: Any, django_assert_num_queries: Any
) -> None:
    second = make_vm(member, "web-2")
    first = make_snapshot(vm, "one")
    make_snapshot(vm, "two", parent=first, current=True, phase="error", reason="no space")
    make_snapshot(second, "three", foreign=True)
    make_snapshot(make_vm(other, "web-1"), "hidden")

    def names(query: str) -> list[str]:
        answer = client.get(f"/api/v1/{query}")
        assert answer.status_code == 200, answer.content
        return [item["name"] for item in answer.json()["results"]]

    with django_assert_num_queries(1):
        assert names("snapshots/") == ["three", "two", "one"]
    assert names(f"vms/{vm.pk}/snapshots/") == ["two", "one"]
    for query, expected in {
        f"vm={vm.pk}": ["two", "one"],
        "vm=web-2": ["three"],
        "name=one": ["one"],
        "status=error": ["two"],
        "foreign=true": ["three"],
        "current=true": ["two"],
        "ordering=name": ["one", "three", "two"],
        "limit=1": ["three"],
    }.items():
        assert names(f"snapshots/?{query}") == expected, query
    shown = client.get("/api/v1/snapshots/?name=two").json()["results"][0]
    assert (shown["parent"], shown["vm"], shown["vm_name"]) == (str(first.pk), str(vm.pk), "web-1")
    problem_of(client.get("/api/v1/snapshots/?colour=red"), 422, "request.unknown_filter", "colour")
    problem_of(client.get("/api/v1/snapshots/?status=red"), 422, "request.filter", "status")
    problem_of(client.get("/api/v1/snapshots/?ordering=reason"), 422, "request.ordering", "ordering")


def test_the_last_room_of_a_vm_in_parallel_is_given_once(client: Any, vm: Any, settings: Any) -> None:
    """The VM's row is locked, and only one operation may be active on it."""
    settings.SNAPSHOTS_PER_VM = 1
    assert take(client, vm).status_code == 202
    problem_of(take(client, vm, name="second"), 409)
    assert vm.snapshots.count() == 1


def test_a_key_makes_it_once(client: Any, vm: Any) -> None:
    key = {"HTTP_IDEMPOTENCY_KEY": "abc"}
    url = f"/api/v1/vms/{vm.pk}/snapshots/"
    first = client.post(url, {"name": "before"}, format="json", **key)
    again = client.post(url, {"name": "before"}, format="json", **key)
    assert (first.status_code, first.json()) == (202, again.json())
    assert vm.snapshots.count() == 1
