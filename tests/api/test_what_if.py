"""``POST placements/what-if/``: the answers of the what-if page, for programs."""

from typing import Any

import pytest

from apps.compute.models import Size
from apps.hosts.capacity import Demand, capacity_claim
from tests.api.answers import everything, problem_of

PATH = "/api/v1/placements/what-if/"
SMALL = {"vcpus": 1, "memory_mib": 1024, "disk_gib": 5}


@pytest.fixture
def client(api_for: Any, admin: Any, make_host: Any, make_vm: Any) -> Any:
    """Two hosts of 14745 MiB for guests, on one of them a machine of 9 GiB."""
    h1 = make_host("h1")
    make_host("h2")
    vm = make_vm(admin, "big", host=h1, memory_mib=9216, disk_gib=10)
    demand = Demand(vcpus=1, memory_mib=9216, disk_gib=10)
    assert capacity_claim(host_id=h1.pk, consumer_id=vm.pk, label="big", demand=demand)
    return api_for(admin)


def ask(client: Any, **body: Any) -> dict[str, Any]:
    before = everything()
    answer = client.post(PATH, {**SMALL, **body}, format="json")
    assert answer.status_code == 200, answer.content
    assert everything() == before
    found: dict[str, Any] = answer.json()
    return found


def test_as_it_is_and_with_hosts_gone(client: Any, make_host: Any) -> None:
    now = ask(client)
    assert (now["hosts"], now["machines"], now["survives"], now["over"]) == (2, 1, True, [])
    assert now["losses"] == [{"host": "h1", "machines": 1, "homeless": []}]
    assert now["room"] == [{"host": "h1", "machines": 5}, {"host": "h2", "machines": 13}] and now["room_total"] == 18
    assert now["energy"]["now"] > 0 and now["energy"]["energy"]["hosts"] == 1
    gone = ask(client, remove_hosts=["h1"])
    assert [(item["name"], item["host"]) for item in gone["moved"]] == [("big", "h2")]
    assert (gone["hosts"], gone["survives"], gone["losses"][0]["homeless"][0]["name"]) == (1, False, "big")
    both = ask(client, remove_hosts=["h1", "h2"])
    assert ([item["name"] for item in both["homeless"]], both["room_total"]) == (["big"], 0)


def test_machines_that_grow_and_hosts_that_come(client: Any) -> None:
    grown = ask(client, grow_percent=60)
    assert (grown["survives"], grown["over"]) == (False, [{"host": "h1", "resource": "memory", "unit": "MiB",
                                                           "excess": grown["over"][0]["excess"]}])  # fmt: skip
    new = {"name": "h3", "cpus": 64, "memory_mib": 262144, "disk_gib": 4000}
    more = ask(client, add_hosts=[new], remove_hosts=["h1"])
    assert more["moved"][0]["host"] == "h3" and more["hosts"] == 2


def test_room_for_a_size(client: Any) -> None:
    Size.objects.create(name="large", vcpus=4, memory_mib=7000, disk_gib=20)
    body = {"size": "large"}
    answer = client.post(PATH, body, format="json").json()
    assert answer["room"] == [{"host": "h2", "machines": 2}]


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"remove_hosts": ["h9"]}, 422, "host.unknown", "remove_hosts"),
        ({"remove_hosts": "h1"}, 400, None, "remove_hosts"),
        ({"add_hosts": [{"name": "h1", "cpus": 1, "memory_mib": 1, "disk_gib": 1}]}, 422, "host.name_taken", None),
        ({"add_hosts": [{"name": "n", "cpus": 0, "memory_mib": 1, "disk_gib": 1}]}, 422, None, None),
        ({"add_hosts": [{"name": "n", "cpus": 1, "memory_mib": 1, "disk_gib": 1}] * 2}, 422, "host.name_taken", None),
        ({"grow_percent": -1}, 422, None, "grow_percent"),
        ({"grow_percent": 10**9}, 422, None, "grow_percent"),
        ({"grow_percent": "x"}, 400, None, "grow_percent"),
        ({"size": "nothing"}, 422, "vm.size_and_numbers", None),
        ({"vcpus": 0}, 422, "vm.out_of_range", "vcpus"),
        ({"memory_mib": 2**70}, 422, "vm.out_of_range", "memory_mib"),
        ({"vcpus": None}, 400, None, "vcpus"),
        ({"policy": "nobody"}, 422, "policy.unknown", "policy"),
        ({"down": ["h1"]}, 400, None, "down"),
    ],
)
def test_nonsense_is_said_with_its_field(client: Any, body: Any, status: int, code: Any, field: Any) -> None:
    problem_of(client.post(PATH, {**SMALL, **body}, format="json"), status, code, field)


def test_what_there_shall_be_room_for_has_to_be_said(client: Any) -> None:
    problem_of(client.post(PATH, {}, format="json"), 422, "vm.size_missing", "vcpus")
    problem_of(client.post(PATH, {"size": "nothing"}, format="json"), 422, "size.unknown", "size")
