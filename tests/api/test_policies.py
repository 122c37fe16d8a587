"""Policies over the API: written with every mistake named, versioned, chosen by VMs, never gone while in use."""

from typing import Any

import pytest

from apps.compute.models import VM
from apps.placement.models import Placement, Policy, PolicyVersion
from apps.placement.policies import policies_ensure
from apps.placement.policy.shipped import shipped_texts
from tests.api.answers import problem_of

OWN = "name: own\n# where few VMs are\nscore:\n  - metric: vms\n    prefer: low\n"
POLICIES = "/api/v1/policies/"


@pytest.fixture
def client(api_for: Any, admin: Any) -> Any:
    return api_for(admin)


@pytest.fixture
def own(client: Any) -> dict[str, Any]:
    answer = client.post(POLICIES, {"text": OWN}, format="json")
    assert answer.status_code == 201, answer.content
    return dict(answer.json())


class TestWriting:
    def test_a_policy_is_kept_as_it_was_written(self, client: Any, own: dict[str, Any]) -> None:
        assert (own["name"], own["version"], own["shipped"], own["default"]) == ("own", 1, False, False)
        assert client.get(f"{POLICIES}{own['id']}/").json() == own
        assert own["text"] == OWN

    def test_what_is_wrong_is_named_with_line_and_path(self, client: Any) -> None:
        text = "name: own\nfilters:\n  memroy: {ratio: 1}\nscore:\n  - metric: cpu_load\n"
        found = problem_of(client.post(POLICIES, {"text": text}, format="json"), 422, "policy.invalid", "text")
        assert [(item["line"], item["path"], item["code"]) for item in found["problems"]] == [
            (3, "filters.memroy", "unknown"),
            (5, "score[0].metric", "metric"),
        ]
        assert "did you mean 'memory'?" in found["detail"]
        assert [item["code"] for item in found["errors"]] == ["policy.unknown", "policy.metric"]
        assert Policy.objects.count() == 0

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            (OWN, "policy.name_taken"),
            (OWN.replace("own", "balanced"), "policy.shipped"),
            (OWN.replace("own", "disk-room"), "policy.shipped"),
            ("name: 01234567-89ab-cdef-0123-456789abcdef\nscore: [{metric: vms}]", "name.like_id"),
        ],
    )
    def test_a_name_that_cannot_be_had(self, client: Any, own: dict[str, Any], text: str, code: str) -> None:
        problem_of(client.post(POLICIES, {"text": text}, format="json"), 422, code, "text")

    def test_bad_bodies(self, client: Any) -> None:
        for body in ({}, {"text": 3}, {"text": ""}, {"text": "x" * 40_000}, {"text": OWN, "name": "x"}, []):
            assert client.post(POLICIES, body, format="json").status_code in (400, 422)
        assert client.post(POLICIES, {"text": "a: &a [*a]"}, format="json").status_code == 422


class TestVersions:
    def test_a_change_is_a_version_with_author_and_difference(self, client: Any, own: dict[str, Any]) -> None:
        path = f"{POLICIES}{own['id']}/"
        text = OWN.replace("low", "high")
        assert client.put(path, {"text": text}, format="json").json()["version"] == 2
        assert client.put(path, {"text": text}, format="json").json()["version"] == 2
        second, first = client.get(f"{path}history/").json()["results"]
        assert (second["version"], second["author"]) == (2, "admin")
        assert "-    prefer: low\n+    prefer: high" in second["diff"]
        assert first["diff"].startswith("--- version 0\n+++ version 1\n")

    def test_a_mistake_or_another_name_changes_nothing(self, client: Any, own: dict[str, Any]) -> None:
        path = f"{POLICIES}{own['id']}/"
        problem_of(client.put(path, {"text": OWN + "x: 1"}, format="json"), 422, "policy.invalid", "text")
        other = OWN.replace("own", "new")
        problem_of(client.put(path, {"text": other}, format="json"), 422, "policy.renamed", "text")
        assert PolicyVersion.objects.count() == 1


class TestShipped:
    def test_are_there_after_the_set_up_and_follow_a_newer_cloudsite(self, client: Any) -> None:
        assert policies_ensure() == 5
        assert policies_ensure() == 0
        names = [row["name"] for row in client.get(POLICIES).json()["results"]]
        assert names == ["balanced", "energy", "pack", "performance", "spread"]
        Policy.objects.filter(name="pack").update(text="older")
        assert policies_ensure() == 1
        assert Policy.objects.get(name="pack").version == 2
        assert Policy.objects.get(name="pack").text == shipped_texts()["pack"]

    def test_are_neither_changed_nor_deleted(self, client: Any) -> None:
        policies_ensure()
        path = f"{POLICIES}{Policy.objects.get(name='pack').pk}/"
        text = shipped_texts()["pack"] + "# mine\n"
        problem_of(client.put(path, {"text": text}, format="json"), 422, "policy.shipped", "text")
        problem_of(client.delete(path), 409, "policy.shipped")


class TestChoosing:
    def new(self, client: Any, **more: Any) -> Any:
        body = {"name": "web-1", "image": "tiny", "size": "s-1vcpu-512mb", **more}
        return client.post("/api/v1/vms/", body, format="json")

    def test_a_vm_is_placed_by_the_policy_it_names(self, client: Any, image: Any, make_host: Any) -> None:
        make_host("small", memory_mib=8192)
        make_host("large", memory_mib=65536)
        for policy, host in (("pack", "small"), ("spread", "large"), (None, "large")):
            plan = client.post(
                "/api/v1/vms/?dry_run=true",
                {"name": "web-1", "image": "tiny", "size": "s-1vcpu-512mb", **({"policy": policy} if policy else {})},
                format="json",
            ).json()["plan"]
            assert plan["host"] == host, policy
        made = self.new(client, policy="pack").json()["vm"]
        assert made["policy"] == "pack"
        assert client.get("/api/v1/vms/").json()["results"][0]["policy"] == "pack"

    def test_an_unknown_one_is_refused_with_a_suggestion(self, client: Any, image: Any, host: Any) -> None:
        found = problem_of(self.new(client, policy="sprad"), 422, "policy.unknown", "policy")
        assert "did you mean 'spread'?" in found["detail"]
        problem_of(self.new(client, policy="disk-room"), 422, "policy.unknown", "policy")
        assert VM.objects.count() == 0

    def test_one_in_use_stays_and_one_that_is_free_goes(
        self, client: Any, image: Any, host: Any, own: dict[str, Any]
    ) -> None:
        vm = self.new(client, policy="own").json()["vm"]
        path = f"{POLICIES}{own['id']}/"
        assert "web-1" in problem_of(client.delete(path), 409, "policy.in_use")["detail"]
        VM.objects.filter(pk=vm["id"]).update(policy=None)
        assert client.delete(path).status_code == 204
        problem_of(client.get(path), 404, "policy.not_found")

    def test_the_default_is_a_setting_and_stays(
        self, client: Any, image: Any, make_host: Any, own: dict[str, Any], settings: Any
    ) -> None:
        settings.DEFAULT_POLICY = "own"
        assert client.get(f"{POLICIES}{own['id']}/").json()["default"] is True
        problem_of(client.delete(f"{POLICIES}{own['id']}/"), 409, "policy.in_use")
        settings.DEFAULT_POLICY = "nowhere"
        make_host("h1")
        assert "CLOUDSITE_DEFAULT_POLICY" in problem_of(self.new(client), 422, "policy.unknown")["detail"]

    def test_a_filter_of_the_policy_refuses_with_its_reason(self, client: Any, image: Any, host: Any) -> None:
        text = "name: picky\nfilters: {accelerator: kvm}\nscore: [{metric: vms}]"
        client.post(POLICIES, {"text": text}, format="json")
        found = problem_of(self.new(client, policy="picky"), 422, "placement.no_host_fits")
        assert "its accelerator is tcg (the policy asks for kvm)" in found["detail"]


def test_a_placement_tells_its_policy_with_version_and_why(client: Any, make_host: Any, own: dict[str, Any]) -> None:
    import uuid

    from apps.hosts.capacity import Demand
    from apps.placement.services import placement_claim, wish_of

    make_host("h1")
    make_host("h2", enabled=False)
    policy = Policy.objects.get()
    client.put(f"{POLICIES}{policy.pk}/", {"text": OWN + "# changed\n"}, format="json")
    policy.refresh_from_db()
    wish = wish_of(chosen=policy, demand=Demand(vcpus=1, memory_mib=512, disk_gib=5), architecture="x86_64")
    placement_claim(consumer_id=uuid.uuid4(), consumer_name="web-1", owner_id=None, wish=wish)
    kept = Placement.objects.get()
    (row,) = client.get("/api/v1/placements/").json()["results"]
    assert (row["policy"], row["policy_version"], row["host_name"], "trace" in row) == ("own", 2, "h1", False)
    policy.delete()
    trace = client.get(f"/api/v1/placements/{kept.pk}/").json()["trace"]
    assert (trace["best"], trace["hosts"], trace["fitting"]) == ("h1", 2, 1)
    assert [verdict["words"] for verdict in trace["verdicts"]] == [
        "h1 scored 0: vms 0 → +0",
        "h2 rejected: closed for new VMs",
    ]


class TestLabels:
    """Labels of hosts, which policies ask for."""

    def test_are_set_as_a_whole_and_decide(self, client: Any, image: Any, make_host: Any) -> None:
        first, second = make_host("h1"), make_host("h2")
        path = f"/api/v1/hosts/{second.pk}/"
        assert (
            client.patch(path, {"labels": {"rack": "b", "speed": "3"}}, format="json").json()["labels"]["rack"] == "b"
        )
        text = "name: rack-b\nfilters: {labels: {require: {rack: b}}}\nscore: [{metric: label_speed}]"
        question = {"vcpus": 1, "memory_mib": 512, "disk_gib": 5, "policy_text": text}
        answer = client.post("/api/v1/placements/explain/", question, format="json").json()
        assert answer["best"] == "h2"
        assert [verdict["words"] for verdict in answer["verdicts"]] == [
            "h2 scored 0: label_speed 3 → +0",
            "h1 rejected: needs the label rack=b (has no such label)",
        ]
        assert client.patch(path, {"labels": {}}, format="json").json()["labels"] == {}
        assert client.patch(f"/api/v1/hosts/{first.pk}/", {"enabled": True}, format="json").json()["labels"] == {}

    @pytest.mark.parametrize(
        "labels",
        [{"Rack": "b"}, {"": "b"}, {"a": ""}, {"a": "x" * 64}, {"a": "\x07"}, {f"l{n}": "1" for n in range(51)}],
    )
    def test_what_is_none(self, client: Any, host: Any, labels: Any) -> None:
        answer = client.patch(f"/api/v1/hosts/{host.pk}/", {"labels": labels}, format="json")
        assert answer.status_code in (400, 422)
        host.refresh_from_db()
        assert host.labels == {}
