"""Pages of placement groups: what they show to whom, and what they refuse."""

from typing import Any

import pytest
from django.test import Client

from apps.compute.models import VM
from apps.hosts.capacity import Demand, capacity_claim
from apps.placement.groups import group_create
from apps.placement.models import PlacementGroup

pytestmark = pytest.mark.django_db
GROUPS = "/placement-groups/"


@pytest.fixture
def as_member(member: Any) -> Client:
    client = Client()
    client.force_login(member)
    return client


@pytest.fixture
def group(member: Any) -> PlacementGroup:
    return group_create(actor=member, name="db", rule="anti-affinity")


def page(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, response.content[:300]
    return " ".join(response.content.decode().split())


def placed(vm: VM, host: Any, group: PlacementGroup | None = None) -> None:
    demand = Demand(vcpus=1, memory_mib=256, disk_gib=2)
    pk = group.pk if group else None
    assert capacity_claim(host_id=host.pk, consumer_id=vm.pk, label=vm.name, demand=demand, group_id=pk)


def test_a_group_is_made_and_listed_for_its_owner(as_member: Client, other: Any, admin: Any, viewer: Any) -> None:
    assert "No groups yet" in page(as_member, GROUPS)
    answer = as_member.post(f"{GROUPS}new/", {"name": "db", "rule": "affinity"})
    assert answer.status_code == 302
    assert "All on one host" in page(as_member, answer["Location"]) and "No machine is in it" in page(
        as_member, answer["Location"]
    )
    for wrong in ({"name": "db", "rule": "affinity"}, {"name": "DB", "rule": "affinity"}, {"name": "x", "rule": "?"}):
        refused = as_member.post(f"{GROUPS}new/", wrong)
        assert refused.status_code == 422
    assert (
        "already have a placement group"
        in as_member.post(f"{GROUPS}new/", {"name": "db", "rule": "affinity"}).content.decode()
    )
    clients = {person.username: Client() for person in (other, admin, viewer)}
    for person in (other, admin, viewer):
        clients[person.username].force_login(person)
    assert "No groups yet" in page(clients["other"], GROUPS)
    assert "Of member" in page(clients["admin"], GROUPS)
    assert "Create group" not in page(clients["viewer"], GROUPS)


def test_who_is_in_it_and_where_and_what_keeps_it(
    as_member: Client, member: Any, make_vm: Any, host: Any, group: PlacementGroup
) -> None:
    placed(make_vm(member, "db-1", host=host, group=group), host, group)
    make_vm(member, "db-2", group=group, phase="creating")
    shown = page(as_member, f"{GROUPS}{group.pk}/")
    assert "db-1" in shown and "h1" in shown and "Not placed yet" in shown
    kept = page(as_member, f"{GROUPS}{group.pk}/delete/")
    assert "db-1, db-2 are in db, whose rule would be lost." in kept and "button-danger" not in kept
    assert as_member.post(f"{GROUPS}{group.pk}/delete/").status_code == 422
    VM.objects.update(group=None)
    assert as_member.post(f"{GROUPS}{group.pk}/delete/").status_code == 302
    assert not PlacementGroup.objects.exists()


def test_a_machine_joins_and_leaves_on_its_page(
    as_member: Client, member: Any, make_vm: Any, host: Any, group: PlacementGroup
) -> None:
    vms = {name: make_vm(member, name, host=host) for name in ("db-1", "db-2")}
    for vm in vms.values():
        placed(vm, host)

    def choose(name: str, chosen: str) -> Any:
        return as_member.post(f"/vms/{vms[name].pk}/edit/", {"name": name, "group": chosen, "boot_order": "0"})

    assert choose("db-1", str(group.pk)).status_code == 302
    assert f'href="{GROUPS}{group.pk}/"' in page(as_member, f"/vms/{vms['db-1'].pk}/")
    refused = choose("db-2", str(group.pk))
    assert refused.status_code == 422
    assert "db-2 is on h1, and so is db-1 of db (anti-affinity)." in refused.content.decode()
    assert choose("db-1", "").status_code == 302
    assert choose("db-2", str(group.pk)).status_code == 302
    assert list(VM.objects.filter(group=group).values_list("name", flat=True)) == ["db-2"]


def test_without_a_group_nobody_is_asked(as_member: Client, member: Any, make_vm: Any, host: Any) -> None:
    vm = make_vm(member, "web-1", host=host)
    assert "Placement group" not in page(as_member, f"/vms/{vm.pk}/edit/")
    assert as_member.post(f"/vms/{vm.pk}/edit/", {"name": "web-1", "boot_order": "0"}).status_code == 302
