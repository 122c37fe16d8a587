"""``POST placements/batch/``: room for several VMs that belong together."""

from typing import Any

import pytest

from apps.events.models import Event
from apps.hosts.models import Allocation, Host
from apps.placement.batch import reservations_create
from apps.placement.models import Placement, Reservation
from apps.placement.reservations import reservation_create
from tests.api.answers import problem_of
from tests.parallel import in_parallel

BATCH = "/api/v1/placements/batch/"


def wish(name: str, memory_mib: int = 2048, **more: Any) -> dict[str, Any]:
    return {"name": name, "vcpus": 1, "memory_mib": memory_mib - 64, "disk_gib": 1, **more}


@pytest.fixture
def client(api_for: Any, admin: Any, make_host: Any) -> Any:
    """Two hosts with 4 and 6 GiB for guests."""
    make_host("h1", memory_mib=5 * 1024)
    make_host("h2", memory_mib=7 * 1024)
    return api_for(admin)


def ask(client: Any, *wishes: dict[str, Any], **more: Any) -> Any:
    return client.post(BATCH, {"placements": list(wishes), **more}, format="json")


def rows() -> tuple[int, ...]:
    return tuple(model.objects.count() for model in (Allocation, Placement, Reservation, Event))


def test_all_get_room_the_largest_first_and_are_told_in_their_order(client: Any) -> None:
    answer = ask(client, wish("a"), wish("b"), wish("c", 6144), expires_s=60)
    assert answer.status_code == 201, answer.content
    results = answer.json()["results"]
    assert [(item["name"], item["placement"]["host_name"], item["error"]) for item in results] == [
        ("a", "h1", None),
        ("b", "h1", None),
        ("c", "h2", None),
    ]
    assert Reservation.objects.count() == 3
    assert list(Host.objects.order_by("name").values_list("memory_claimed_mib", flat=True)) == [4096, 6144]


def test_where_one_has_no_place_none_gets_any(client: Any) -> None:
    found = problem_of(ask(client, *(wish(name) for name in "abcdef")), 422, "placement.not_all_fit", "placements")
    assert found["detail"].startswith("1 of 6 have no place beside the others; nothing is reserved. ")
    (error,) = found["errors"]
    assert error["code"] == "placement.no_host_fits"
    assert "MiB short of memory" in error["detail"]
    assert rows() == (0, 0, 0, 0)
    assert sum(Host.objects.values_list("memory_claimed_mib", flat=True)) == 0


def test_or_those_get_room_for_which_there_is_some(client: Any) -> None:
    results = ask(client, wish("a", 60000), wish("b"), all_or_nothing=False).json()["results"]
    assert results[0]["placement"] is None
    assert results[0]["error"]["code"] == "placement.no_host_fits"
    assert results[1]["placement"]["consumer_name"] == "b"
    assert rows() == (1, 1, 1, 1)


@pytest.mark.parametrize(
    ("wishes", "code"),
    [
        ([wish("a"), wish("a")], "placement.name_twice"),
        ([wish("a"), wish("b", policy="sprad")], "policy.unknown"),
        ([wish("a"), wish("b", vcpus=0)], "request.refused"),
        ([], "request.refused"),
        ([wish(f"a-{number}") for number in range(101)], "request.refused"),
    ],
)
def test_what_is_wrong_claims_nothing(client: Any, wishes: list[dict[str, Any]], code: str) -> None:
    problem_of(ask(client, *wishes), 422, code)
    assert rows() == (0, 0, 0, 0)


def test_a_batch_with_a_stranger_among_its_keys(client: Any) -> None:
    problem_of(ask(client, {**wish("a"), "expires_s": 60}), 400)
    assert rows() == (0, 0, 0, 0)


@pytest.mark.django_db(transaction=True)
def test_batches_that_take_the_hosts_in_another_order_do_not_wait_for_each_other(admin: Any, make_host: Any) -> None:
    """And those who reserve one at a time get what is left, to the last place."""
    names = ["h0", "h1", "h2", "h3"]
    for name in names:
        make_host(name, memory_mib=1024 + 512 * 4, cpus=64)

    def place(number: int) -> Any:
        order = names if number % 2 else names[::-1]
        mine = [wish(f"m-{number}-{name}", 512, host=name) for name in order]
        if number < 4:
            return reservations_create(actor=admin, wishes=mine, all_or_nothing=number < 2)
        return [reservation_create(actor=admin, **one) for one in mine]

    answers = in_parallel(place, range(6))
    codes = {getattr(answer, "code", type(answer).__name__) for answer in answers}
    assert codes <= {"list", "placement.not_all_fit", "placement.no_host_fits"}, answers
    assert set(Host.objects.values_list("memory_claimed_mib", flat=True)) == {2048}
