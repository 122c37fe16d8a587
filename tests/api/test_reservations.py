"""``POST placements/``: room that is held for a VM which is made later."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.compute.models import VM
from apps.events.models import Event
from apps.hosts.models import Allocation, Host
from apps.placement.models import Placement, Reservation
from tests.api.answers import problem_of

PLACEMENTS = "/api/v1/placements/"
WISH = {"name": "later", "vcpus": 2, "memory_mib": 1024, "disk_gib": 5}


@pytest.fixture
def client(api_for: Any, admin: Any, make_host: Any) -> Any:
    """Two hosts of 7 and 15 GiB for guests."""
    make_host("h1", memory_mib=8192)
    make_host("h2", memory_mib=16384)
    return api_for(admin)


def reserve(client: Any, **more: Any) -> dict[str, Any]:
    answer = client.post(PLACEMENTS, {**WISH, **more}, format="json")
    assert answer.status_code == 201, answer.content
    found: dict[str, Any] = answer.json()
    return found


def claimed() -> list[tuple[str, int, int, int]]:
    return list(
        Host.objects.order_by("name").values_list("name", "vcpus_claimed", "memory_claimed_mib", "disk_claimed_gib")
    )


NOTHING = [("h1", 0, 0, 0), ("h2", 0, 0, 0)]


class TestReserve:
    def test_claims_at_once_and_says_until_when_and_why(self, client: Any) -> None:
        made = reserve(client, expires_s=60)
        assert (made["host_name"], made["consumer_name"], made["policy"]) == ("h2", "later", "balanced")
        until = Reservation.objects.get().expires_at
        assert timedelta(seconds=50) < until - timezone.now() <= timedelta(seconds=60)
        assert made["reserved_until"] == until.isoformat().replace("+00:00", "Z")
        assert claimed() == [("h1", 0, 0, 0), ("h2", 2, 1088, 5)]
        found = client.get(f"{PLACEMENTS}{made['id']}/").json()
        assert (found["trace"]["best"], found["reserved_until"]) == ("h2", made["reserved_until"])
        assert [row["reserved_until"] for row in client.get(PLACEMENTS).json()["results"]] == [made["reserved_until"]]
        event = Event.objects.get(kind="placement.reserve")
        assert (event.actor_label, event.message) == ("admin", "Reserved room on h2 for 60 s")

    def test_counts_as_a_machine(self, client: Any) -> None:
        text = "{name: one, filters: {max_vms: 1}, score: [{metric: vms}]}"
        client.post("/api/v1/policies/", {"text": text}, format="json")
        assert {reserve(client, policy="one")["host_name"] for _ in range(2)} == {"h1", "h2"}
        problem_of(client.post(PLACEMENTS, {**WISH, "policy": "one"}, format="json"), 422, "placement.no_host_fits")

    def test_a_policy_that_it_was_made_by_stays(self, client: Any) -> None:
        made = client.post("/api/v1/policies/", {"text": "{name: own, score: [{metric: vms}]}"}, format="json").json()
        placed = reserve(client, policy="own")
        refused = client.delete(f"/api/v1/policies/{made['id']}/")
        assert problem_of(refused, 409, "policy.in_use")["detail"] == "own is used by the reservation later."
        client.delete(f"{PLACEMENTS}{placed['id']}/")
        assert client.delete(f"/api/v1/policies/{made['id']}/").status_code == 204

    def test_the_same_key_reserves_once(self, client: Any) -> None:
        first, again = (
            client.post(PLACEMENTS, WISH, format="json", HTTP_IDEMPOTENCY_KEY="once").json()["id"] for _ in range(2)
        )
        assert first == again
        assert Allocation.objects.count() == 1

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"memory_mib": 200_000}, 422, "placement.no_host_fits"),
            ({"vcpus": 0}, 422, "request.refused"),
            ({"memory_mib": -1}, 422, "request.refused"),
            ({"disk_gib": 10**12}, 422, "request.refused"),
            ({"expires_s": 9}, 422, "request.refused"),
            ({"expires_s": 86_401}, 422, "request.refused"),
            ({"name": "No Name"}, 422, "request.refused"),
            ({"policy": "sprad"}, 422, "policy.unknown"),
            ({"policy_text": "name: x"}, 400, None),
            ({"host": "h9"}, 422, "host.unknown"),
            ({"image": "nothing"}, 422, "image.unknown"),
            ({"architecture": "aarch64"}, 422, "placement.no_host_fits"),
        ],
    )
    def test_what_is_wrong_claims_nothing(self, client: Any, body: Any, status: int, code: str | None) -> None:
        problem_of(client.post(PLACEMENTS, {**WISH, **body}, format="json"), status, code)
        assert claimed() == NOTHING
        assert (Placement.objects.count(), Reservation.objects.count(), Event.objects.count()) == (0, 0, 0)

    def test_only_a_host_that_is_away_has_room(self, client: Any) -> None:
        Host.objects.update(status="unreachable")
        problem_of(client.post(PLACEMENTS, WISH, format="json"), 503, "placement.hosts_away")


class TestRelease:
    def test_gives_the_room_back_and_keeps_the_reasons(self, client: Any) -> None:
        path = f"{PLACEMENTS}{reserve(client)['id']}/"
        assert client.delete(path).status_code == 204
        assert claimed() == NOTHING
        assert Allocation.objects.count() == 0
        found = client.get(path).json()
        assert (found["reserved_until"], found["trace"]["best"]) == (None, "h2")
        problem_of(client.delete(path), 409, "placement.not_reserved")
        assert claimed() == NOTHING

    def test_the_place_of_a_vm_is_not_given_back(self, client: Any, admin: Any, host: Any) -> None:
        known = Placement.objects.create(
            consumer_id=uuid.uuid4(), consumer_name="web-1", host_id=host.pk, host_name="h1", policy="spread"
        )
        found = problem_of(client.delete(f"{PLACEMENTS}{known.pk}/"), 409, "placement.not_reserved")
        assert found["detail"].startswith("web-1 on h1 is no reservation")

    @pytest.fixture
    def host(self, client: Any) -> Host:
        return Host.objects.get(name="h1")

    def test_a_host_with_reserved_room_is_not_removed(self, client: Any) -> None:
        reserve(client)
        known = Host.objects.get(name="h2")
        problem_of(client.delete(f"/api/v1/hosts/{known.pk}/"), 409, "host.has_vms")


class TestTake:
    """``POST vms/`` with ``placement``."""

    @pytest.fixture(autouse=True)
    def a_small_image(self, image: Any) -> None:
        """``tiny``"""

    def create(self, client: Any, reserved: str, **more: Any) -> Any:
        body = {"name": "web-1", "image": "tiny", "vcpus": 2, "memory_mib": 512, "disk_gib": 5, "placement": reserved}
        return client.post("/api/v1/vms/", {**body, **more}, format="json")

    def test_the_vm_gets_room_host_policy_and_reasons(self, client: Any) -> None:
        placed = reserve(client, policy="spread")
        vm = self.create(client, placed["id"]).json()["vm"]
        assert (vm["id"], vm["policy"]) == (placed["consumer_id"], "spread")
        assert claimed() == [("h1", 0, 0, 0), ("h2", 2, 576, 5)]  # what was too much is free again
        held = Allocation.objects.get()
        assert (held.kind, held.label, held.consumer_id) == ("vm", "web-1", VM.objects.get().pk)
        found = client.get(f"{PLACEMENTS}{placed['id']}/").json()
        assert (found["consumer_name"], found["reserved_until"]) == ("web-1", None)
        problem_of(client.delete(f"{PLACEMENTS}{placed['id']}/"), 409, "placement.not_reserved")
        problem_of(self.create(client, placed["id"], name="web-2"), 422, "placement.not_reserved", "placement")

    def test_one_that_is_refused_leaves_the_reservation(self, client: Any, admin: Any, make_host: Any) -> None:
        placed, before = reserve(client), claimed()
        cases: list[tuple[dict[str, Any], str]] = [
            ({"memory_mib": 1025}, "placement.does_not_suit"),
            ({"vcpus": 3, "disk_gib": 6}, "placement.does_not_suit"),
            ({"max_memory_mib": 2048}, "placement.does_not_suit"),
            ({"firmware": "uefi"}, "placement.does_not_suit"),
            ({"policy": "pack"}, "placement.and_policy"),
            ({"host": "h1"}, "placement.other_host"),
            ({"placement": str(uuid.uuid4())}, "placement.not_reserved"),
        ]
        for body, code in cases:
            problem_of(self.create(client, placed["id"], **body), 422, code)
            assert claimed() == before
        found = problem_of(self.create(client, placed["id"], vcpus=3, disk_gib=6), 422, field="placement")
        assert found["detail"] == "The VM needs 1 vCPU, 1 GiB of disk more than was reserved."
        assert (Reservation.objects.count(), VM.objects.count()) == (1, 0)

    def test_one_that_is_over_is_not_taken_though_nobody_gave_it_back_yet(self, client: Any) -> None:
        placed = reserve(client)
        Reservation.objects.update(expires_at=timezone.now())
        problem_of(self.create(client, placed["id"]), 422, "placement.not_reserved")

    def test_of_another_person_is_not_there(self, client: Any, api_for: Any, member: Any) -> None:
        placed = reserve(client)
        answers = [self.create(api_for(member), of) for of in (placed["id"], str(uuid.uuid4()))]
        foreign, missing = (problem_of(answer, 422, "placement.not_reserved") for answer in answers)
        assert foreign == missing
