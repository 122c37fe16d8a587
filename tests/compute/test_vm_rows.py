"""The API reads VMs from columns; its document describes the serializer: both must show the same."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.utils.encoders import JSONEncoder

from apps.compute.api.vm import VMSerializer
from apps.compute.models import VM, Nic, Phase, Power, Size
from apps.compute.selectors.vm import vm_for
from apps.network.models import Network
from apps.placement.models import Policy


@pytest.fixture
def vms(admin: Any, host: Any, image: Any) -> list[VM]:
    """One with everything, one with nothing."""
    network = Network.objects.create(host=host, libvirt_name="cs-test", cidr="192.168.150.0/24", bridge="cs-test")
    numbers = {"vcpus": 1, "memory_mib": 512, "disk_gib": 10}
    full = VM.objects.create(
        owner=admin,
        name="full",
        created_name="full",
        host=host,
        image=image,
        size=Size.objects.first(),
        phase=Phase.READY,
        power=Power.RUNNING,
        observed_addresses=[{"ip": "192.168.150.9", "source": "lease"}, {"ip": "192.168.150.2", "source": "lease"}],
        tags=["a", "b"],
        notes="Ünïcode",
        observed_at=host.created_at,
        **numbers,
    )
    full.policy = Policy.objects.create(name="fast", text="")
    full.save()
    Nic.objects.create(vm=full, network=network, mac="52:54:00:00:00:01", ip="192.168.150.2")
    second = Network.objects.create(host=host, name="b", libvirt_name="cs-b", cidr="192.168.151.0/24", bridge="cs-b")
    Nic.objects.create(vm=full, network=second, mac="52:54:00:00:00:02", ip=None)
    return [full, VM.objects.create(owner=admin, name="bare", created_name="bare", **numbers)]


def test_what_the_api_shows_is_what_the_serializer_says(
    vms: list[VM], admin: Any, api_for: Callable[[Any], Any]
) -> None:
    client = api_for(admin)
    said = [VMSerializer(vm_for(actor=admin, vm_id=vm.pk)).data for vm in reversed(vms)]
    wanted = json.loads(json.dumps(said, cls=JSONEncoder))
    listed = client.get("/api/v1/vms/").json()["results"]
    alone = [client.get(f"/api/v1/vms/{vm.pk}/").json() for vm in reversed(vms)]
    assert listed == alone == wanted
    assert [list(row) for row in listed] == [list(row) for row in wanted]


def test_addresses_are_told_once(vms: list[VM], admin: Any, api_for: Callable[[Any], Any]) -> None:
    (row,) = api_for(admin).get("/api/v1/vms/?name=full").json()["results"]
    assert row["addresses"] == [
        {"ip": "192.168.150.2", "source": "reserved"},
        {"ip": "192.168.150.9", "source": "lease"},
    ]
