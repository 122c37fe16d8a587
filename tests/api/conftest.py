"""What the API's tests share: virtual machines as rows, and bodies that are accepted."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBvzjgrc7y7ynd0p3HoCEgmqlRkrm5qRRvVlTdNKwPFt"


WEEKLY = {"action": "start", "weekdays": ["fri", "mon"], "time": "07:30", "time_zone": "Europe/Zurich"}


@pytest.fixture
def make_schedule() -> Callable[..., Any]:
    """A weekly schedule of a VM, for its owner."""
    from apps.compute.services.schedule import schedule_create

    def make(vm: Any) -> Any:
        return schedule_create(actor=vm.owner, vm_id=vm.pk, **WEEKLY)

    return make


@pytest.fixture
def make_vm(image: Any) -> Callable[..., Any]:
    """A VM as it is once it runs: ``make_vm(owner, "web-1", host=host)``."""
    from apps.compute.models import VM

    def make(owner: Any, name: str, **values: Any) -> VM:
        chosen = {"image": image, "vcpus": 1, "memory_mib": 256, "disk_gib": 2, "phase": "ready", "power": "running"}
        return VM.objects.create(owner=owner, name=name, created_name=name, **{**chosen, **values})

    return make


@pytest.fixture
def make_snapshot() -> Callable[..., Any]:
    """A complete snapshot of a VM that runs and holds its room: ``make_snapshot(vm, "before")``."""
    from apps.compute.models import Snapshot
    from apps.hosts.capacity import Demand, capacity_claim

    def make(vm: Any, name: str = "before", **values: Any) -> Snapshot:
        if vm.host is not None:
            demand = Demand(vcpus=vm.vcpus, memory_mib=vm.memory_mib, disk_gib=vm.disk_gib)
            assert capacity_claim(host_id=vm.host_id, consumer_id=vm.pk, label=vm.name, demand=demand)
        sizes = {"vcpus": vm.vcpus, "memory_mib": vm.memory_mib, "disk_gib": vm.disk_gib}
        most = {"max_vcpus": vm.vcpus, "max_memory_mib": vm.memory_mib}
        chosen = {"host_name": name, "phase": "ready", "memory": True, "power": "running", **sizes, **most}
        return Snapshot.objects.create(vm=vm, name=name, **{**chosen, **values})

    return make


@pytest.fixture
def make_volume(db: None) -> Callable[..., Any]:
    """A data volume as it is once it was made: ``make_volume(owner, "data", host=host, vm=vm)``."""
    from apps.compute.models import VolumeAttachment
    from apps.hosts.capacity import capacity_claim, disk_demand
    from apps.hosts.models import AllocationKind
    from apps.storage.models import Volume

    def make(owner: Any, name: str, *, host: Any, vm: Any = None, size_gib: int = 5, **values: Any) -> Volume:
        volume = Volume.objects.create(kind="data", owner=owner, name=name, host=host, size_gib=size_gib, **values)
        assert capacity_claim(
            host_id=host.pk,
            consumer_id=volume.pk,
            label=name,
            demand=disk_demand(size_gib),
            kind=AllocationKind.VOLUME,
        )
        if vm is not None:
            VolumeAttachment.objects.create(volume=volume, vm=vm, target="vdc", state="attached", sent=True)
        return volume

    return make


@pytest.fixture
def with_login(make_vm: Callable[..., Any], host: Any) -> Callable[..., Any]:
    """A VM whose image says which user it has: ``with_login(owner, "web-1", password="…")``, the password as set."""
    from django.utils import timezone

    from apps.compute.models import ConsolePassword
    from apps.compute.sealing import seal
    from apps.compute.services.console_password import vm_console_password
    from apps.operations.models import Operation
    from apps.storage.models import Image

    def make(owner: Any, name: str, *, password: str = "", **values: Any) -> Any:
        image, _new = Image.objects.get_or_create(name="with-login", default_user="debian")
        vm = make_vm(owner, name, **{"host": host, "image": image, **values})
        if password:
            operation = vm_console_password(actor=owner, vm_id=vm.pk).operation
            Operation.objects.filter(pk=operation.pk).update(status="succeeded", finished_at=timezone.now())
            row = ConsolePassword.objects.get(pk=operation.pk)
            row.sealed = seal(password.encode(), public_key=bytes(row.public_key), context=row.pk.bytes)
            row.save()
        return vm

    return make


@pytest.fixture
def new_vm(host: Any, image: Any) -> dict[str, Any]:
    """A body for ``POST vms/`` that is accepted."""
    return {"name": "web-1", "image": image.name, "vcpus": 1, "memory_mib": 256, "disk_gib": 2}


@pytest.fixture
def cloud_image(image: Any) -> Any:
    """An image that reads user-data."""
    image.cloud_init = True
    image.save()
    return image


@pytest.fixture
def make_key(db: None) -> Callable[..., Any]:
    from apps.accounts.models import SSHKey

    def make(owner: Any, name: str = "laptop") -> SSHKey:
        fingerprint = f"SHA256:{owner.username}-{name}"
        return SSHKey.objects.create(owner=owner, name=name, public_key=PUBLIC_KEY, fingerprint=fingerprint)

    return make


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    """Nobody guesses passwords here, and Argon2 is made to be slow."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def connected(owner: Any, make_vm: Any, vm: Any, host: Any) -> dict[str, Any]:
    """A VM with a NIC, and another one with two of which one has a port."""
    from apps.network.models import Network

    host.forwards_ports = True
    host.save()
    ours, back = (
        Network.objects.create(host=host, owner=None, shared=True, name=name, cidr=cidr, libvirt_name=name)
        for name, cidr in (("default", "192.168.78.0/24"), ("back", "192.168.79.0/24"))
    )
    vm.nics.create(network=ours, mac="52:00:00:00:00:10", ip="192.168.78.2")
    other = make_vm(owner, "db-1", host=host)
    behind = other.nics.create(network=ours, mac="52:00:00:00:00:11", ip="192.168.78.3")
    nic = other.nics.create(network=back, mac="52:00:00:00:00:12", ip="192.168.79.2")
    forward = other.port_forwards.create(nic=behind, host=host, host_port=9090, guest_port=80)
    return {"nic_id": nic.pk, "forward_id": forward.pk}


@pytest.fixture
def world(
    member: Any,
    make_vm: Any,
    make_volume: Any,
    make_key: Any,
    host: Any,
    make_host: Any,
    make_snapshot: Any,
    make_schedule: Any,
    with_login: Any,
) -> dict[str, Any]:
    """One object of each kind; those that people own are ``member``'s."""
    from django.utils import timezone

    from apps.hosts.services import fingerprint_of
    from apps.network.models import Network
    from apps.operations.services import operation_create
    from apps.placement.models import Placement, PlacementGroup, Policy, Reservation
    from apps.storage.models import Image, Volume

    disk = Volume.objects.create(host=host, size_gib=1)

    def operation(name: str, **values: Any) -> Any:
        target = make_vm(member, name, host=host)
        made = operation_create(kind="vm.start", target_type="vm", target=target, actor=member)
        for field, value in values.items():
            setattr(made, field, value)
        made.save()
        return made

    until = timezone.now() + timedelta(hours=1)
    root = Volume.objects.create(host=host, size_gib=2)
    vm = make_vm(member, "web-1", host=host, root_volume=root)
    empty = make_host("empty", transport="ssh", user="cloud", offered_key="ssh-ed25519 AAAA", host_key="")
    network = Network.objects.create(
        host=host, owner=member, name="shop", kind="isolated", cidr="192.168.77.0/24", libvirt_name="cs-1-shop"
    )
    placement = Placement.objects.create(
        consumer_id=vm.pk, consumer_name="web-1", host_id=host.pk, host_name="h1", policy="spread"
    )
    Reservation.objects.create(id=uuid.uuid4(), placement=placement, expires_at=until)
    Image.objects.create(name="disc", format="iso", cloud_init=False)
    return {
        "vm_id": vm.pk,
        "snapshot_id": make_snapshot(vm).pk,
        "schedule_id": make_schedule(vm).pk,
        "paused_id": make_vm(member, "paused", host=host, power="paused").pk,
        "trashed_id": make_vm(member, "gone", host=host, phase="trashed", power="shutoff", trashed_until=until).pk,
        "rescued_id": make_vm(member, "rescued", host=host, rescue_image=vm.image).pk,
        "with_login_id": with_login(member, "with-login").pk,
        "with_cd_id": make_vm(member, "with-cd", host=host, cdrom=vm.image).pk,
        "image_id": vm.image_id,
        "volume_id": make_volume(member, "data", host=host).pk,
        "attached_id": make_volume(member, "disk", host=host, vm=make_vm(member, "plain", host=host)).pk,
        "own_image_id": Image.objects.create(owner=member, name="mine", status="uploading", source_format="qcow2").pk,
        "off_id": make_vm(member, "off", host=host, power="shutoff", root_volume=disk).pk,
        "operation_id": operation("busy").pk,
        "failed_id": operation("failed", status="failed", retryable=True).pk,
        "host_id": empty.pk,
        "network_id": network.pk,
        **connected(member, make_vm, vm, host),
        "placement_id": placement.pk,
        "group_id": PlacementGroup.objects.create(owner=member, name="db", rule="affinity").pk,
        "policy_id": Policy.objects.create(name="own", text="{name: own, score: [{metric: memory_free}]}").pk,
        "key_id": make_key(member).pk,
        "fingerprint": fingerprint_of(empty.offered_key),
    }


@pytest.fixture
def boss(api_for: Any, admin: Any) -> Any:
    """An administrator's client: nothing is refused for lack of rights."""
    return api_for(admin)
