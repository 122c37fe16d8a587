"""The what-if page: what it reads of the cloud, what it answers, and to whom."""

import uuid
from typing import Any

import pytest
from django.test import Client

from apps.compute.models import Size, VolumeAttachment
from apps.dashboard.what_if_selectors import cloud_now
from apps.hosts.capacity import Demand, capacity_claim, disk_demand
from apps.hosts.models import Allocation, AllocationKind
from apps.placement.policies import policies_ensure, policy_create
from apps.storage.models import Volume

pytestmark = pytest.mark.django_db


@pytest.fixture
def ask(admin: Any) -> Any:
    client = Client()
    client.force_login(admin)

    def get(query: str = "") -> str:
        response = client.get(f"/what-if/?{query}", headers={"HX-Request": "true"})
        assert response.status_code == 200
        return " ".join(response.content.decode().split())

    return get


def volume(owner: Any, name: str, host: Any, size_gib: int) -> Volume:
    """A data volume with its claim."""
    made = Volume.objects.create(kind="data", owner=owner, name=name, host=host, size_gib=size_gib)
    demand = disk_demand(size_gib)
    assert capacity_claim(host_id=host.pk, consumer_id=made.pk, label=name, demand=demand, kind=AllocationKind.VOLUME)
    return made


def test_the_cloud_is_read_with_its_volumes(admin: Any, host: Any, make_vm: Any) -> None:
    pack = policy_create(actor=admin, text="{name: mine, score: [{metric: vms}]}")
    vm = make_vm(admin, "web-1", memory_mib=1024, disk_gib=4, policy=pack)
    data = volume(admin, "data", host, 7)
    VolumeAttachment.objects.create(volume=data, vm=vm, target="vdc", state="attached", sent=True)
    volume(admin, "alone", host, 3)
    Allocation.objects.create(
        host=host, consumer_id=uuid.uuid4(), label="not ours", kind=AllocationKind.FOREIGN,
        vcpus=1, memory_mib=1, disk_gib=0,
    )  # fmt: skip
    cloud = cloud_now()
    web, alone = sorted(cloud.machines, key=lambda item: not item.guest)
    assert (web.name, web.request.memory_mib, web.request.disk_gib, web.policy.name) == ("web-1", 1088, 11, "mine")
    assert (alone.name, alone.request.vcpus, alone.request.memory_mib, alone.request.disk_gib) == ("alone", 0, 0, 3)
    (seen,) = cloud.hosts
    assert seen.disk.claimed == 14 and seen.vms == 2


def test_a_cloud_that_survives_and_one_that_does_not(
    ask: Any, admin: Any, host: Any, make_host: Any, make_vm: Any
) -> None:
    assert "No machine is placed yet" in ask()
    big = make_vm(admin, "big", memory_mib=9000)
    told = ask()
    assert "1 host cannot be spared" in told and f"/vms/{big.pk}/" in told and "1 would not fit" in told
    make_host("h2")
    assert "Every machine would find room" in ask()
    assert "1 would not fit" in ask("remove=h1&remove=h2")
    assert "big would go to h2" in ask("remove=h1")
    assert "big would go to new host 1" in ask("remove=h1&remove=h2&add=1&memory_gib=32")


def test_room_and_growth(ask: Any, admin: Any, host: Any, make_vm: Any) -> None:
    assert "Room for 6 more of s-2vcpu-2gb" in ask("size=s-2vcpu-2gb")
    few = policy_create(actor=admin, text="{name: few, filters: {max_vms: 2}, score: [{metric: vms}]}")
    Size.objects.filter(name="s-2vcpu-2gb").update(policy=few)
    assert "Room for 2 more of s-2vcpu-2gb" in ask("size=s-2vcpu-2gb")
    make_vm(admin, "big", memory_mib=9000)
    assert "Every host has room for what is on it" in ask("grow=20")
    told = ask("grow=100")
    assert "h1 would be" in told and "over its memory" in told and "It does not fit even with every host" in told


def test_what_energy_saves_is_said_with_its_model(
    ask: Any, admin: Any, host: Any, make_host: Any, make_vm: Any
) -> None:
    policies_ensure()
    make_host("h2", labels={"idle_watts": 10, "max_watts": 50})
    assert "What the policy energy saves" not in ask()
    for number in range(4):
        make_vm(admin, f"web-{number}")
    told = ask()
    assert "1 of 2 hosts have no power model of their own" in told and "60 W idle and 180 W" in told
    assert "W</span> less than spread" in told and "Cloudsite switches no host off by itself" in told


def test_machines_whose_host_is_down_are_asked_about_too(
    ask: Any, admin: Any, host: Any, make_host: Any, make_vm: Any
) -> None:
    make_vm(admin, "web-1")
    type(host).objects.update(status="unreachable")
    assert "1 would not fit" in ask()
    make_host("h2")
    assert "All fit elsewhere" in ask()


@pytest.mark.parametrize(
    "query", ["grow=-1", "grow=1e9", "add=1000", "cpus=0&add=1", "remove=nobody", "memory_gib=99999999", "disk_gib=x"]
)
def test_nonsense_is_left_out_and_said(ask: Any, host: Any, query: str) -> None:
    told = ask(query)
    assert "It is left out" in told and "Room for" in told


def test_the_overview_says_whether_a_host_may_be_lost(admin: Any, host: Any, make_host: Any, make_vm: Any) -> None:
    client = Client()
    client.force_login(admin)

    def badge() -> str:
        return str(client.get("/what-if/badge/").content.decode())

    assert 'hx-get="/what-if/badge/"' in client.get("/").content.decode()
    make_vm(admin, "big", memory_mib=9000)
    assert "host" not in badge().replace("hosts that", "")
    second = make_host("h2", memory_mib=4096)
    assert "The loss of one host would not be survived" in badge()
    type(second).objects.filter(pk=second.pk).update(memory_limit_mib=16000)
    assert "Survives the loss of any one host" in badge()


def test_a_default_that_does_not_exist_is_said(ask: Any, host: Any, settings: Any) -> None:
    settings.DEFAULT_POLICY = "nowhere"
    assert "The default policy &#x27;nowhere&#x27;" in ask()


def test_an_empty_cloud(ask: Any, installation: str) -> None:
    assert "No hosts yet" in ask()
    assert "new host 2" in ask("add=2")


def test_the_number_of_queries_does_not_grow(
    ask: Any, admin: Any, make_host: Any, make_vm: Any, host: Any, django_assert_max_num_queries: Any
) -> None:
    def fill(first: int, last: int) -> None:
        for number in range(first, last):
            make_vm(admin, f"web-{number}")
            extra = make_host(f"x{number}")
            demand = Demand(vcpus=1, memory_mib=64, disk_gib=1)
            assert capacity_claim(host_id=extra.pk, consumer_id=uuid.uuid4(), label=f"v{number}", demand=demand)

    fill(0, 3)
    with django_assert_max_num_queries(24) as few:
        ask()
    fill(3, 9)
    with django_assert_max_num_queries(len(few)):
        ask()
