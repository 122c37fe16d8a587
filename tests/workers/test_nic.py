"""Interfaces and port forwards on a fake host: made once, kept by a new definition, gone with their VM."""

from typing import Any

import pytest

from apps.compute.models import VM, Nic, PortForward
from apps.compute.services.nic import nic_create, nic_delete
from apps.compute.services.port_forward import port_forward_create, port_forward_delete
from apps.network.models import Address, Network
from apps.network.services import network_create
from hypervisor.fake import Fault


@pytest.fixture
def shop(workshop: Any) -> Any:
    """The workshop with a second network, on a host that forwards ports."""
    from workers.network import host_see_forwarding

    change = network_create(actor=workshop.admin, name="back", kind="isolated", cidr="10.7.0.0/28")
    assert workshop.carry_out(change.operation).status == "succeeded"
    host_see_forwarding(workshop.host, workshop.hypervisor)
    return workshop


def macs(shop: Any, vm: VM) -> tuple[str, ...]:
    seen = shop.hypervisor.domain(vm.pk)
    return seen.macs if seen else ()


def attach(shop: Any, vm: VM, network: str = "back") -> Nic:
    change = nic_create(actor=shop.admin, vm_id=vm.pk, network=network)
    assert shop.carry_out(change.operation).status == "succeeded", change.operation.error_message
    return Nic.objects.get(pk=change.nic.pk)


def opened(shop: Any) -> dict[str, str]:
    """What the host leads where."""
    with shop.fake.store.transaction() as state:
        return {port: to for body in state.all("network").values() for port, to in body.get("forwards", {}).items()}


def forward(shop: Any, vm: VM, host_port: int = 8080) -> Any:
    return port_forward_create(actor=shop.admin, vm_id=vm.pk, host_port=host_port, guest_port=80)


class TestNics:
    def test_a_vm_in_a_chosen_network(self, shop: Any) -> None:
        vm, operation = shop.create(network="back")
        assert shop.carry_out(operation).status == "succeeded", operation.error_message
        nic = vm.nics.get()
        assert (nic.ip, nic.network.name) == ("10.7.0.2", "back")
        assert macs(shop, vm) == (nic.mac,)

    @pytest.mark.parametrize("running", [True, False])
    def test_one_more_and_back(self, shop: Any, running: bool) -> None:
        vm = shop.running()
        if not running:
            shop.carry_out(shop.ask("power_off", vm))
        nic = attach(shop, vm)
        assert (nic.phase, nic.ip) == ("ready", "10.7.0.2")
        assert macs(shop, vm) == (vm.nics.first().mac, nic.mac)
        gone = nic_delete(actor=shop.admin, nic_id=nic.pk)
        assert shop.carry_out(gone.operation).status == "succeeded"
        assert macs(shop, vm) == (vm.nics.get().mac,)
        assert not Address.objects.filter(ip="10.7.0.2").exists()

    def test_a_new_definition_keeps_all(self, shop: Any) -> None:
        vm = shop.running()
        attach(shop, vm)
        before = macs(shop, vm)
        shop.fake.remove_domain(vm.pk)
        shop.carry_out(shop.ask("start", VM.objects.get(pk=vm.pk)))
        assert macs(shop, vm) == before and len(before) == 2

    def test_in_a_lan_the_mac_is_ours_and_the_address_is_not(self, shop: Any) -> None:
        change = network_create(actor=shop.admin, name="office", kind="lan")
        shop.carry_out(change.operation)
        vm = shop.running()
        nic = attach(shop, vm, "office")
        assert nic.ip is None
        assert str(nic.mac).startswith("56:")
        assert nic.mac in macs(shop, vm)

    def test_a_guest_that_does_not_let_go_keeps_it(self, shop: Any) -> None:
        vm = shop.running()
        nic = attach(shop, vm)
        shop.fake.configure(lets_go=False)
        ended = shop.carry_out(nic_delete(actor=shop.admin, nic_id=nic.pk).operation)
        assert (ended.status, ended.error_code) == ("failed", "nic.not_released")
        nic.refresh_from_db()
        assert nic.phase == "ready" and nic.mac in macs(shop, vm)
        shop.fake.configure(lets_go=True)
        assert shop.carry_out(nic_delete(actor=shop.admin, nic_id=nic.pk).operation).status == "succeeded"

    @pytest.mark.parametrize("method", ["ensure_nic", "ensure_defined"])
    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_after_a_dead_worker_the_next_one_goes_on(self, shop: Any, method: str, moment: Any) -> None:
        vm = shop.running()
        change = nic_create(actor=shop.admin, vm_id=vm.pk, network="back")
        shop.fake.inject(Fault(action="unreachable", method=method, moment=moment))
        shop.claim_once(change.operation)
        type(shop.host).objects.filter(pk=shop.host.pk).update(status="up", retry_at=None)
        assert shop.carry_out(change.operation).status == "succeeded"
        assert len(macs(shop, vm)) == 2 == len(set(macs(shop, vm)))

    def test_a_deleted_vm_gives_back_every_place(self, shop: Any) -> None:
        vm = shop.running()
        attach(shop, vm)
        shop.carry_out(shop.ask("delete", vm))
        assert not Address.objects.exists()


class TestForwards:
    def test_open_and_close(self, shop: Any) -> None:
        vm = shop.running()
        change = forward(shop, vm)
        assert shop.carry_out(change.operation).status == "succeeded", change.operation.error_message
        assert opened(shop) == {"tcp-8080": f"{vm.nics.get().ip}:80"}
        closed = port_forward_delete(actor=shop.admin, forward_id=change.forward.pk)
        assert shop.carry_out(closed.operation).status == "succeeded"
        assert opened(shop) == {}
        assert not PortForward.objects.exists()

    def test_what_a_program_of_the_host_has_by_now_is_told(self, shop: Any) -> None:
        vm = shop.running()
        change = forward(shop, vm)
        shop.fake.configure(listening=[22, 8080])
        ended = shop.carry_out(change.operation)
        assert (ended.status, ended.error_code) == ("failed", "port_forward.port_in_use")
        assert PortForward.objects.get().phase == "error"
        assert opened(shop) == {}

    def test_a_host_that_lost_its_hook(self, shop: Any) -> None:
        vm = shop.running()
        change = forward(shop, vm)
        shop.fake.configure(hook=False)
        ended = shop.carry_out(change.operation)
        assert (ended.status, ended.error_code) == ("failed", "port_forward.host_not_prepared")

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_after_a_dead_worker_the_next_one_goes_on(self, shop: Any, moment: Any) -> None:
        vm = shop.running()
        change = forward(shop, vm)
        shop.fake.inject(Fault(action="unreachable", method="ensure_forward", moment=moment))
        shop.claim_once(change.operation)
        type(shop.host).objects.filter(pk=shop.host.pk).update(status="up", retry_at=None)
        assert shop.carry_out(change.operation).status == "succeeded"
        assert len(opened(shop)) == 1

    def test_a_deleted_vm_leads_nowhere(self, shop: Any) -> None:
        vm = shop.running()
        for port in (8080, 8081):
            shop.carry_out(forward(shop, vm, port).operation)
        assert len(opened(shop)) == 2
        shop.carry_out(shop.ask("delete", vm))
        assert opened(shop) == {}
        assert not PortForward.objects.exists()

    def test_a_network_that_is_made_again_keeps_them(self, shop: Any) -> None:
        from workers.network import network_spec

        vm = shop.running()
        shop.carry_out(forward(shop, vm).operation)
        for network in Network.objects.all():
            shop.hypervisor.ensure_network(network_spec(network))
        assert len(opened(shop)) == 1
