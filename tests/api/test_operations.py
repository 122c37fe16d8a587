"""Operations: seen by whom they concern, cancelled, retried."""

from typing import Any

import pytest

from tests.api.answers import problem_of


@pytest.fixture
def client(api_for: Any, member: Any) -> Any:
    return api_for(member)


@pytest.fixture
def vm(member: Any, make_vm: Any, host: Any) -> Any:
    return make_vm(member, "web-1", host=host)


@pytest.fixture
def operation(client: Any, vm: Any) -> Any:
    from apps.operations.models import Operation

    found = client.post(f"/api/v1/vms/{vm.pk}/start/").json()["operation"]
    return Operation.objects.get(pk=found["id"])


def fail(operation: Any, *, retryable: bool = True) -> None:
    operation.status, operation.retryable = "failed", retryable
    operation.error_code, operation.error_message = "host.unreachable", "No answer."
    operation.save()


def test_it_is_found_by_target_kind_and_status(client: Any, vm: Any, operation: Any) -> None:
    for query in ("target=web-1", f"target={vm.pk}", "kind=vm.start", "status=queued", "status=queued&status=running"):
        results = client.get(f"/api/v1/operations/?{query}").json()["results"]
        assert [item["id"] for item in results] == [str(operation.pk)], query
    for query in ("target=web-2", f"target={operation.pk}", "kind=vm.stop", "status=failed"):
        assert client.get(f"/api/v1/operations/?{query}").json()["results"] == [], query
    problem_of(client.get("/api/v1/operations/?status=happy"), 422, "request.filter", "status")


def test_events_are_found_by_target(client: Any, vm: Any, operation: Any) -> None:
    for query in ("target=web-1", f"target={vm.pk}", "kind=vm.start"):
        results = client.get(f"/api/v1/events/?{query}").json()["results"]
        assert [item["operation_id"] for item in results] == [str(operation.pk)]


def test_strangers_see_neither_operation_nor_event(client: Any, operation: Any, api_for: Any, other: Any) -> None:
    stranger = api_for(other)
    for path in ("operations/", "events/"):
        assert stranger.get(f"/api/v1/{path}").json()["results"] == []
    for verb in ("cancel/", "retry/"):
        problem_of(stranger.post(f"/api/v1/operations/{operation.pk}/{verb}"), 404, "operation.not_found")
    problem_of(stranger.get(f"/api/v1/operations/{operation.pk}/"), 404, "operation.not_found")


def test_its_owner_sees_what_an_admin_did(client: Any, vm: Any, operation: Any, api_for: Any, admin: Any) -> None:
    operation.status = "succeeded"
    operation.save()
    made = api_for(admin).post(f"/api/v1/vms/{vm.pk}/power-off/").json()["operation"]
    assert client.get(f"/api/v1/operations/{made['id']}/").json() == made


def test_cancel(client: Any, operation: Any) -> None:
    response = client.post(f"/api/v1/operations/{operation.pk}/cancel/", {}, format="json")
    assert response.status_code == 200
    assert response.json()["cancel_requested"] is True
    fail(operation)
    problem_of(client.post(f"/api/v1/operations/{operation.pk}/cancel/"), 409, "operation.not_cancellable")


def test_retry(client: Any, operation: Any) -> None:
    path = f"/api/v1/operations/{operation.pk}/retry/"
    problem_of(client.post(path), 409, "operation.not_retryable")
    fail(operation, retryable=False)
    problem_of(client.post(path), 409, "operation.not_retryable")
    fail(operation)
    found = client.get(f"/api/v1/operations/{operation.pk}/").json()
    assert found["error"] == {"code": "host.unreachable", "detail": "No answer.", "retryable": True}
    response = client.post(path)
    assert response.status_code == 202
    assert response["Location"] == f"/api/v1/operations/{operation.pk}/"
    assert (response.json()["status"], response.json()["error"]) == ("queued", None)


def test_retry_waits_for_what_is_in_the_way(client: Any, vm: Any, operation: Any) -> None:
    fail(operation)
    second = client.post(f"/api/v1/vms/{vm.pk}/start/").json()["operation"]
    found = problem_of(client.post(f"/api/v1/operations/{operation.pk}/retry/"), 409, "operation.in_the_way")
    assert found["operation"] == second["id"]


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_verbs_take_no_body(client: Any, operation: Any, verb: str) -> None:
    fail(operation)
    response = client.post(f"/api/v1/operations/{operation.pk}/{verb}/", {"now": True}, format="json")
    problem_of(response, 400, field="now")
