"""Networks without NAT and of the host's own wire, as every implementation has them."""

import dataclasses

import pytest

from hypervisor.errors import ForeignObject
from hypervisor.specs import LanSpec
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
    assert seen is None or (seen.device, seen.kind) == ("eth0", "ethernet")
