"""A small cloud: one or more fake hosts with an image on the way, and real worker processes with short time-outs."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import wait_for

ENDED = {"succeeded", "failed", "cancelled"}


class Cloud:
    """What a test does with the cloud, and what it looks at afterwards."""

    def __init__(self, *, admin: Any, image: Any, processes: Any, state_dir: Path) -> None:
        self.admin = admin
        self.image = image
        self.processes = processes
        self.faults = state_dir / "faults"
        self.faults.mkdir()
        self.hosts: list[Any] = []

    # --- the wish
    def create(self, name: str, **more: Any) -> tuple[Any, Any]:
        """A VM and the operation that creates it, as a request would write them."""
        from django.db import transaction

        from apps.compute.services.vm import vm_create

        wish = {"vcpus": 1, "memory_mib": 128, "disk_gib": 1} | more
        with transaction.atomic():
            change = vm_create(actor=self.admin, name=name, image=self.image.name, **wish)
        return change.vm, change.operation

    def delete(self, vm: Any) -> Any:
        from apps.compute.services.vm import vm_delete

        return vm_delete(actor=self.admin, vm_id=vm.pk).operation

    # --- the workers
    def worker(self, *, concurrency: int = 2, without: str = "", **environment: str) -> Any:
        """A worker, or for a control one ``without`` a protection (a name of ``unprotected.PROTECTIONS``)."""
        if without:
            environment |= {"CLOUDSITE_TEST_WITHOUT": without}
        return self.processes.worker(
            concurrency=concurrency,
            app="tests.faults.unprotected" if without else "cloudsite",
            CLOUDSITE_FAULTS=str(self.faults),
            **{"CLOUDSITE_HOST_CALLS": "32"} | environment,  # a dead worker keeps its slot for a lease
        )

    def fault(self, point: str, target_id: uuid.UUID, action: str = "kill") -> None:
        (self.faults / f"{point}@{target_id}").write_text(action)

    def faults_left(self) -> list[str]:
        return sorted(file.name for file in self.faults.iterdir())

    def wait(self, *operations: Any, seconds: float = 120, status: str = "succeeded") -> None:
        """Until all have ended, and as expected."""
        from apps.operations.models import Operation

        ids = [operation.pk for operation in operations]

        def ended() -> bool:
            return set(Operation.objects.filter(pk__in=ids).values_list("status", flat=True)) <= ENDED

        try:
            wait_for(ended, seconds=seconds, what=f"{len(ids)} operations to end")
        except AssertionError as error:
            left = Operation.objects.filter(pk__in=ids).exclude(status__in=ENDED)
            told = [f"{item} {item.status} {item.step} attempts={item.attempts}" for item in left]
            raise AssertionError(f"{error}\n{told}\n{self.processes.logs()[-6000:]}") from None
        wrong = Operation.objects.filter(pk__in=ids).exclude(status=status)
        told = [f"{item} {item.status} {item.error_code}: {item.error_message}" for item in wrong]
        assert not told, f"{told}\n{self.processes.logs()[-6000:]}"

    def steps(self, kind: str) -> list[str]:
        """The steps that workers have taken for operations of this kind, in order, from their logs."""
        found: list[str] = []
        for line in self.processes.logs().splitlines():
            entry = json.loads(line) if '"operation.step"' in line else {}
            if entry.get("kind") == kind and entry["step"] not in found:
                found.append(entry["step"])
        return found

    # --- the truth
    def hypervisor(self, host: Any | None = None) -> Any:
        from apps.hosts.selectors import installation_id
        from hypervisor.fake import FakeHypervisor

        return FakeHypervisor(self.fake(host), installation_id())

    def fake(self, host: Any | None = None) -> Any:
        from hypervisor.fake import FakeHost
        from workers.connections import fake_dir

        return FakeHost(fake_dir(), (host or self.hosts[0]).name)

    def state_of(self, vm: Any) -> dict[str, Any]:
        """Everything that is there of one VM, with its own ids taken out, so that two VMs can be compared."""
        from apps.compute.models import VM
        from apps.hosts.models import Allocation
        from apps.network.models import Address
        from apps.placement.models import Placement
        from apps.storage.models import Volume
        from workers.compute.domain import root_volume_id
        from workers.hosts import names

        row = VM.objects.filter(pk=vm.pk).values("phase", "power", "desired_power", "missing", "reason").first()
        own = (str(vm.pk), str(root_volume_id(vm)))
        domains, volumes, macs = [], [], []
        for host in self.hosts:
            hypervisor = self.hypervisor(host)
            for summary in hypervisor.domains():
                state = hypervisor.domain(summary.uuid)
                if summary.uuid == vm.pk or any(part in path for part in own for path in state.disk_paths):
                    domains.append((state.power.value, state.vcpus, state.memory_mib, state.installation))
                    macs += state.macs
            for volume in hypervisor.volumes(names()):
                if any(part in volume.name for part in own):
                    kind = volume.name.split("-")[0]
                    size = volume.capacity_bytes if kind == "vol" else 0
                    volumes.append((kind, size, volume.allocated_bytes > 0))
        addresses = list(Address.objects.filter(consumer_id=vm.pk).values_list("mac", flat=True))
        return {
            "row": row,
            "domains": domains,
            "volumes": sorted(volumes),
            "macs_are_reserved": sorted(macs) == sorted(addresses),
            "addresses": len(addresses),
            "allocations": list(
                Allocation.objects.filter(consumer_id=vm.pk).values_list("vcpus", "memory_mib", "disk_gib")
            ),
            "volume_rows": Volume.objects.filter(pk=root_volume_id(vm)).count(),
            "placements": Placement.objects.filter(consumer_id=vm.pk).count(),
        }

    def assert_counters_are_sums(self) -> None:
        """What a host says is claimed is the sum of what was given out on it."""
        from django.db.models import Sum

        for host in self.hosts:
            host.refresh_from_db()
            sums = host.allocations.aggregate(Sum("vcpus"), Sum("memory_mib"), Sum("disk_gib"))
            claimed = (host.vcpus_claimed, host.memory_claimed_mib, host.disk_claimed_gib)
            assert claimed == tuple(value or 0 for value in sums.values())
            limits = (host.vcpus_limit, host.memory_limit_mib, host.disk_limit_gib)
            assert all(value <= limit for value, limit in zip(claimed, limits, strict=True))


@pytest.fixture
def empty_cloud(
    without_trash: None,
    processes: Any,
    settings: Any,
    own_state_dir: Path,
    admin: Any,
    image: Any,
    flush_redis: Callable[[], None],
) -> Cloud:
    """No host yet."""
    settings.HYPERVISOR = "fake"
    processes.environment["CLOUDSITE_HYPERVISOR"] = "fake"
    image.cloud_init = True
    image.save()
    return Cloud(admin=admin, image=image, processes=processes, state_dir=own_state_dir)


@pytest.fixture
def add_host(empty_cloud: Cloud, make_host: Callable[..., Any]) -> Callable[..., Any]:
    """A host whose pool and network are there, as after a probe."""
    from workers.hosts import host_ensure_network, host_ensure_pool

    def add(name: str = "h1", **more: Any) -> Any:
        host = make_host(name, **more)
        empty_cloud.hosts.append(host)
        hypervisor = empty_cloud.hypervisor(host)
        total = host.pool_total_gib
        host_ensure_pool(host, hypervisor)
        type(host).objects.filter(pk=host.pk).update(pool_total_gib=total)
        host_ensure_network(host, hypervisor)
        return host

    return add


@pytest.fixture
def cloud(empty_cloud: Cloud, add_host: Callable[..., Any]) -> Cloud:
    """One host with much room."""
    add_host(cpus=64, memory_mib=131072, disk_gib=1000)
    return empty_cloud
