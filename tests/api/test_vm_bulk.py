"""One action on many VMs: a result for each, and a refusal that hinders no other."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext

from tests.api.answers import everything, problem_of

URL = "/api/v1/vms/bulk/"


@pytest.fixture
def client(api_for: Any, member: Any) -> Any:
    return api_for(member)


@pytest.fixture
def vms(member: Any, make_vm: Callable[..., Any], host: Any) -> list[Any]:
    """Three that run."""
    return [make_vm(member, f"web-{number}", host=host) for number in (1, 2, 3)]


def send(client: Any, action: str, vms: list[Any], *, query: str = "", key: str | None = None, **more: Any) -> Any:
    header = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
    named = [str(getattr(vm, "pk", vm)) for vm in vms]
    return client.post(f"{URL}{query}", {"action": action, "vms": named, **more}, format="json", **header)


def codes(answer: Any) -> list[str | None]:
    """The code of each result, None where it was accepted."""
    return [result["problem"] and result["problem"]["code"] for result in answer.json()["results"]]


@pytest.mark.parametrize(
    ("action", "power", "wish"),
    [
        ("start", "shutoff", "on"),
        ("shutdown", "running", "off"),
        ("reboot", "running", "on"),
        ("power-off", "running", "off"),
        ("reset", "running", "on"),
        ("pause", "running", "on"),
        ("resume", "paused", "on"),
    ],
)
def test_each_gets_its_operation(client: Any, vms: list[Any], action: str, power: str, wish: str) -> None:
    from apps.compute.models import VM

    VM.objects.update(power=power)
    answer = send(client, action, vms)
    assert (answer.status_code, answer.json()["accepted"], answer.json()["refused"]) == (202, 3, 0)
    for vm, result in zip(vms, answer.json()["results"], strict=True):
        assert (result["reference"], result["vm"]["id"], result["problem"]) == (str(vm.pk), str(vm.pk), None)
        assert (result["operation"]["kind"], result["operation"]["status"]) == (f"vm.{action}", "queued")
        assert (result["operation"]["target"]["id"], result["vm"]["desired_power"]) == (str(vm.pk), wish)


def test_a_refusal_hinders_no_other(
    client: Any, vms: list[Any], member: Any, other: Any, make_vm: Callable[..., Any], host: Any
) -> None:
    from apps.operations.models import Operation
    from apps.operations.services import operation_create

    busy = operation_create(kind="vm.start", target_type="vm", target=vms[1], actor=member)
    off = make_vm(member, "off", host=host, power="shutoff")
    foreign = make_vm(other, "foreign", host=host)
    answer = send(client, "reboot", ["web-1", vms[1], off, foreign, "nobody", uuid.uuid4(), "web-3", vms[0]])
    assert answer.status_code == 202
    assert codes(answer) == [
        None,
        "operation.in_the_way",
        "vm.not_running",
        "vm.unknown",
        "vm.unknown",
        "vm.unknown",
        None,
        "bulk.repeated",
    ]
    results = answer.json()["results"]
    assert results[1]["problem"]["operation"] == str(busy.pk)
    assert [result["problem"]["status"] for result in results if result["problem"]] == [409, 409, 422, 422, 422, 422]
    assert results[3]["vm"] is None and results[4]["vm"] is None
    assert results[4]["problem"]["errors"][0]["field"] == "vms.4"
    assert results[2]["vm"]["name"] == "off"
    made = Operation.objects.filter(kind="vm.reboot").values_list("target_id", flat=True)
    assert set(made) == {vms[0].pk, vms[2].pk}
    off.refresh_from_db()
    assert off.desired_power == "on"  # as it was made: the refusal wrote nothing


def test_nothing_to_wait_for_is_a_200(client: Any, vms: list[Any]) -> None:
    answer = send(client, "start", ["nobody"])
    assert (answer.status_code, answer.json()["accepted"], answer.json()["refused"]) == (200, 0, 1)


def test_foreign_looks_like_missing(client: Any, other: Any, make_vm: Callable[..., Any]) -> None:
    foreign = make_vm(other, "foreign")
    for action in ("start", "delete", "untag"):
        tags = {"tags": ["x"]} if action == "untag" else {}
        before = everything()
        theirs = send(client, action, [foreign], **tags).json()["results"][0]
        none = uuid.uuid4()
        nobodys = send(client, action, [none], **tags).json()["results"][0]
        assert str(theirs).replace(str(foreign.pk), "") == str(nobodys).replace(str(none), "")
        assert everything() == before


@pytest.mark.usefixtures("without_trash")
def test_deletion_asks_each_for_itself(client: Any, vms: list[Any]) -> None:
    from apps.compute.models import VM

    VM.objects.filter(pk=vms[1].pk).update(protected=True)
    answer = send(client, "delete", vms)
    assert codes(answer) == [None, "vm.protected", None]
    assert [result["vm"]["status"] for result in answer.json()["results"]][1] == "running"
    assert VM.objects.get(pk=vms[1].pk).phase == "ready"


def test_tags_are_added_and_taken_away(client: Any, vms: list[Any]) -> None:
    from apps.compute.models import VM
    from apps.operations.models import Operation

    VM.objects.filter(pk=vms[1].pk).update(tags=["old", "prod"])
    VM.objects.filter(pk=vms[2].pk).update(tags=[str(number) for number in range(20)])
    answer = send(client, "tag", vms, tags=["prod", "web"])
    assert (answer.status_code, codes(answer)) == (200, [None, None, "vm.tags"])
    assert [result["vm"]["tags"] for result in answer.json()["results"]][:2] == [
        ["prod", "web"],
        ["old", "prod", "web"],
    ]
    answer = send(client, "untag", vms[:2], tags=["prod", "nothing"])
    assert [result["vm"]["tags"] for result in answer.json()["results"]] == [["web"], ["old", "web"]]
    assert Operation.objects.count() == 0


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "request.malformed"),
        ({"action": "start", "vms": "web-1"}, 400, "request.malformed"),
        ({"action": "start", "vms": [7]}, 400, "request.malformed"),
        ({"action": "start", "vms": ["web-1"], "force": True}, 400, "request.malformed"),
        ({"action": "start", "vms": []}, 422, "request.refused"),
        ({"action": "start", "vms": ["x"] * 101}, 422, "request.refused"),
        ({"action": "start", "vms": ["x" * 64]}, 422, "request.refused"),
        ({"action": "explode", "vms": ["web-1"]}, 422, "request.refused"),
        ({"action": "start", "vms": ["web-1"], "tags": ["a"]}, 422, "bulk.option"),
        ({"action": "reboot", "vms": ["web-1"], "timeout_s": 5}, 422, "bulk.option"),
        ({"action": "tag", "vms": ["web-1"]}, 422, "bulk.option"),
        ({"action": "tag", "vms": ["web-1"], "tags": []}, 422, "bulk.option"),
        ({"action": "tag", "vms": ["web-1"], "tags": ["a,b"]}, 422, "vm.tags"),
    ],
)
def test_a_wrong_request_does_nothing_at_all(
    client: Any, vms: list[Any], body: dict[str, Any], status: int, code: str
) -> None:
    before = everything()
    problem_of(client.post(URL, body, format="json"), status, code)
    assert everything() == before


def test_the_bound_itself_is_accepted(client: Any, vms: list[Any]) -> None:
    answer = send(client, "reboot", ["web-1", *(f"none-{number}" for number in range(99))])
    assert (answer.status_code, answer.json()["accepted"], answer.json()["refused"]) == (202, 1, 99)


def test_an_option_reaches_the_operation(client: Any, vms: list[Any]) -> None:
    from apps.operations.models import Operation

    send(client, "shutdown", vms[:1], timeout_s=7, on_timeout="power-off")
    assert Operation.objects.get().params == {"timeout_s": 7, "on_timeout": "power-off"}
    assert codes(send(client, "shutdown", vms[1:], timeout_s=0)) == ["vm.timeout", "vm.timeout"]


def test_a_dry_run_says_what_would_become_of_each(client: Any, vms: list[Any]) -> None:
    before = everything()
    answer = send(client, "power-off", ["web-1", "nobody", "web-2"], query="?dry_run=true")
    assert answer.status_code == 200
    plan, results = answer.json()["plan"], answer.json()["results"]
    assert [len(plan["changes"]), plan["reversible"], plan["host"]] == [2, False, None]
    assert "web-1" in results[0]["plan"]["changes"][0] and results[0]["problem"] is None
    assert (results[1]["plan"], results[1]["problem"]["code"]) == (None, "vm.unknown")
    assert everything() == before


def test_a_repeated_request_does_nothing_twice(client: Any, vms: list[Any]) -> None:
    from apps.operations.models import Operation

    first = send(client, "reboot", [*vms, "nobody"], key="once")
    again = send(client, "reboot", [*vms, "nobody"], key="once")
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert Operation.objects.count() == 3
    problem_of(send(client, "reset", vms, key="once"), 422, "idempotency.mismatch")


def test_an_admin_tells_namesakes_apart(
    api_for: Any, admin: Any, member: Any, other: Any, make_vm: Callable[..., Any], host: Any
) -> None:
    theirs, _others = make_vm(member, "twin", host=host), make_vm(other, "twin", host=host)
    client = api_for(admin)
    assert codes(send(client, "reboot", ["twin", theirs])) == ["vm.ambiguous", None]
    own = make_vm(admin, "twin", host=host)
    assert send(client, "reboot", ["twin"]).json()["results"][0]["vm"]["id"] == str(own.pk)


def test_the_answer_asks_no_query_for_each_item_beside_its_action(
    client: Any, member: Any, make_vm: Callable[..., Any], host: Any
) -> None:
    from django.db import connection

    made = [make_vm(member, f"vm-{number}", host=host) for number in range(6)]
    counts = []
    for chosen in (made[:1], made[1:3], made[3:]):
        with CaptureQueriesContext(
            connection,
        ) as found:
            send(client, "reboot", chosen)
        counts.append(len(found))
    assert counts[2] - counts[1] == counts[1] - counts[0]  # so many for each, whatever the others are
    assert counts[1] - counts[0] <= 13
