"""Pages of networks, and the tab of a VM."""

from typing import Any

import pytest
from django.test import Client

from apps.compute.models import Nic, PortForward
from apps.network.models import Network


@pytest.fixture
def client(admin: Any) -> Client:
    client = Client()
    client.force_login(admin, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def back(admin: Any, host: Any) -> Network:
    return Network.objects.create(
        host=host, owner=admin, name="back", kind="isolated", cidr="10.7.0.0/24", libvirt_name="cs-1-back"
    )


def test_a_network_is_made_from_the_page(client: Client, host: Any) -> None:
    form = {"name": "shop", "kind": "nat", "cidr": "10.7.0.0/24"}
    plan = client.post("/networks/new/", {**form, "intent": "plan"}, headers={"HX-Request": "true"})
    assert b"behind NAT" in plan.content and not Network.objects.exists()
    assert client.post("/networks/new/", {**form, "intent": "create"}).status_code == 302
    assert Network.objects.get().cidr == "10.7.0.0/24"
    refused = client.post("/networks/new/", {**form, "name": "other", "intent": "create"})
    assert refused.status_code == 422 and b"overlaps with the network shop" in refused.content


def test_the_list_and_the_page_show_who_is_in_it(client: Client, admin: Any, make_vm: Any, back: Network) -> None:
    vm = make_vm(admin, "web-1")
    vm.nics.create(network=back, mac="52:00:00:00:00:77", ip="10.7.0.2")
    assert b"10.7.0.0/24" in client.get("/networks/").content
    page = client.get(f"/networks/{back.pk}/").content
    assert b"web-1" in page and b"10.7.0.2" in page
    assert client.post(f"/networks/{back.pk}/delete/").status_code == 302
    assert Network.objects.filter(pk=back.pk, phase="ready").exists()


def test_another_member_sees_nobody_elses_machines(member: Any, admin: Any, make_vm: Any, back: Network) -> None:
    back.shared = True
    back.save()
    make_vm(admin, "secret").nics.create(network=back, mac="52:00:00:00:00:77", ip="10.7.0.2")
    client = Client()
    client.force_login(member, backend="django.contrib.auth.backends.ModelBackend")
    page = client.get(f"/networks/{back.pk}/").content
    assert b"secret" not in page and b"10.7.0.2" not in page


def test_interfaces_and_ports_from_the_tab(client: Client, admin: Any, make_vm: Any, back: Network, host: Any) -> None:
    type(host).objects.update(forwards_ports=True)
    vm = make_vm(admin, "web-1")
    url = f"/vms/{vm.pk}/network/"
    assert b"Add port forward" in client.get(url).content
    sent = client.post(f"/vms/{vm.pk}/port-forwards/new/", {"host_port": 8080, "guest_port": 80, "protocol": "tcp"})
    assert sent.status_code == 302 and PortForward.objects.get().host_port == 8080
    nonsense = client.post(f"/vms/{vm.pk}/port-forwards/new/", {"host_port": "x"}, follow=True)
    assert b"Port of the host: Enter a whole number." in nonsense.content
    assert client.post(f"/vms/{vm.pk}/nics/new/", {"network": str(back.pk)}).status_code == 302
    assert Nic.objects.filter(vm=vm, network=back, phase="attaching").exists()
    assert b"8080" in client.get(url).content


def test_a_vm_is_made_in_a_network(client: Client, back: Network, image: Any) -> None:
    form = {"name": "web-1", "image": image.name, "size": "s-1vcpu-512mb", "network": str(back.pk)}
    assert client.post("/vms/new/", {**form, "intent": "create"}).status_code == 302
    assert Nic.objects.get().network == back
