"""``GET vms/``: filters, search, order, cursors, and what a list costs."""

import base64
from typing import Any

import pytest

from tests.api.answers import problem_of

URL = "/api/v1/vms/"


@pytest.fixture
def client(api_for: Any, member: Any) -> Any:
    return api_for(member)


def names(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [vm["name"] for vm in response.json()["results"]]


def test_newest_first_and_nothing_of_others(client: Any, member: Any, other: Any, make_vm: Any) -> None:
    for name in ("first", "second", "third"):
        make_vm(member, name)
    make_vm(other, "theirs")
    assert names(client.get(URL)) == ["third", "second", "first"]


def test_an_admin_sees_all(api_for: Any, admin: Any, member: Any, other: Any, make_vm: Any) -> None:
    make_vm(member, "mine")
    make_vm(other, "theirs")
    assert names(api_for(admin).get(URL)) == ["theirs", "mine"]


@pytest.fixture
def zoo(member: Any, make_vm: Any, make_host: Any) -> Any:
    """One VM in every status there is."""
    up, down = make_host("up"), make_host("down", status="unreachable")
    make_vm(member, "creating", host=None, phase="creating", power="unknown")
    make_vm(member, "running", host=up, tags=["web", "prod"])
    make_vm(member, "stopped", host=up, power="shutoff", tags=["web"])
    make_vm(member, "paused", host=up, power="paused")
    make_vm(member, "error", host=up, phase="error")
    make_vm(member, "crashed", host=up, power="crashed")
    make_vm(member, "missing", host=up, missing=True)
    make_vm(member, "deleting", host=up, phase="deleting")
    make_vm(member, "unknown", host=down)
    make_vm(member, "unseen", host=up, power="unknown")
    return up


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=creating", {"creating"}),
        ("status=running", {"running"}),
        ("status=stopped", {"stopped"}),
        ("status=paused", {"paused"}),
        ("status=error", {"error", "crashed", "missing"}),
        ("status=deleting", {"deleting"}),
        ("status=unknown", {"unknown", "unseen"}),
        ("status=running&status=stopped", {"running", "stopped"}),
        ("tag=web", {"running", "stopped"}),
        ("tag=web&status=running", {"running"}),
        ("tag=we", set()),
        ("search=PAU", {"paused"}),
        ("search=%25", set()),
        ("name=running", {"running"}),
        ("name=runnin", set()),
        ("host=down", {"unknown"}),
        ("host=nowhere", set()),
        ("image=nothing", set()),
        ("host=down&image=tiny", {"unknown"}),
    ],
)
def test_filters(client: Any, zoo: Any, query: str, expected: set[str]) -> None:
    assert set(names(client.get(f"{URL}?{query}"))) == expected


def test_filters_take_ids_too(client: Any, zoo: Any, image: Any) -> None:
    assert len(names(client.get(URL, {"host": str(zoo.pk)}))) == 8
    assert len(names(client.get(URL, {"image": image.pk.hex.upper()}))) == 10


def test_the_derived_status_is_what_the_filter_says(client: Any, zoo: Any) -> None:
    for vm in client.get(URL).json()["results"]:
        assert vm["name"] in names(client.get(URL, {"status": vm["status"]}))


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("colour=red", "request.unknown_filter", "colour"),
        ("owner=admin", "request.unknown_filter", "owner"),
        ("owner__username=admin", "request.unknown_filter", "owner__username"),
        ("name__startswith=a", "request.unknown_filter", "name__startswith"),
        ("format=json", "request.unknown_filter", "format"),
        ("dry_run=true", "request.unknown_filter", "dry_run"),
        ("status=happy", "request.filter", "status"),
        ("search=%00", "request.filter", "search"),
        ("tag=a%00", "request.filter", "tag"),
        ("host=%00", "request.filter", "host"),
        ("ordering=owner__password", "request.ordering", "ordering"),
        ("ordering=--name", "request.ordering", "ordering"),
        ("ordering=", "request.ordering", "ordering"),
        ("limit=0", "request.limit", "limit"),
        ("limit=201", "request.limit", "limit"),
        ("limit=-1", "request.limit", "limit"),
        ("limit=1.5", "request.limit", "limit"),
        ("limit=", "request.limit", "limit"),
        ("limit=ten", "request.limit", "limit"),
        ("limit=%D9%A3", "request.limit", "limit"),
        ("limit=0000001009999", "request.limit", "limit"),
        ("limit=99999999999999999999", "request.limit", "limit"),
    ],
)
def test_what_the_list_does_not_know_is_refused(client: Any, query: str, code: str, field: str) -> None:
    problem_of(client.get(f"{URL}?{query}"), 422, code, field)


def cursor(**parts: str) -> str:
    from urllib.parse import urlencode

    return base64.b64encode(urlencode(parts).encode()).decode()


@pytest.mark.parametrize(
    "value",
    [
        "garbage",
        "",
        "ü",
        "cD0=" * 1000,
        cursor(p="not a date"),
        cursor(p="2026-01-01"),
        cursor(p="2026-01-01 00:00:00"),
        cursor(p="9999999-01-01 00:00:00+00:00"),
        cursor(p="2026-01-01 00:00:00+00:00\x00"),
        cursor(o="-1"),
        cursor(o="x"),
        cursor(r="x"),
        cursor(o="9" * 5000),
        cursor(o="9" * 30),
        cursor(o="1", x="1"),
        "\x00",
        "[]",
        "A" * 5000,
    ],
)
def test_a_cursor_that_this_list_did_not_make(client: Any, member: Any, make_vm: Any, value: str) -> None:
    make_vm(member, "web-1")
    problem_of(client.get(URL, {"cursor": value}), 400, "request.unparsable")


def test_a_cursor_of_another_ordering_is_none(client: Any, member: Any, make_vm: Any) -> None:
    for number in range(3):
        make_vm(member, f"web-{number}")
    by_name = client.get(URL, {"ordering": "name", "limit": 1}).json()["next"]
    problem_of(client.get(by_name.replace("ordering=name", "ordering=created_at")), 400, "request.unparsable")


@pytest.mark.parametrize("ordering", ["created_at", "-created_at", "name", "-name"])
def test_walking_there_and_back(client: Any, member: Any, make_vm: Any, ordering: str) -> None:
    for number in range(7):
        make_vm(member, f"web-{number}")
    expected = [f"web-{number}" for number in range(7)]
    expected = expected[::-1] if ordering.startswith("-") else expected

    pages, url = [], f"{URL}?limit=3&ordering={ordering}"
    while url:
        response = client.get(url)
        pages.append(names(response))
        last, url = response, response.json()["next"]
    assert [name for page in pages for name in page] == expected
    assert [len(page) for page in pages] == [3, 3, 1]

    backwards, url = [pages[-1]], last.json()["previous"]
    while url:
        response = client.get(url)
        backwards.insert(0, names(response))
        url = response.json()["previous"]
    assert [name for page in backwards for name in page] == expected


def test_rows_that_come_and_go_shift_no_page(client: Any, member: Any, make_vm: Any) -> None:
    vms = [make_vm(member, f"web-{number}") for number in range(6)]
    first = client.get(f"{URL}?limit=2").json()
    make_vm(member, "new")
    vms[5].delete()
    assert names(client.get(first["next"])) == ["web-3", "web-2"]


def test_the_link_header_says_the_same_as_the_body(client: Any, member: Any, make_vm: Any) -> None:
    for number in range(5):
        make_vm(member, f"web-{number}")
    first = client.get(f"{URL}?limit=2")
    assert first["Link"] == f'<{first.json()["next"]}>; rel="next"'
    middle = client.get(first.json()["next"])
    assert f'<{middle.json()["next"]}>; rel="next"' in middle["Link"]
    assert f'<{middle.json()["previous"]}>; rel="prev"' in middle["Link"]
    assert "Link" not in client.get(URL)
    assert set(first.json()) == {"next", "previous", "results"}


def test_page_sizes(client: Any, member: Any, make_vm: Any) -> None:
    from apps.compute.models import VM

    make_vm(member, "one")
    one = VM.objects.get()
    for number in range(205):
        one.pk, one.name = None, f"web-{number}"
        one.save(force_insert=True)
    assert len(names(client.get(URL))) == 50
    assert len(names(client.get(f"{URL}?limit=200"))) == 200


LISTS = [
    "vms/",
    "operations/",
    "events/",
    "hosts/",
    "images/",
    "placements/",
    "policies/",
    "sizes/",
    "ssh-keys/",
]


@pytest.mark.parametrize("path", LISTS)
def test_every_list_has_one_form(api_for: Any, admin: Any, path: str) -> None:
    client = api_for(admin)
    assert set(client.get(f"/api/v1/{path}").json()) == {"next", "previous", "results"}
    problem_of(client.get(f"/api/v1/{path}?colour=red"), 422, "request.unknown_filter", "colour")
    problem_of(client.get(f"/api/v1/{path}?limit=1000"), 422, "request.limit", "limit")
    problem_of(client.get(f"/api/v1/{path}?ordering=password"), 422, "request.ordering", "ordering")
    problem_of(client.get(f"/api/v1/{path}?cursor=garbage"), 400, "request.unparsable")


def fill(number: int, *, owner: Any, make_vm: Any, make_host: Any, make_key: Any) -> None:
    """``number`` rows more in every list."""
    from apps.network.models import Network
    from apps.operations.services import operation_create
    from apps.placement.models import Placement, Policy
    from apps.storage.models import Image

    for _ in range(number):
        from apps.compute.models import VM

        serial = VM.objects.count()
        host = make_host(f"host-{serial}")
        vm = make_vm(owner, f"web-{serial}", host=host, size_id="s-1vcpu-512mb")
        network = Network.objects.create(
            libvirt_name=f"net-{serial}", host=host, cidr="10.9.0.0/24", bridge=f"b{serial}"
        )
        vm.nics.create(network=network, mac=f"52:54:00:00:{serial // 256:02x}:{serial % 256:02x}", ip="10.9.0.2")
        operation_create(kind="vm.start", target_type="vm", target=vm, actor=owner)
        Image.objects.create(name=f"img-{serial}", sha256="0" * 64, size_bytes=1, virtual_size_bytes=1)
        Placement.objects.create(
            consumer_id=vm.pk, consumer_name=vm.name, host_id=host.pk, host_name=host.name, policy="spread"
        )
        make_key(owner, f"key-{serial}")
        Policy.objects.create(name=f"policy-{serial}", text="")


@pytest.mark.parametrize("path", LISTS)
def test_a_list_costs_the_same_with_1_row_and_with_50(
    api_for: Any,
    admin: Any,
    make_vm: Any,
    make_host: Any,
    make_key: Any,
    django_assert_num_queries: Any,
    path: str,
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = api_for(admin)
    fill(1, owner=admin, make_vm=make_vm, make_host=make_host, make_key=make_key)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert len(client.get(f"/api/v1/{path}?limit=200").json()["results"]) >= 1
    fill(49, owner=admin, make_vm=make_vm, make_host=make_host, make_key=make_key)
    with django_assert_num_queries(len(captured)):
        found = client.get(f"/api/v1/{path}?limit=200").json()["results"]
    assert path == "sizes/" or len(found) >= 50
    assert len(captured) <= 3


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_equal_names_are_neither_lost_nor_repeated(
    api_for: Any, admin: Any, make_user: Any, make_vm: Any, limit: int
) -> None:
    for number in range(5):
        make_vm(make_user(f"person-{number}"), "web")
    client, seen, url = api_for(admin), [], f"{URL}?ordering=name&limit={limit}"
    while url:
        page = client.get(url).json()
        seen += [vm["id"] for vm in page["results"]]
        url = page["next"]
    assert len(seen) == len(set(seen)) == 5


def test_sizes_are_walked_page_by_page(api_for: Any, member: Any) -> None:
    client, seen, url = api_for(member), [], "/api/v1/sizes/?limit=2"
    while url:
        page = client.get(url).json()
        seen += page["results"]
        url = page["next"]
    assert seen == client.get("/api/v1/sizes/").json()["results"]
    assert [size["vcpus"] for size in seen] == sorted(size["vcpus"] for size in seen)
