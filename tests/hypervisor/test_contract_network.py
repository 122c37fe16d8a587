"""Networks without NAT and of the host's own wire, as every implementation has them."""

import dataclasses
from uuid import uuid4

import pytest

from hypervisor.errors import ForeignObject, NotFound
from hypervisor.specs import DomainSpec, LanSpec, NicSpec, PortForward
from tests.hypervisor.bed import CIDR, Bed


def lan(bed: Bed) -> LanSpec:
    return LanSpec(
        name=bed.network.name, uuid=bed.network.uuid, device="lo", is_bridge=False, installation=bed.installation
    )


def test_an_isolated_network_is_made_once_and_has_its_subnet(bed: Bed) -> None:
    spec = dataclasses.replace(bed.network, isolated=True)
    bed.hypervisor.ensure_network(spec)
    bed.hypervisor.ensure_network(spec)
    assert CIDR in bed.hypervisor.used_subnets()
    bed.hypervisor.remove_network(spec.name)
    assert CIDR not in bed.hypervisor.used_subnets()


def test_a_lan_is_made_once_and_taken_away(bed: Bed) -> None:
    bed.hypervisor.ensure_network(lan(bed))
    bed.hypervisor.ensure_network(lan(bed))
    assert CIDR not in bed.hypervisor.used_subnets()
    with pytest.raises(ForeignObject):
        bed.another("00000001").ensure_network(dataclasses.replace(lan(bed), installation="00000001"))
    bed.hypervisor.remove_network(bed.network.name)
    bed.hypervisor.remove_network(bed.network.name)


def test_where_the_default_route_goes(bed: Bed) -> None:
    seen = bed.hypervisor.uplink()
    assert seen is None or seen.device == bed.uplink
    if seen is not None and bed.uplink == "eth0":
        assert seen.kind == "ethernet"


def test_giving_back_a_lease_that_nobody_has(bed: Bed) -> None:
    bed.needs("leases")
    bed.hypervisor.release_lease("no-such-network", bed.mac(0))
    bed.hypervisor.ensure_network(bed.network)
    bed.hypervisor.release_lease(bed.network.name, bed.mac(0))
    assert bed.hypervisor.leases(bed.network.name) == []
    with pytest.raises(ForeignObject):
        bed.another("00000001").release_lease(bed.network.name, bed.mac(0))


# --- interfaces
def second(bed: Bed) -> NicSpec:
    return NicSpec(mac=bed.mac(1), network=bed.network.name)


@pytest.mark.parametrize("running", [True, False])
def test_an_interface_comes_and_goes(bed: Bed, running: bool) -> None:
    bed.needs("hot-plug")
    bed.hypervisor.ensure_network(bed.network)
    spec = bed.running(with_nic=True) if running else bed.defined(with_nic=True)
    for _twice in range(2):
        bed.hypervisor.ensure_nic(spec.uuid, second(bed))
        assert macs(bed, spec) == (bed.mac(0), bed.mac(1))
    bed.hypervisor.ensure_defined(dataclasses.replace(spec, nics=(*spec.nics, second(bed))))
    assert macs(bed, spec) == (bed.mac(0), bed.mac(1))
    if running:
        bed.hypervisor.power_off(spec.uuid)
    for _twice in range(2):
        assert bed.hypervisor.remove_nic(spec.uuid, bed.mac(1))
        assert macs(bed, spec) == (bed.mac(0),)


def macs(bed: Bed, spec: DomainSpec) -> tuple[str, ...]:
    state = bed.hypervisor.domain(spec.uuid)
    return state.macs if state else ()


def test_no_interface_for_somebody_elses_domain(bed: Bed) -> None:
    bed.hypervisor.ensure_network(bed.network)
    spec = bed.defined(with_nic=True)
    with pytest.raises(ForeignObject):
        bed.another("00000001").ensure_nic(spec.uuid, second(bed))
    with pytest.raises(ForeignObject):
        bed.another("00000001").remove_nic(spec.uuid, bed.mac(0))
    assert bed.hypervisor.remove_nic(uuid4(), bed.mac(0))


# --- port forwards
def leading(bed: Bed, host_port: int = 8080, guest_port: int = 80) -> PortForward:
    return PortForward(protocol="tcp", host_port=host_port, address=CIDR[100], guest_port=guest_port)


def test_forwards_are_kept_with_the_network(bed: Bed) -> None:
    bed.needs("live-network")
    bed.hypervisor.ensure_network(bed.network)
    for _twice in range(2):
        bed.hypervisor.ensure_forward(bed.network.name, leading(bed))
    bed.hypervisor.ensure_forward(bed.network.name, leading(bed, 8081))
    bed.hypervisor.ensure_forward(bed.network.name, leading(bed, 8080, 443))
    bed.hypervisor.ensure_network(bed.network)
    for _twice in range(2):
        bed.hypervisor.remove_forward(bed.network.name, "tcp", 8080)
    bed.hypervisor.remove_forward("no-such-network", "tcp", 8080)
    with pytest.raises(NotFound):
        bed.hypervisor.ensure_forward("no-such-network", leading(bed))
    with pytest.raises(ForeignObject):
        bed.another("00000001").ensure_forward(bed.network.name, leading(bed))


def test_asking_for_forwarding_leaves_nothing(bed: Bed) -> None:
    """With the hook or without."""
    bed.needs("hooks")
    before = bed.hypervisor.used_subnets()
    for _twice in range(2):
        seen = bed.hypervisor.forwarding()
        assert seen is None or ("tcp", 22) in seen.listening
    assert bed.hypervisor.used_subnets() == before
