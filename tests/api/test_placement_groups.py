"""``placement-groups/``: whose they are, who joins them, and what keeps them."""

from typing import Any

import pytest

from apps.compute.models import VM
from apps.events.models import Event
from apps.hosts.models import Allocation, Host
from apps.placement.models import PlacementGroup, Reservation
from apps.placement.services import placement_claim, wish_of
from tests.api.answers import problem_of

GROUPS = "/api/v1/placement-groups/"
SIZE = {"vcpus": 1, "memory_mib": 256, "disk_gib": 2}


@pytest.fixture
def client(api_for: Any, member: Any, host: Host, make_host: Any, image: Any) -> Any:
    """Two hosts."""
    make_host("h2")
    return api_for(member)


def made(client: Any, name: str = "db", rule: str = "anti-affinity") -> Any:
    answer = client.post(GROUPS, {"name": name, "rule": rule}, format="json")
    assert answer.status_code == 201, answer.content
    return answer


def create(client: Any, name: str, **more: Any) -> Any:
    return client.post("/api/v1/vms/", {"name": name, "image": "tiny", **SIZE, **more}, format="json")


def place(name: str) -> str:
    """What a worker does first; the value is the host."""
    vm = VM.objects.get(name=name)
    wish = wish_of(chosen=None, demand=vm.demand, architecture=vm.architecture, group=vm.group)
    return placement_claim(consumer_id=vm.pk, consumer_name=name, owner_id=vm.owner_id, wish=wish).name


def test_a_group_from_its_creation_to_its_end(client: Any) -> None:
    answer = made(client)
    group = answer.json()
    assert (group["name"], group["rule"], group["owner"], group["members"]) == ("db", "anti-affinity", "member", [])
    assert answer["Location"] == f"{GROUPS}{group['id']}/"
    assert create(client, "db-1", group="db").json()["vm"]["group"] == "db"
    create(client, "db-2", group=group["id"])
    where = {name: place(name) for name in ("db-1", "db-2")}
    assert set(where.values()) == {"h1", "h2"}
    found = client.get(answer["Location"]).json()
    assert {member["name"]: member["host"] for member in found["members"]} == where
    assert {member["kind"] for member in found["members"]} == {"vm"}
    refusal = problem_of(create(client, "db-3", group="db"), 422, "placement.no_host_fits")
    assert "already runs db-1 of group db (anti-affinity)" in refusal["detail"]
    kept = problem_of(client.delete(answer["Location"]), 409, "placement_group.in_use")
    assert kept["used_by"] == ["db-1", "db-2"]
    assert kept["detail"] == "db-1, db-2 are in db, whose rule would be lost."
    VM.objects.all().delete()
    assert client.delete(answer["Location"]).status_code == 204
    kinds = Event.objects.filter(target_type="placement-group").order_by("pk").values_list("kind", flat=True)
    assert list(kinds) == ["placement-group.create", "placement-group.delete"]


def test_the_list_takes_no_more_queries_for_more_members(client: Any, django_assert_max_num_queries: Any) -> None:
    made(client, "soft", "soft-affinity")
    for number in range(3):
        made(client, f"db-{number}")
        create(client, f"vm-{number}", group=f"db-{number}")
        place(f"vm-{number}")
    with django_assert_max_num_queries(3):
        found = client.get(GROUPS).json()["results"]
    assert [(group["name"], len(group["members"])) for group in found] == [
        ("db-0", 1), ("db-1", 1), ("db-2", 1), ("soft", 0),
    ]  # fmt: skip
    assert [group["name"] for group in client.get(f"{GROUPS}?rule=soft-affinity").json()["results"]] == ["soft"]
    assert [vm["name"] for vm in client.get("/api/v1/vms/?group=db-1").json()["results"]] == ["vm-1"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "db", "rule": "antiaffinity"}, "rule"),
        ({"name": "db"}, "rule"),
        ({"name": "Db", "rule": "affinity"}, "name"),
        ({"name": "db", "rule": "affinity", "max": 3}, "max"),
        ({"name": "taken", "rule": "affinity"}, "name"),
    ],
)
def test_what_is_wrong_is_named(client: Any, body: dict[str, Any], field: str) -> None:
    made(client, "taken")
    answer = client.post(GROUPS, body, format="json")
    assert answer.status_code in (400, 422), answer.content
    assert answer.json()["errors"][0]["field"] == field
    assert PlacementGroup.objects.count() == 1


def test_somebody_elses_group_does_not_exist(client: Any, api_for: Any, admin: Any) -> None:
    """Nor does an administrator put their own machines into it, though they see it."""
    group = made(client).json()
    theirs = PlacementGroup.objects.create(owner=admin, name="of-admin", rule="affinity")
    boss = api_for(admin)
    for reference in ("of-admin", str(theirs.pk)):
        problem_of(create(client, "a", group=reference), 422, "placement_group.unknown", "group")
    problem_of(client.get(f"{GROUPS}{theirs.pk}/"), 404, "placement_group.not_found")
    problem_of(client.delete(f"{GROUPS}{theirs.pk}/"), 404, "placement_group.not_found")
    assert {found["name"] for found in boss.get(GROUPS).json()["results"]} == {"db", "of-admin"}
    for reference in ("db", group["id"]):
        problem_of(create(boss, "a", group=reference), 422, "placement_group.unknown", "group")
    assert not VM.objects.exists()


class TestReservations:
    @pytest.fixture
    def boss(self, client: Any, api_for: Any, admin: Any) -> Any:
        boss = api_for(admin)
        made(boss, "db", "anti-affinity")
        made(boss, "web", "affinity")
        return boss

    def test_a_batch_is_placed_together(self, boss: Any) -> None:
        wishes = [{"name": f"{group}-{number}", **SIZE, "group": group} for number in (1, 2) for group in ("db", "web")]
        answer = boss.post("/api/v1/placements/batch/", {"placements": wishes}, format="json")
        where = {item["name"]: item["placement"]["host_name"] for item in answer.json()["results"]}
        assert where["db-1"] != where["db-2"]
        assert where["web-1"] == where["web-2"]
        more = {"placements": [{"name": "db-3", **SIZE, "group": "db"}, {"name": "other", **SIZE}]}
        refusal = boss.post("/api/v1/placements/batch/", more, format="json")
        assert "of group db (anti-affinity)" in problem_of(refusal, 422, "placement.not_all_fit")["detail"]
        assert Allocation.objects.count() == 4
        unknown = {"placements": [{"name": "x", **SIZE, "group": "bd"}]}
        problem_of(boss.post("/api/v1/placements/batch/", unknown, format="json"), 422, "placement_group.unknown")

    def test_the_vm_that_takes_one_is_of_its_group(self, boss: Any) -> None:
        held = boss.post("/api/v1/placements/", {"name": "db-1", **SIZE, "group": "db"}, format="json").json()
        group = PlacementGroup.objects.get(name="db")
        in_use = problem_of(boss.delete(f"{GROUPS}{group.pk}/"), 409, "placement_group.in_use")
        assert in_use["used_by"] == ["the reservation db-1"]
        refusal = create(boss, "db-1", placement=held["id"], group="db")
        problem_of(refusal, 422, "placement.and_group", "group")
        assert create(boss, "db-1", placement=held["id"]).json()["vm"]["group"] == "db"
        assert (VM.objects.get().group, Reservation.objects.count()) == (group, 0)
        (one,) = boss.get(f"{GROUPS}{group.pk}/").json()["members"]
        assert (one["id"], one["kind"]) == (held["consumer_id"], "vm")

    def test_not_with_a_group_of_somebody_else(self, boss: Any, api_for: Any, make_user: Any) -> None:
        held = boss.post("/api/v1/placements/", {"name": "db-1", **SIZE, "group": "db"}, format="json").json()
        other = api_for(make_user("other", role="admin"))
        refusal = problem_of(create(other, "db-1", placement=held["id"]), 422, "placement.does_not_suit", "placement")
        assert refusal["detail"] == "The room is of the group db, which is somebody else's."

    def test_explain_names_the_member(self, boss: Any) -> None:
        boss.post("/api/v1/placements/", {"name": "db-1", **SIZE, "group": "db"}, format="json")
        told = boss.post("/api/v1/placements/explain/", {**SIZE, "group": "db"}, format="json").json()
        assert told["best"] == "h2"
        assert told["verdicts"][1]["words"] == "h1 rejected: already runs db-1 of group db (anti-affinity)"
        assert told["removed"] == [{"filter": "anti-affinity", "hosts": 1}]
        refusal = boss.post("/api/v1/placements/explain/", {**SIZE, "group": "nobody"}, format="json")
        problem_of(refusal, 422, "placement_group.unknown", "group")


def test_a_plan_names_the_group_and_writes_nothing(client: Any) -> None:
    made(client)
    plan = client.post(
        "/api/v1/vms/?dry_run=true", {"name": "db-1", "image": "tiny", **SIZE, "group": "db"}, format="json"
    ).json()["plan"]
    assert "have it in the group db (anti-affinity)" in plan["changes"]
    assert not VM.objects.exists()


def test_a_clone_is_in_no_group(client: Any, make_vm: Any, member: Any, host: Host) -> None:
    made(client)
    group = PlacementGroup.objects.get()
    origin = make_vm(member, "db-1", host=host, power="shutoff", group=group)
    plan = client.post(f"/api/v1/vms/{origin.pk}/clone/?dry_run=true", {"name": "copy"}, format="json").json()["plan"]
    assert plan["changes"][-1] == "leave it out of the group db"
    answer = client.post(f"/api/v1/vms/{origin.pk}/clone/", {"name": "copy"}, format="json")
    assert answer.json()["vm"]["group"] is None


def test_a_renamed_member_is_told_by_its_new_name(client: Any) -> None:
    made(client)
    create(client, "db-1", group="db")
    place("db-1")
    vm = VM.objects.get()
    client.post(f"/api/v1/vms/{vm.pk}/rename/", {"name": "primary"}, format="json")
    assert [member["name"] for member in client.get(GROUPS).json()["results"][0]["members"]] == ["primary"]


class TestJoinAndLeave:
    """``PATCH vms/{id}/ {"group": …}``: where it is now, or not at all."""

    @pytest.fixture
    def vms(self, client: Any, member: Any) -> dict[str, VM]:
        """Three machines that run: two on one host, one on the other."""
        found = {}
        for name, host in (("a", "h1"), ("b", "h1"), ("c", "h2")):
            create(client, name)
            VM.objects.filter(name=name).update(phase="ready", power="running", host=Host.objects.get(name=host))
            vm = VM.objects.get(name=name)
            wish = wish_of(chosen=None, demand=vm.demand, architecture=vm.architecture, host_id=vm.host_id)
            placement_claim(consumer_id=vm.pk, consumer_name=name, owner_id=vm.owner_id, wish=wish)
            found[name] = vm
        return found

    def patch(self, client: Any, vm: VM, group: Any, **more: Any) -> Any:
        return client.patch(f"/api/v1/vms/{vm.pk}/", {"group": group, **more}, format="json")

    def members(self, client: Any, name: str) -> list[str]:
        (group,) = (item for item in client.get(GROUPS).json()["results"] if item["name"] == name)
        return [member["name"] for member in group["members"]]

    def test_a_rule_that_holds_where_it_is(self, client: Any, vms: dict[str, VM]) -> None:
        made(client, "apart")
        made(client, "close", "affinity")
        assert self.patch(client, vms["a"], "apart", tags=["x"]).json()["group"] == "apart"
        broken = problem_of(self.patch(client, vms["b"], "apart"), 409, "placement_group.rule")
        assert broken["detail"] == "b is on h1, and so is a of apart (anti-affinity)."
        assert self.patch(client, vms["c"], "apart").status_code == 200
        assert self.members(client, "apart") == ["a", "c"]
        assert self.patch(client, vms["b"], "close").status_code == 200
        broken = problem_of(self.patch(client, vms["c"], "close"), 409, "placement_group.rule")
        assert broken["detail"] == "c is on h2, and close on h1 (affinity)."
        assert self.patch(client, vms["a"], "close").json()["group"] == "close"
        assert (self.members(client, "apart"), self.members(client, "close")) == (["c"], ["a", "b"])

    def test_leaving_and_saying_the_same_again(self, client: Any, vms: dict[str, VM]) -> None:
        made(client)
        self.patch(client, vms["a"], "db")
        before = Event.objects.count()
        assert self.patch(client, vms["a"], "db").status_code == 200
        assert Event.objects.count() == before
        assert self.patch(client, vms["a"], None).json()["group"] is None
        assert self.members(client, "db") == []
        last = Event.objects.order_by("pk").last()
        assert last is not None and (last.kind, last.message) == ("vm.group", "Left the placement group db")
        assert self.patch(client, vms["b"], "db").status_code == 200

    def test_a_soft_rule_takes_any(self, client: Any, vms: dict[str, VM]) -> None:
        made(client, "soft", "soft-anti-affinity")
        for vm in vms.values():
            assert self.patch(client, vm, "soft").status_code == 200
        assert self.members(client, "soft") == ["a", "b", "c"]

    def test_nothing_is_written_by_a_dry_run_or_half(self, client: Any, vms: dict[str, VM]) -> None:
        made(client)
        path = f"/api/v1/vms/{vms['a'].pk}/"
        plan = client.patch(f"{path}?dry_run=true", {"group": "db"}, format="json").json()["plan"]
        assert plan["changes"] == ["set group"]
        problem_of(self.patch(client, vms["a"], "db", boot_order=-1), 422, "vm.boot_order")
        assert self.members(client, "db") == []

    @pytest.mark.parametrize("group", ["nobody", "", 7, [], {}, True, "x" * 64])
    def test_nonsense(self, client: Any, vms: dict[str, VM], group: Any) -> None:
        answer = self.patch(client, vms["a"], group)
        assert answer.status_code in (400, 422)
        assert problem_of(answer, answer.status_code)["errors"][0]["field"] == "group"

    def test_somebody_elses_group_and_machine(
        self, client: Any, vms: dict[str, VM], api_for: Any, other: Any, admin: Any
    ) -> None:
        theirs = api_for(other)
        made(theirs, "theirs")
        problem_of(self.patch(client, vms["a"], "theirs"), 422, "placement_group.unknown", "group")
        problem_of(self.patch(theirs, vms["a"], "theirs"), 404, "vm.not_found")
        made(client)
        assert self.patch(api_for(admin), vms["a"], "db").json()["group"] == "db"  # its owner's
        problem_of(self.patch(api_for(admin), vms["a"], "theirs"), 422, "placement_group.unknown", "group")

    def test_not_while_it_is_made_and_also_from_the_trash(self, client: Any, vms: dict[str, VM]) -> None:
        made(client)
        VM.objects.filter(pk=vms["a"].pk).update(phase="creating")
        problem_of(self.patch(client, vms["a"], "db"), 409, "vm.not_ready")
        VM.objects.filter(pk=vms["a"].pk).update(phase="trashed")
        assert self.patch(client, vms["a"], "db").status_code == 200
        problem_of(self.patch(client, vms["b"], "db"), 409, "placement_group.rule")
