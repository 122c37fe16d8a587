"""Operations carried out in this process on fake hosts, one claim at a time."""

from collections.abc import Callable
from typing import Any

import pytest


class Workshop:
    """A worker in this process, and the hosts it works on."""

    def __init__(self, *, admin: Any, image: Any) -> None:
        self.admin = admin
        self.image = image
        self.host: Any = None

    # --- the wish
    def create(self, name: str = "web-1", **more: Any) -> tuple[Any, Any]:
        from apps.compute.services.vm import vm_create

        wish = {"vcpus": 1, "memory_mib": 128, "disk_gib": 1} | more
        change = vm_create(actor=self.admin, name=name, image=self.image.name, **wish)
        return change.vm, change.operation

    def running(self, name: str = "web-1") -> Any:
        """A VM that was created and runs."""
        vm, operation = self.create(name)
        assert self.carry_out(operation).status == "succeeded", operation.error_message
        vm.refresh_from_db()
        return vm

    def ask(self, verb: str, vm: Any, **more: Any) -> Any:
        """The operation of one verb: ``ask("power_off", vm)``."""
        from apps.compute.services import vm as services

        return getattr(services, f"vm_{verb}")(actor=self.admin, vm_id=vm.pk, **more).operation

    # --- the work
    def claim_once(self, operation: Any) -> Any:
        """One claim, whether or not it is time."""
        from django.db.models.functions import Now

        from apps.operations.models import Operation
        from workers.engine import execute
        from workers.observations import host_lost
        from workers.tasks import HANDLERS

        Operation.objects.filter(pk=operation.pk).update(run_after=Now())
        execute(operation.pk, handlers=HANDLERS, host_lost=host_lost)
        operation.refresh_from_db()
        return operation

    def carry_out(self, operation: Any, *, claims: int = 20) -> Any:
        """Claims of this operation and of what it waits for, until it has ended."""
        from apps.operations.models import ACTIVE, Operation

        for _ in range(claims):
            if self.claim_once(operation).status not in ACTIVE:
                return operation
            for other in Operation.objects.filter(status="queued").exclude(pk=operation.pk):
                self.claim_once(other)
        raise AssertionError(f"{operation} is {operation.status}: {operation.step}")

    # --- the truth
    @property
    def fake(self) -> Any:
        from hypervisor.fake import FakeHost
        from workers.connections import fake_dir

        return FakeHost(fake_dir(), self.host.name)

    @property
    def hypervisor(self) -> Any:
        from workers.connections import connect

        return connect(self.host)

    def power(self, vm: Any) -> str | None:
        seen = self.hypervisor.domain(vm.pk)
        return seen.power.value if seen else None

    def volumes(self) -> set[str]:
        from workers.hosts import names

        return {volume.name for volume in self.hypervisor.volumes(names())}


@pytest.fixture
def workshop(
    without_trash: None,
    settings: Any,
    admin: Any,
    image: Any,
    make_host: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Workshop:
    """One host with pool and network, as after a probe. What is deleted there is deleted at once."""
    from apps.operations import doorbell
    from workers import engine
    from workers.hosts import host_ensure_network, host_ensure_pool

    settings.HYPERVISOR = "fake"
    monkeypatch.setattr(engine, "close_old_connections", lambda: None)  # the test's transaction lives in this one
    monkeypatch.setattr(doorbell, "ring", lambda operation_id, seconds=0: None)
    image.cloud_init = True
    image.save()
    shop = Workshop(admin=admin, image=image)
    shop.host = make_host("h1", cpus=32, memory_mib=65536)
    host_ensure_pool(shop.host, shop.hypervisor)
    host_ensure_network(shop.host, shop.hypervisor)
    facts = shop.hypervisor.facts()
    shop.host.boot_id = str(facts.boot_id)
    shop.host.save()
    return shop
