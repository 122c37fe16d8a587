"""CPU features and a network of one host's own: asked for by a request, an image or a policy, and said in words."""

from typing import Any

import pytest

from apps.compute.models import VM
from apps.network.models import Network
from apps.placement.models import Placement
from tests.api.answers import problem_of, rows

OLD = ["cx16", "lahf_lm", "pni", "popcnt", "sse4.1", "sse4.2", "ssse3"]
V3 = [*OLD, "abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"]
EXPLAIN = "/api/v1/placements/explain/"


@pytest.fixture
def hosts(make_host: Any) -> dict[str, Any]:
    """The emptiest one is old; one emulates a CPU with AVX2, and would have AVX-512 under KVM."""
    return {
        "old": make_host("old", memory_mib=65536, accelerator="kvm", cpu_features={"kvm": OLD, "tcg": V3}),
        "new": make_host("new", cpu_features={"tcg": [*V3, "aes"], "kvm": [*V3, "avx512f"]}),
        "unknown": make_host("unknown"),
        "arm": make_host("arm", native_architecture="aarch64", architectures=["aarch64", "x86_64"]),
    }


@pytest.fixture
def client(api_for: Any, admin: Any, hosts: Any) -> Any:
    return api_for(admin)


@pytest.fixture
def lab(hosts: Any, admin: Any) -> Network:
    """A network that is on the host `new` alone."""
    return Network.objects.create(
        host=hosts["new"], owner=admin, name="lab", libvirt_name="cs-lab", kind="isolated", cidr="10.9.0.0/24"
    )


BODY = {"name": "web-1", "vcpus": 1, "memory_mib": 256, "disk_gib": 2}


def test_a_host_whose_cpu_has_it_is_taken_and_the_others_say_what_they_lack(client: Any, image: Any) -> None:
    body = {**BODY, "image": image.name, "cpu_features": ["x86-64-v3", "aes", "aes"]}
    answer = client.post("/api/v1/vms/", body, format="json")
    assert answer.status_code == 202, answer.content
    assert answer.json()["vm"]["cpu_features"] == ["aes", "x86-64-v3"]
    plan = client.post("/api/v1/vms/?dry_run=true", {**body, "name": "web-2"}, format="json").json()["plan"]
    assert plan["host"] == "new"
    trace = client.post(EXPLAIN, {**BODY, "name": None, "cpu_features": ["x86-64-v3"]} | {"name": "x"}, format="json")
    problem_of(trace, 400, field="name")
    asked = {key: value for key, value in BODY.items() if key != "name"}
    said = client.post(EXPLAIN, {**asked, "cpu_features": ["x86-64-v3"]}, format="json").json()
    assert (said["best"], said["fitting"]) == ("new", 1)
    assert {verdict["words"] for verdict in said["verdicts"][1:]} == {
        "old rejected: its CPU has no abm, avx, avx2, bmi1, bmi2, f16c and 3 more (asked for: x86-64-v3)",
        "unknown rejected: its CPU features are not known yet (probe it)",
        "arm rejected: which CPU features it can emulate is not known (its CPU is aarch64)",
    }


def test_what_counts_is_what_the_accelerator_in_use_gives(client: Any, image: Any) -> None:
    refusal = client.post("/api/v1/vms/", {**BODY, "image": image.name, "cpu_features": ["avx512f"]}, format="json")
    problem = problem_of(refusal, 422, "placement.no_host_fits")
    assert "new: the CPU that it emulates has no avx512f" in problem["detail"]
    assert problem["removed"] == {"cpu_features": 4}
    asked = {key: value for key, value in BODY.items() if key != "name"}
    there = {"name": "n1", "cpus": 4, "memory_mib": 8192, "disk_gib": 100}
    added = client.post(EXPLAIN, {**asked, "cpu_features": ["avx512f"], "added": [there]}, format="json").json()
    assert added["best"] == "n1"
    there["cpu_features"] = ["x86-64-v2"]  # type: ignore[assignment]
    poor = client.post(EXPLAIN, {**asked, "cpu_features": ["avx512f"], "added": [there]}, format="json").json()
    assert (poor["best"], poor["smallest_changes"][0]["filters"]) == (None, ["cpu_features"])


def test_an_image_and_a_policy_ask_too(client: Any, image: Any, make_vm: Any, admin: Any, hosts: Any) -> None:
    path = f"/api/v1/images/{image.pk}/"
    problem_of(client.patch(path, {"cpu_features": ["AVX2"]}, format="json"), 422, "cpu_features.name", "cpu_features")
    assert client.patch(path, {"cpu_features": ["avx2"]}, format="json").json()["cpu_features"] == ["avx2"]
    answer = client.post("/api/v1/vms/?dry_run=true", {**BODY, "image": image.name}, format="json")
    assert answer.json()["plan"]["host"] == "new"
    vm = make_vm(admin, "older", host=hosts["old"], image=None)
    refusal = client.post(f"/api/v1/vms/{vm.pk}/rebuild/", {"image": image.name}, format="json")
    assert "its CPU has no avx2" in problem_of(refusal, 422, "vm.cpu_features", "image")["detail"]
    text = "{name: crypto, filters: {cpu_features: [aes]}, score: [{metric: memory_free}]}"
    asked = {key: value for key, value in BODY.items() if key != "name"}
    assert client.post(EXPLAIN, {**asked, "policy_text": text}, format="json").json()["best"] == "new"
    wrong = text.replace("[aes]", "[Aes, 1]")
    problem = problem_of(client.post(EXPLAIN, {**asked, "policy_text": wrong}, format="json"), 422, "policy.invalid")
    assert [item["path"] for item in problem["problems"]] == ["filters.cpu_features[0]", "filters.cpu_features[1]"]


def test_a_reservation_has_what_the_vm_needs(client: Any, image: Any) -> None:
    wish = {**BODY, "name": "later"}
    made = client.post("/api/v1/placements/", {**wish, "cpu_features": ["avx2"]}, format="json").json()
    assert made["host_name"] == "new"
    old = client.post("/api/v1/placements/", {**wish, "name": "plain"}, format="json").json()
    assert old["host_name"] == "old"
    body = {**BODY, "image": image.name, "cpu_features": ["avx2"], "placement": old["id"]}
    refusal = client.post("/api/v1/vms/", body, format="json")
    problem = problem_of(refusal, 422, "placement.does_not_suit", "placement")
    assert problem["detail"].endswith("on old, which does not suit: its CPU has no avx2.")
    assert client.post("/api/v1/vms/", {**body, "placement": made["id"]}, format="json").status_code == 202


def test_a_network_removes_the_hosts_that_it_is_not_on(client: Any, image: Any, lab: Network, hosts: Any) -> None:
    body = {**BODY, "image": image.name, "network": "lab"}
    answer = client.post("/api/v1/vms/", body, format="json")
    assert answer.status_code == 202, answer.content
    assert VM.objects.get().nics.get().network == lab
    asked = {key: value for key, value in BODY.items() if key != "name"}
    trace = client.post(EXPLAIN, {**asked, "network": "lab"}, format="json").json()
    assert (trace["best"], trace["removed"]) == ("new", [{"filter": "network", "hosts": 3}])
    assert trace["verdicts"][-1]["words"] == "unknown rejected: does not have the network lab, which is on new alone"
    elsewhere = client.post("/api/v1/vms/", {**body, "name": "b", "host": "old"}, format="json")
    problem_of(elsewhere, 422, "network.other_host", "network")
    problem_of(client.post(EXPLAIN, {**asked, "network": "nowhere"}, format="json"), 422, "network.unknown", "network")
    type(hosts["new"]).objects.filter(name="new").update(enabled=False)
    closed = client.post("/api/v1/vms/", {**body, "name": "c"}, format="json")
    problem = problem_of(closed, 422, "placement.no_host_fits")
    assert problem["removed"] == {"state": 1, "network": 3} and "new: closed for new VMs" in problem["detail"]
    assert problem["detail"].endswith("Smallest change: add a network on arm in place of lab")


def test_a_decision_keeps_what_was_asked(client: Any, lab: Network) -> None:
    wish = {**BODY, "name": "later", "cpu_features": ["avx2"], "network": "lab"}
    made = client.post("/api/v1/placements/", wish, format="json").json()
    said = client.get(f"/api/v1/placements/{made['id']}/").json()["trace"]
    assert said["best"] == "new"
    assert {item["filter"]: item["hosts"] for item in said["removed"]} == {"cpu_features": 3}
    assert b"x86-64" not in bytes(Placement.objects.get().record)


@pytest.mark.parametrize("value", [["AVX2"], ["avx2; drop table"], [""], ["-avx2"], ["ä"], ["a" * 33], ["a"] * 21])
def test_nonsense_is_refused_at_its_field(client: Any, image: Any, value: Any) -> None:
    before = rows()
    answer = client.post("/api/v1/vms/", {**BODY, "image": image.name, "cpu_features": value}, format="json")
    assert answer.status_code in (400, 422)
    assert problem_of(answer, answer.status_code)["errors"][0]["field"].startswith("cpu_features")
    assert rows() == before


def test_a_host_shows_what_its_guests_have(client: Any, hosts: Any) -> None:
    assert client.get(f"/api/v1/hosts/{hosts['new'].pk}/").json()["cpu_features"] == [*V3, "aes"]
    assert client.get(f"/api/v1/hosts/{hosts['unknown'].pk}/").json()["cpu_features"] == []
