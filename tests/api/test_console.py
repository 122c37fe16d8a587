"""``POST vms/{id}/console/``: when there is a ticket, and when not."""

from typing import Any

import pytest

from tests.api.answers import problem_of


def path(vm: Any) -> str:
    return f"/api/v1/vms/{vm.pk}/console/"


def test_a_ticket(boss: Any, member: Any, make_vm: Any, host: Any) -> None:
    answer = boss.post(path(vm := make_vm(member, "web-1", host=host)), {"kind": "serial"}, format="json")
    assert answer.status_code == 201
    assert set(answer.json()) == {"ticket", "expires_at", "path"}
    assert answer.json()["path"] == f"/console/{vm.pk}/"


@pytest.mark.parametrize("values", [{"power": "shutoff"}, {"power": "crashed"}, {"phase": "creating"}], ids=str)
def test_a_machine_that_is_not_running(boss: Any, member: Any, make_vm: Any, host: Any, values: Any) -> None:
    vm = make_vm(member, "web-1", host=host, **values)
    problem_of(boss.post(path(vm), {"kind": "serial"}, format="json"), 409, "console.not_running")


def test_a_screen_is_not_reached_over_tls(boss: Any, member: Any, make_vm: Any, make_host: Any) -> None:
    tls = make_vm(member, "web-1", host=make_host("h1", transport="tls"))
    found = problem_of(boss.post(path(tls), {"kind": "vnc"}, format="json"), 422, "console.not_over_tls")
    assert found["errors"][0]["field"] == "kind"
    ssh = make_vm(member, "web-2", host=make_host("h2", transport="ssh", host_key="ssh-ed25519 AAAA"))
    assert boss.post(path(ssh), {"kind": "vnc"}, format="json").status_code == 201


@pytest.mark.parametrize("body", [{}, {"kind": "spice"}, {"kind": 7}, {"kind": "serial", "vm": "x"}], ids=str)
def test_a_body_that_is_none(boss: Any, member: Any, make_vm: Any, host: Any, body: Any) -> None:
    answer = boss.post(path(make_vm(member, "web-1", host=host)), body, format="json")
    assert answer.status_code in (400, 422)


def test_a_repeated_request_does_not_show_the_ticket_again(boss: Any, member: Any, make_vm: Any, host: Any) -> None:
    vm = make_vm(member, "web-1", host=host)
    first, second = (
        boss.post(path(vm), {"kind": "serial"}, format="json", headers={"Idempotency-Key": "k"}) for _ in range(2)
    )
    assert first.json()["ticket"]
    assert second.json()["ticket"] == ""
