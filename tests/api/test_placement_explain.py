"""``POST placements/explain/``: where a VM would go and why, in a cloud as it is or a little different."""

from typing import Any

import pytest

from apps.hosts.models import Allocation, Host
from apps.placement.models import Placement, Policy
from tests.api.answers import problem_of

SMALL = {"vcpus": 1, "memory_mib": 1024, "disk_gib": 5}


@pytest.fixture
def ask(api_for: Any, admin: Any, make_host: Any) -> Any:
    """Two hosts of 7 and 15 GiB for guests, and a question about them."""
    make_host("h1", memory_mib=8192)
    make_host("h2", memory_mib=16384)
    client = api_for(admin)

    def post(**body: Any) -> Any:
        answer = client.post("/api/v1/placements/explain/", {**SMALL, **body}, format="json")
        assert (Placement.objects.count(), Allocation.objects.count()) == (0, 0)
        return answer

    return post


def best(answer: Any) -> str | None:
    assert answer.status_code == 200, answer.content
    found: str | None = answer.json()["best"]
    return found


def test_the_cloud_as_it_is(ask: Any) -> None:
    trace = ask().json()
    assert (trace["best"], trace["runner_up"], trace["fitting"], trace["policy"]) == ("h2", "h1", 2, "balanced")
    assert trace["margin"] > 0
    assert trace["smallest_changes"] == []
    assert [share["term"] for share in trace["verdicts"][0]["shares"]][:2] == ["memory_free_share", "vcpus_free_share"]


def test_a_host_down_a_host_more_another_policy(ask: Any) -> None:
    assert best(ask(down=["h2"])) == "h1"
    down = ask(down=["h1", "h2"]).json()
    assert (down["best"], down["removed"]) == (None, [{"filter": "state", "hosts": 2}])
    assert down["verdicts"][0]["words"] == "h1 rejected: taken as down"
    new = {"name": "h3", "cpus": 64, "memory_mib": 262144, "disk_gib": 4000}
    assert best(ask(added=[new])) == "h3"
    assert best(ask(policy="pack")) == "h1"
    assert best(ask(policy_text="name: x\nscore: [{metric: memory_free, prefer: low}]")) == "h1"
    assert best(ask(host="h1")) == "h1"
    assert (Policy.objects.count(), Host.objects.count()) == (0, 2)


def test_nothing_fits_says_what_would_help(ask: Any, api_for: Any, admin: Any, image: Any) -> None:
    Host.objects.filter(name="h1").update(enabled=False)
    trace = ask(memory_mib=15000).json()
    assert trace["removed"] == [{"filter": "state", "hosts": 1}, {"filter": "memory", "hosts": 1}]
    (change,) = trace["smallest_changes"]
    assert (change["host"], change["filters"]) == ("h2", ["memory"])
    assert change["words"] == "ask for 318 MiB less of memory, or free as much on h2"
    body = {"name": "big", "image": "tiny", "vcpus": 1, "memory_mib": 15000, "disk_gib": 5}
    found = problem_of(api_for(admin).post("/api/v1/vms/", body, format="json"), 422, "placement.no_host_fits")
    assert found["detail"].endswith("Smallest change: ask for 318 MiB less of memory, or free as much on h2")
    assert found["removed"] == {"state": 1, "memory": 1}


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"down": ["h9"]}, "host.unknown", "down"),
        ({"added": [{"name": "h1", "cpus": 1, "memory_mib": 1, "disk_gib": 1}]}, "host.name_taken", "added"),
        ({"policy": "sprad"}, "policy.unknown", "policy"),
        ({"policy": "spread", "policy_text": "x"}, "policy.name_and_text", "policy_text"),
        ({"policy_text": "name: x"}, "policy.invalid", "text"),
        ({"image": "nowhere"}, "image.unknown", "image"),
        ({"host": "nowhere"}, "host.unknown", "host"),
    ],
)
def test_what_cannot_be_asked(ask: Any, body: dict[str, Any], code: str, field: str) -> None:
    problem_of(ask(**body), 422, code, field)


@pytest.mark.parametrize("number", [0, -1, 2**40, 1.5, "1", None, True])
def test_absurd_sizes(ask: Any, number: Any) -> None:
    for field in SMALL:
        assert ask(**{field: number}).status_code in (400, 422)
