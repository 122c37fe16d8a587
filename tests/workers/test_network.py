"""Networks of people on a fake host: made once, taken away whole, and what a dead worker leaves."""

from ipaddress import IPv4Network
from typing import Any

import pytest

from apps.network.models import Network
from apps.network.services import network_create, network_delete
from hypervisor.fake import Fault


def ask(workshop: Any, name: str = "shop", kind: str = "nat", **more: Any) -> Any:
    return network_create(actor=workshop.admin, name=name, kind=kind, host=workshop.host.name, **more)


def made(workshop: Any) -> dict[str, Any]:
    with workshop.fake.store.transaction() as state:
        return dict(state.all("network"))


def test_a_network_is_made_and_taken_away(workshop: Any) -> None:
    change = ask(workshop, kind="isolated", cidr="10.7.0.0/28")
    assert workshop.carry_out(change.operation).status == "succeeded", change.operation.error_message
    network = Network.objects.get(pk=change.network.pk)
    body = made(workshop)[network.libvirt_name]
    assert (body["kind"], body["cidr"], len(body["reservations"])) == ("isolated", "10.7.0.0/28", 13)
    assert network.phase == "ready"
    gone = network_delete(actor=workshop.admin, network_id=network.pk)
    assert workshop.carry_out(gone.operation).status == "succeeded"
    assert network.libvirt_name not in made(workshop)
    assert not Network.objects.filter(pk=network.pk).exists()


def test_without_a_cidr_each_gets_a_free_one(workshop: Any) -> None:
    for name in ("a", "b"):
        assert workshop.carry_out(ask(workshop, name).operation).status == "succeeded"
    subnets = [IPv4Network(text) for text in Network.objects.values_list("cidr", flat=True)]
    assert len(subnets) == 3
    assert not any(a.overlaps(b) for a in subnets for b in subnets if a is not b)


def test_a_subnet_that_the_host_uses_is_told(workshop: Any) -> None:
    workshop.hypervisor.ensure_network(foreign("10.7.0.0/24"))
    change = ask(workshop, cidr="10.7.0.0/25")
    ended = workshop.carry_out(change.operation)
    assert (ended.status, ended.error_code) == ("failed", "network.overlap")
    assert "10.7.0.0/24" in ended.error_message
    network = Network.objects.get(pk=change.network.pk)
    assert network.phase == "error" and "10.7.0.0/24" in network.reason


def foreign(cidr: str) -> Any:
    from uuid import uuid4

    from apps.hosts.selectors import installation_id
    from hypervisor.specs import NetworkSpec

    subnet = IPv4Network(cidr)
    return NetworkSpec(
        name="theirs", uuid=uuid4(), bridge="theirs", cidr=subnet, gateway=subnet[1], dhcp_start=subnet[2],
        dhcp_end=subnet[-2], installation=installation_id(),
    )  # fmt: skip


@pytest.mark.parametrize("method", ["used_subnets", "ensure_network"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_second_try_makes_no_second_network(workshop: Any, method: str, moment: Any) -> None:
    """As after a worker that died around each call: the same network, once, on the subnet of the first try."""
    change = ask(workshop)
    workshop.fake.inject(Fault(action="unreachable", method=method, moment=moment))
    workshop.claim_once(change.operation)
    chosen = Network.objects.get(pk=change.network.pk).cidr
    workshop.host.refresh_from_db()
    type(workshop.host).objects.filter(pk=workshop.host.pk).update(status="up", retry_at=None)
    assert workshop.carry_out(change.operation).status == "succeeded"
    network = Network.objects.get(pk=change.network.pk)
    assert chosen in ("", network.cidr)
    assert made(workshop)[network.libvirt_name]["cidr"] == network.cidr
    assert len(made(workshop)) == 2


def test_a_refusal_frees_the_choice_for_the_next_try(workshop: Any) -> None:
    change = ask(workshop)
    workshop.fake.inject(Fault(action="reject", method="ensure_network", times=None))
    assert workshop.carry_out(change.operation).status == "failed"
    assert Network.objects.get(pk=change.network.pk).cidr == ""


@pytest.mark.parametrize(("uplink", "is_bridge"), [("br0:bridge", True), ("eth0:ethernet", False)])
def test_a_lan_is_over_the_device_of_the_default_route(workshop: Any, uplink: str, is_bridge: bool) -> None:
    workshop.fake.configure(uplink=uplink)
    change = ask(workshop, kind="lan")
    assert workshop.carry_out(change.operation).status == "succeeded"
    network = Network.objects.get(pk=change.network.pk)
    assert (network.device, network.is_bridge) == (uplink.split(":")[0], is_bridge)
    assert made(workshop)[network.libvirt_name]["kind"] == "lan"


@pytest.mark.parametrize(("uplink", "code"), [("wlan0:wireless", "network.wireless"), ("", "network.no_uplink")])
def test_a_lan_that_cannot_be(workshop: Any, uplink: str, code: str) -> None:
    workshop.fake.configure(uplink=uplink)
    ended = workshop.carry_out(ask(workshop, kind="lan").operation)
    assert (ended.status, ended.error_code) == ("failed", code)


def test_over_tls_a_person_names_the_device(workshop: Any) -> None:
    workshop.fake.configure(uplink="")
    change = ask(workshop, kind="lan", device="enp3s0")
    assert workshop.carry_out(change.operation).status == "succeeded"
    assert Network.objects.get(pk=change.network.pk).device == "enp3s0"


def test_after_a_boot_every_network_is_there_again(workshop: Any) -> None:
    from workers.reconcile import reconcile_host

    change = ask(workshop, kind="isolated")
    workshop.carry_out(change.operation)
    name = Network.objects.get(pk=change.network.pk).libvirt_name
    workshop.hypervisor.remove_network(name)
    workshop.fake.reboot()
    assert reconcile_host(workshop.host.pk)
    assert name in made(workshop)
