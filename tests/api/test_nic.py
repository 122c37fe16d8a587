"""Interfaces and port forwards of a VM: what the API answers and writes."""

from typing import Any

import pytest

from apps.compute.models import Nic, PortForward
from apps.network.models import Network
from tests.api.answers import problem_of


@pytest.fixture
def placed(admin: Any, make_vm: Any, host: Any) -> Any:
    """A VM in the own network of a host that forwards ports."""
    host.forwards_ports, host.listening = True, [["tcp", 5432]]
    host.save()
    vm = make_vm(admin, "web-1", host=host)
    own = Network.objects.create(host=host, name="default", shared=True, cidr="192.168.150.0/24", libvirt_name="cs-1")
    Nic.objects.create(vm=vm, network=own, mac="52:00:00:00:00:01", ip="192.168.150.2")
    return vm


@pytest.fixture
def back(admin: Any, host: Any) -> Network:
    return Network.objects.create(
        host=host, owner=admin, name="back", kind="isolated", cidr="10.7.0.0/24", libvirt_name="cs-1-back"
    )


def nics(vm: Any) -> str:
    return f"/api/v1/vms/{vm.pk}/nics/"


def ports(vm: Any) -> str:
    return f"/api/v1/vms/{vm.pk}/port-forwards/"


class TestNics:
    def test_add_and_read(self, boss: Any, placed: Any, back: Network) -> None:
        response = boss.post(nics(placed), {"network": "back"}, format="json")
        assert response.status_code == 202, response.content
        assert response.json()["operation"]["kind"] == "nic.create"
        found = boss.get(f"{nics(placed)}?ordering=created_at").json()["results"]
        assert [(row["network"], row["status"]) for row in found] == [("default", "ready"), ("back", "attaching")]

    @pytest.mark.parametrize("reference", ["nowhere", "11111111-2222-4333-8444-555555555555"])
    def test_unknown(self, boss: Any, placed: Any, reference: str) -> None:
        problem_of(boss.post(nics(placed), {"network": reference}, format="json"), 422, "network.unknown")

    def test_a_foreign_one_is_unknown(self, api_for: Any, member: Any, make_vm: Any, host: Any, back: Any) -> None:
        vm = make_vm(member, "mine", host=host)
        response = api_for(member).post(nics(vm), {"network": str(back.pk)}, format="json")
        problem_of(response, 422, "network.unknown")

    def test_on_another_host(self, boss: Any, placed: Any, back: Network, make_host: Any) -> None:
        Network.objects.filter(pk=back.pk).update(host=make_host("h2"))
        problem_of(boss.post(nics(placed), {"network": "back"}, format="json"), 422, "network.other_host")

    def test_once_per_network(self, boss: Any, placed: Any) -> None:
        problem_of(boss.post(nics(placed), {"network": "default"}, format="json"), 422, "nic.exists")

    def test_the_last_one_stays(self, boss: Any, placed: Any) -> None:
        nic = placed.nics.get()
        problem_of(boss.delete(f"/api/v1/nics/{nic.pk}/"), 409, "nic.last")

    def test_one_that_ports_lead_to_stays(self, boss: Any, placed: Any, back: Network, host: Any) -> None:
        nic = placed.nics.get()
        placed.nics.create(network=back, mac="52:00:00:00:00:02")
        PortForward.objects.create(vm=placed, nic=nic, host=host, host_port=8080, guest_port=80)
        problem = problem_of(boss.delete(f"/api/v1/nics/{nic.pk}/"), 409, "nic.has_forwards")
        assert "tcp-8080" in problem["detail"]

    def test_a_vm_is_made_in_a_network(self, boss: Any, new_vm: Any, back: Network, make_host: Any) -> None:
        response = boss.post("/api/v1/vms/", {**new_vm, "network": "back"}, format="json")
        assert response.status_code == 202, response.content
        assert Nic.objects.get().network == back
        elsewhere = make_host("h2")
        body = {**new_vm, "name": "web-2", "network": "back", "host": elsewhere.name}
        problem_of(boss.post("/api/v1/vms/", body, format="json"), 422, "network.other_host")
        problem_of(boss.delete(f"/api/v1/networks/{back.pk}/"), 409, "network.in_use")


class TestForwards:
    def test_open_and_read(self, boss: Any, placed: Any) -> None:
        response = boss.post(ports(placed), {"host_port": 8080, "guest_port": 80}, format="json")
        assert response.status_code == 202, response.content
        row = boss.get(ports(placed)).json()["results"][0]
        assert (row["protocol"], row["host_port"], row["guest_port"]) == ("tcp", 8080, 80)
        assert (row["address"], row["status"]) == ("192.168.150.2", "creating")
        gone = boss.delete(f"/api/v1/port-forwards/{row['id']}/")
        assert (gone.status_code, gone.json()["port_forward"]["status"]) == (202, "deleting")

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"host_port": 0}, "port_forward.port"),
            ({"host_port": 65536}, "port_forward.port"),
            ({"host_port": -1}, "port_forward.port"),
            ({"guest_port": 70000}, "port_forward.port"),
            ({"host_port": 22}, "port_forward.port_in_use"),
            ({"host_port": 16514}, "port_forward.port_in_use"),
            ({"host_port": 5432}, "port_forward.port_in_use"),
        ],
    )
    def test_refused(self, boss: Any, placed: Any, body: dict[str, Any], code: str) -> None:
        response = boss.post(ports(placed), {"host_port": 8080, "guest_port": 80, **body}, format="json")
        problem = problem_of(response, 422, code)
        assert problem["errors"][0]["field"] in body
        assert not PortForward.objects.exists()

    @pytest.mark.parametrize("value", ["80; reboot", 80.5, None, True, [80], "NaN", 10**30])
    def test_nonsense(self, boss: Any, placed: Any, value: Any) -> None:
        response = boss.post(ports(placed), {"host_port": value, "guest_port": 80}, format="json")
        assert response.status_code in (400, 422), response.content

    def test_a_taken_port_names_the_other_vm_to_its_owner_alone(
        self, api_for: Any, boss: Any, placed: Any, make_vm: Any, member: Any, host: Any
    ) -> None:
        body = {"host_port": 8080, "guest_port": 80}
        assert boss.post(ports(placed), body, format="json").status_code == 202
        problem = problem_of(boss.post(ports(placed), body, format="json"), 422, "port_forward.port_taken")
        assert "web-1" in problem["detail"]
        assert boss.post(ports(placed), {**body, "protocol": "udp"}, format="json").status_code == 202
        vm = make_vm(member, "mine", host=host)
        vm.nics.create(network=placed.nics.get().network, mac="52:00:00:00:00:09", ip="192.168.150.9")
        client = api_for(member)
        problem = problem_of(client.post(ports(vm), body, format="json"), 422, "port_forward.port_taken")
        assert "web-1" not in problem["detail"]
        problem_of(client.post(ports(vm), {**body, "host_port": 80}, format="json"), 422, "port_forward.privileged")

    def test_a_host_without_the_hook_says_what_to_run(self, boss: Any, placed: Any, host: Any) -> None:
        type(host).objects.update(forwards_ports=False)
        response = boss.post(ports(placed), {"host_port": 8080, "guest_port": 80}, format="json")
        problem = problem_of(response, 422, "port_forward.host_not_prepared")
        assert any("/etc/libvirt/hooks/network.d/50-cloudsite" in line for line in problem["setup"]["commands"])

    def test_without_nat(self, boss: Any, placed: Any) -> None:
        Network.objects.update(kind="isolated")
        response = boss.post(ports(placed), {"host_port": 8080, "guest_port": 80}, format="json")
        problem_of(response, 422, "port_forward.no_nat")
