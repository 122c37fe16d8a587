"""Networks of people: what the API answers and writes."""

import uuid
from typing import Any

import pytest

from apps.network.models import Network
from tests.api.answers import problem_of

URL = "/api/v1/networks/"


@pytest.fixture
def boss(api_for: Any, admin: Any) -> Any:
    return api_for(admin)


def wish(**more: Any) -> dict[str, Any]:
    return {"name": "shop", "kind": "nat", **more}


def make(host: Any, owner: Any, name: str = "shop", **more: Any) -> Network:
    values = {"kind": "nat", "cidr": "192.168.77.0/24", "libvirt_name": f"cs-1-{uuid.uuid4().hex[:8]}"}
    network: Network = Network.objects.create(host=host, owner=owner, name=name, **{**values, **more})
    return network


class TestCreate:
    def test_the_answer_and_the_row(self, boss: Any, admin: Any, host: Any) -> None:
        response = boss.post(URL, wish(cidr="192.168.50.0/24", host=host.name), format="json")
        assert response.status_code == 202, response.content
        network, operation = response.json()["network"], response.json()["operation"]
        assert (network["name"], network["kind"], network["cidr"]) == ("shop", "nat", "192.168.50.0/24")
        assert (network["status"], network["builtin"], network["host"]) == ("creating", False, host.name)
        assert (operation["kind"], operation["target"]["id"]) == ("network.create", network["id"])
        row = Network.objects.get()
        assert row.owner == admin
        assert "shop" not in row.libvirt_name and row.libvirt_name.endswith(row.id.hex[-8:])
        assert len(row.bridge) <= 15

    def test_the_plan_of_a_lan_says_what_it_cannot(self, boss: Any, host: Any) -> None:
        response = boss.post(f"{URL}?dry_run=true", wish(kind="lan"), format="json")
        plan = " ".join(response.json()["plan"]["changes"])
        assert "cannot reach" in plan and "Wi-Fi" in plan
        assert not Network.objects.exists()

    @pytest.mark.parametrize(
        ("body", "field", "code"),
        [
            ({"cidr": "192.168.50.1/24"}, "cidr", "network.cidr"),
            ({"cidr": "192.168.50.0"}, "cidr", "network.cidr_size"),
            ({"cidr": "192.168.50.0/255.255.255.0"}, "cidr", None),
            ({"cidr": "10.0.0.0/8"}, "cidr", "network.cidr_size"),
            ({"cidr": "10.0.0.0/30"}, "cidr", "network.cidr_size"),
            ({"cidr": "8.8.8.0/24"}, "cidr", "network.cidr_private"),
            ({"cidr": "127.0.0.0/24"}, "cidr", "network.cidr_private"),
            ({"cidr": "::/64"}, "cidr", "network.cidr"),
            ({"cidr": "<b>"}, "cidr", "network.cidr"),
            ({"kind": "lan", "cidr": "10.0.0.0/24"}, "cidr", "network.lan_cidr"),
            ({"device": "eth0"}, "device", "network.device"),
            ({"name": "default"}, "name", "network.name_reserved"),
            ({"host": "nowhere"}, "host", "host.unknown"),
        ],
    )
    def test_refused(self, boss: Any, host: Any, body: dict[str, Any], field: str, code: str | None) -> None:
        response = boss.post(URL, wish(**body), format="json")
        assert response.status_code == 422, response.content
        problem = response.json()
        assert problem["errors"][0]["field"] == field
        assert code is None or problem["code"] == code
        assert not Network.objects.exists()

    @pytest.mark.parametrize("device", ["../x", "eth0;id", "a" * 16, "", "eth0 x", "eth0\nx"])
    def test_a_device_is_a_name(self, boss: Any, host: Any, device: str) -> None:
        assert boss.post(URL, wish(kind="lan", device=device), format="json").status_code in (400, 422)

    def test_what_overlaps_is_named(self, boss: Any, admin: Any, host: Any, make_host: Any) -> None:
        make(host, admin, "office", cidr="192.168.50.0/24")
        body = wish(cidr="192.168.50.128/25", host=host.name)
        problem = problem_of(boss.post(URL, body, format="json"), 422, "network.overlap")
        assert "office" in problem["detail"]
        elsewhere = make_host("h2")
        assert boss.post(URL, {**body, "host": elsewhere.name}, format="json").status_code == 202

    def test_a_name_is_taken_once_per_person(self, api_for: Any, boss: Any, member: Any, host: Any) -> None:
        assert boss.post(URL, wish(), format="json").status_code == 202
        assert api_for(member).post(URL, wish(), format="json").status_code == 202
        problem_of(boss.post(URL, wish(), format="json"), 422, "network.name_taken")

    def test_without_any_host(self, boss: Any, installation: str) -> None:
        problem_of(boss.post(URL, wish(), format="json"), 422, "network.no_host")

    def test_what_is_for_administrators(self, api_for: Any, member: Any, host: Any) -> None:
        client = api_for(member)
        problem_of(client.post(URL, wish(kind="lan"), format="json"), 403, "network.lan_admin_only")
        problem_of(client.post(URL, wish(shared=True), format="json"), 403, "network.shared_admin_only")
        problem_of(client.post(URL, wish(host=host.name), format="json"), 403, "host.admin_only")
        for number in range(20):
            make(host, member, f"n{number}", cidr="")
        problem_of(client.post(URL, wish(), format="json"), 422, "network.too_many")


class TestRead:
    def test_own_and_shared(self, api_for: Any, member: Any, other: Any, admin: Any, host: Any) -> None:
        make(host, member, "mine")
        make(host, other, "theirs")
        make(host, admin, "all", shared=True)
        make(host, None, "default", shared=True)
        names = [row["name"] for row in api_for(member).get(f"{URL}?ordering=name").json()["results"]]
        assert names == ["all", "default", "mine"]
        assert len(api_for(admin).get(URL).json()["results"]) == 4
        assert api_for(admin).get(f"{URL}?kind=lan").json()["results"] == []

    def test_a_list_takes_as_many_queries_whatever_its_length(
        self, boss: Any, admin: Any, host: Any, django_assert_max_num_queries: Any
    ) -> None:
        for number in range(30):
            make(host, admin, f"n{number}")
        with django_assert_max_num_queries(4):
            assert len(boss.get(f"{URL}?limit=100").json()["results"]) == 30


class TestChange:
    def test_rename_and_share(self, boss: Any, admin: Any, host: Any) -> None:
        network = make(host, admin)
        url, before = f"{URL}{network.pk}/", network.libvirt_name
        assert boss.patch(url, {"name": "office", "shared": True}, format="json").json()["name"] == "office"
        network.refresh_from_db()
        assert (network.shared, network.libvirt_name) == (True, before)
        problem_of(boss.patch(url, {"name": "default"}, format="json"), 422, "network.name_reserved")

    def test_what_is_only_shared_is_not_mine(self, api_for: Any, member: Any, admin: Any, host: Any) -> None:
        url = f"{URL}{make(host, admin, shared=True).pk}/"
        problem_of(api_for(member).patch(url, {"name": "x"}, format="json"), 403, "network.not_yours")
        problem_of(api_for(member).delete(url), 403, "network.not_yours")

    def test_the_builtin_stays(self, boss: Any, host: Any) -> None:
        url = f"{URL}{make(host, None, 'default', shared=True).pk}/"
        problem_of(boss.delete(url), 409, "network.builtin")
        problem_of(boss.patch(url, {"name": "x"}, format="json"), 409, "network.builtin")

    def test_one_in_use_names_its_users(self, boss: Any, admin: Any, host: Any, image: Any) -> None:
        from apps.compute.models import VM

        network = make(host, admin)
        vm = VM.objects.create(
            owner=admin, name="web-1", created_name="web-1", image=image, vcpus=1, memory_mib=64, disk_gib=1
        )
        vm.nics.create(network=network, mac="52:00:00:00:00:01")
        problem = problem_of(boss.delete(f"{URL}{network.pk}/"), 409, "network.in_use")
        assert problem["vms"] == ["web-1"] and "web-1" in problem["detail"]
        vm.nics.all().delete()
        assert boss.delete(f"{URL}{network.pk}/").status_code == 202
        network.refresh_from_db()
        assert network.phase == "deleting"
