"""The trash in the API: where a deleted VM waits, what it keeps, and how it comes back or goes for good."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.api.answers import everything, problem_of

VERBS = ("start", "shutdown", "power-off", "reboot", "reset", "pause", "resume")


@pytest.fixture(autouse=True)
def a_day(settings: Any) -> None:
    settings.TRASH_HOURS = 24


@pytest.fixture
def client(api_for: Any, member: Any) -> Any:
    return api_for(member)


@pytest.fixture
def vm(member: Any, make_vm: Callable[..., Any], host: Any) -> Any:
    return make_vm(member, "web-1", host=host)


@pytest.fixture
def trashed(member: Any, make_vm: Callable[..., Any], host: Any) -> Any:
    """One that was put into the trash an hour ago."""
    until = timezone.now() + timedelta(hours=23)
    return make_vm(
        member, "old-1", host=host, phase="trashed", power="shutoff", desired_power="off", trashed_until=until
    )


def url(vm: Any, rest: str = "") -> str:
    return f"/api/v1/vms/{vm.pk}/{rest}"


def names(answer: Any) -> list[str]:
    return [vm["name"] for vm in answer.json()["results"]]


def test_a_deleted_vm_goes_into_the_trash(client: Any, vm: Any) -> None:
    answer = client.delete(url(vm))
    assert answer.status_code == 202
    found = answer.json()
    assert (found["operation"]["kind"], found["vm"]["status"], found["vm"]["desired_power"]) == (
        "vm.trash",
        "trashed",
        "off",
    )
    vm.refresh_from_db()
    assert timedelta(hours=23) < vm.trashed_until - timezone.now() <= timedelta(hours=24)
    assert answer["Location"] == f"/api/v1/operations/{found['operation']['id']}/"


def test_it_is_in_no_list_but_that_of_the_trash(client: Any, vm: Any, trashed: Any) -> None:
    assert names(client.get("/api/v1/vms/")) == ["web-1"]
    assert names(client.get("/api/v1/vms/?status=trashed")) == ["old-1"]
    assert set(names(client.get("/api/v1/vms/?status=trashed&status=running&status=unknown"))) == {"old-1", "web-1"}
    assert names(client.get("/api/v1/vms/?search=old")) == []
    shown = client.get(url(trashed)).json()
    assert (shown["status"], shown["trashed_until"] is not None) == ("trashed", True)
    assert client.get(url(vm)).json()["trashed_until"] is None


def test_nothing_is_done_with_it_there(client: Any, trashed: Any) -> None:
    before = everything()
    for verb in VERBS:
        problem_of(client.post(url(trashed, f"{verb}/"), {}, format="json"), 409, "vm.in_trash")
    problem_of(client.post(url(trashed, "snapshots/"), {"name": "x"}, format="json"), 409, "vm.in_trash")
    problem_of(client.post(url(trashed, "clone/"), {"name": "x"}, format="json"), 409, "vm.in_trash")
    problem_of(client.post(url(trashed, "resize/"), {"vcpus": 2}, format="json"), 409, "vm.in_trash")
    problem_of(client.post(url(trashed, "console/"), {"kind": "serial"}, format="json"), 409)
    problem_of(client.patch(url(trashed), {"protected": True}, format="json"), 409, "vm.in_trash")
    assert everything() == before
    assert client.patch(url(trashed), {"notes": "why"}, format="json").status_code == 200
    assert client.post(url(trashed, "rename/"), {"name": "older-1"}, format="json").status_code == 200


def test_what_it_has_stays_as_it_is_but_a_volume_may_go(
    client: Any, member: Any, trashed: Any, vm: Any, host: Any, make_volume: Any, make_snapshot: Any, make_vm: Any
) -> None:
    """Its snapshots, interfaces and limits wait with it; what lies on a volume may be needed elsewhere now."""
    from tests.api.conftest import connected

    disk, free = make_volume(member, "disk", host=host, vm=trashed), make_volume(member, "free", host=host)
    more = connected(member, make_vm, vm, host)
    nic = trashed.nics.create(network=vm.nics.get().network, mac="52:00:00:00:00:77", ip="192.168.78.77")
    attempts = [
        (f"volumes/{free.pk}/attach/", {"vm": "old-1"}),
        (f"vms/{trashed.pk}/io-limits/", {"iops": 5}),
        (f"vms/{trashed.pk}/nics/", {"network": "back"}),
        (f"vms/{trashed.pk}/port-forwards/", {"host_port": 8081, "guest_port": 80}),
    ]
    assert more
    for path, body in attempts:
        problem_of(client.post(f"/api/v1/{path}", body, format="json"), 409, "vm.in_trash")
    problem_of(client.delete(f"/api/v1/nics/{nic.pk}/"), 409, "vm.in_trash")
    problem_of(client.delete(f"/api/v1/volumes/{disk.pk}/"), 409)
    detached = client.post(f"/api/v1/volumes/{disk.pk}/detach/", {}, format="json")
    assert (detached.status_code, detached.json()["operation"]["kind"]) == (202, "volume.detach")
    problem_of(client.post(url(trashed, "restore/"), {}, format="json"), 409, "operation.in_the_way")

    until = trashed.trashed_until
    other = make_vm(member, "old-2", host=host, phase="trashed", power="shutoff", trashed_until=until)
    snapshot = make_snapshot(other)
    assert names(client.get(f"/api/v1/snapshots/?vm={other.pk}")) == ["before"]
    problem_of(client.delete(f"/api/v1/snapshots/{snapshot.pk}/"), 409, "vm.in_trash")
    problem_of(client.post(f"/api/v1/snapshots/{snapshot.pk}/revert/", {}, format="json"), 409, "vm.in_trash")


def test_its_name_stays_taken_and_that_is_said(client: Any, trashed: Any, new_vm: dict[str, Any]) -> None:
    found = problem_of(client.post("/api/v1/vms/", {**new_vm, "name": "old-1"}, format="json"), 422, "vm.name_taken")
    assert "in the trash" in found["detail"]


def test_it_is_restored_and_stays_off(client: Any, trashed: Any) -> None:
    answer = client.post(url(trashed, "restore/"), {}, format="json")
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["desired_power"], answer.json()["trashed_until"]) == (
        "stopped",
        "off",
        None,
    )
    assert names(client.get("/api/v1/vms/")) == ["old-1"]
    problem_of(client.post(url(trashed, "restore/"), {}, format="json"), 409, "vm.not_in_trash")
    assert client.post(url(trashed, "start/"), {}, format="json").status_code == 202


def test_it_is_not_restored_while_it_is_still_being_put_there(client: Any, vm: Any) -> None:
    operation = client.delete(url(vm)).json()["operation"]
    found = problem_of(client.post(url(vm, "restore/"), {}, format="json"), 409, "operation.in_the_way")
    assert found["operation"] == operation["id"]


def test_a_delete_that_is_sent_again_destroys_nothing(client: Any, vm: Any, trashed: Any) -> None:
    before = everything()
    problem_of(client.delete(url(trashed)), 409, "vm.in_trash")
    assert everything() == before
    client.delete(url(vm))
    problem_of(client.delete(url(vm)), 409, "vm.in_trash")


@pytest.mark.parametrize("which", ["vm", "trashed"])
def test_permanent_is_for_good(client: Any, request: pytest.FixtureRequest, which: str) -> None:
    chosen = request.getfixturevalue(which)
    answer = client.delete(url(chosen), {"permanent": True}, format="json")
    assert (answer.status_code, answer.json()["operation"]["kind"]) == (202, "vm.delete")
    assert (answer.json()["vm"]["status"], answer.json()["vm"]["trashed_until"]) == ("deleting", None)


def test_permanent_is_a_boolean_and_obeys_protection(client: Any, vm: Any) -> None:
    problem_of(client.delete(url(vm), {"permanent": "yes"}, format="json"), 400, field="permanent")
    client.patch(url(vm), {"protected": True}, format="json")
    for permanent in (True, False):
        problem_of(client.delete(url(vm), {"permanent": permanent}, format="json"), 409, "vm.protected")


@pytest.mark.parametrize("phase", ["creating", "error"])
def test_what_was_never_ready_or_failed_is_deleted(client: Any, vm: Any, phase: str) -> None:
    from apps.compute.models import VM

    VM.objects.update(phase=phase)
    assert client.delete(url(vm)).json()["operation"]["kind"] == "vm.delete"


def test_without_a_trash_it_is_deleted_at_once(client: Any, vm: Any, settings: Any) -> None:
    settings.TRASH_HOURS = 0
    assert client.delete(url(vm)).json()["operation"]["kind"] == "vm.delete"


def test_the_plan_says_which_of_both(client: Any, vm: Any, settings: Any) -> None:
    plan = client.delete(f"{url(vm)}?dry_run=true").json()["plan"]
    assert plan["reversible"] and "keep it in the trash for 24 h" in " ".join(plan["changes"])
    plan = client.delete(f"{url(vm)}?dry_run=true", {"permanent": True}, format="json").json()["plan"]
    assert not plan["reversible"] and "delete its disk of 2 GiB" in " ".join(plan["changes"])
    settings.TRASH_HOURS = 0
    assert client.delete(f"{url(vm)}?dry_run=true").json()["plan"] == plan
    vm.refresh_from_db()
    assert (vm.phase, vm.trashed_until) == ("ready", None)


def test_a_key_tells_the_trash_from_for_good(client: Any, vm: Any) -> None:
    client.delete(url(vm), HTTP_IDEMPOTENCY_KEY="once")
    again = client.delete(url(vm), HTTP_IDEMPOTENCY_KEY="once")
    assert (again.status_code, again.json()["operation"]["kind"]) == (202, "vm.trash")
    other = client.delete(url(vm), {"permanent": True}, format="json", HTTP_IDEMPOTENCY_KEY="once")
    problem_of(other, 422, "idempotency.mismatch")


def test_many_at_once(client: Any, vm: Any, trashed: Any) -> None:
    def send(action: str, **more: Any) -> list[Any]:
        body = {"action": action, "vms": ["web-1", "old-1"], **more}
        found = client.post("/api/v1/vms/bulk/", body, format="json").json()["results"]
        return [result["problem"] and result["problem"]["code"] for result in found]

    assert send("restore") == ["vm.not_in_trash", None]
    assert send("restore") == ["vm.not_in_trash", "vm.not_in_trash"]
    assert send("delete") == [None, None]
    assert send("delete", permanent=True) == ["operation.in_the_way", "operation.in_the_way"]
    assert send("start") == ["vm.in_trash", "vm.in_trash"]


def test_its_host_still_carries_it(api_for: Any, admin: Any, trashed: Any) -> None:
    from apps.hosts.capacity import capacity_claim

    assert capacity_claim(host_id=trashed.host_id, consumer_id=trashed.pk, label="old-1", demand=trashed.demand)
    found = problem_of(api_for(admin).delete(f"/api/v1/hosts/{trashed.host_id}/"), 409, "host.has_vms")
    assert "old-1" in found["detail"]


def test_a_schedule_is_skipped_and_says_why(client: Any, trashed: Any, make_schedule: Callable[..., Any]) -> None:
    from apps.compute.services.schedule import schedule_run
    from apps.events.models import Event
    from apps.operations.models import Operation

    schedule = make_schedule(trashed)
    assert schedule_run(schedule_id=schedule.pk, now=schedule.next_run + timedelta(minutes=1))
    assert "is in the trash" in Event.objects.get(kind="schedule.skipped").message
    assert not Operation.objects.exists()


def test_a_restored_backup_deletes_nothing_that_was_in_the_trash(trashed: Any) -> None:
    from apps.compute.selectors.trash import vms_expired
    from apps.dashboard.services import installation_mark_restored

    installation_mark_restored(made_at=timezone.now() - timedelta(days=30))
    trashed.refresh_from_db()
    assert (trashed.phase, trashed.trashed_until) == ("ready", None)
    assert not vms_expired(now=timezone.now() + timedelta(days=365)).exists()
