"""Two wishes for one VM at the same time: the second one sees what the first one wrote."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def vm(member: Any, host: Any, image: Any) -> Any:
    from apps.compute.models import VM

    numbers = {"vcpus": 1, "memory_mib": 256, "disk_gib": 2}
    return VM.objects.create(
        owner=member,
        name="web-1",
        created_name="web-1",
        image=image,
        host=host,
        phase="ready",
        power="running",
        **numbers,
    )


def someone_waits_for_a_lock() -> bool:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def crossed(first: Callable[[], Any], second: Callable[[], Any]) -> Any:
    """Do ``first`` in a transaction that commits while ``second`` already waits; the error or result of ``second``."""
    from django.db import connections, transaction

    written = threading.Event()

    def other() -> Any:
        try:
            assert written.wait(30)
            return second()
        except Exception as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other)
        with transaction.atomic():
            first()
            written.set()
            wait_for(someone_waits_for_a_lock, seconds=30, what="the second one to wait for the row")
        return waiting.result(30)


def test_a_vm_protected_in_the_last_moment_is_not_deleted(member: Any, vm: Any) -> None:
    from apps.compute.services.vm import vm_delete, vm_update
    from apps.operations.models import Operation

    found = crossed(
        lambda: vm_update(actor=member, vm_id=vm.pk, protected=True),
        lambda: vm_delete(actor=member, vm_id=vm.pk),
    )
    assert getattr(found, "code", found) == "vm.protected"
    assert not Operation.objects.exists()


@pytest.mark.usefixtures("without_trash")
def test_a_vm_that_is_being_deleted_is_not_started(member: Any, vm: Any) -> None:
    from apps.compute.services.vm import vm_delete, vm_start

    found = crossed(
        lambda: vm_delete(actor=member, vm_id=vm.pk),
        lambda: vm_start(actor=member, vm_id=vm.pk),
    )
    assert getattr(found, "code", found) == "vm.not_ready"
    vm.refresh_from_db()
    assert (vm.phase, vm.desired_power) == ("deleting", "off")


def test_a_vm_that_is_gone_in_the_last_moment_is_not_found(member: Any, vm: Any) -> None:
    from apps.compute.models import VM
    from apps.compute.services.vm import vm_rename

    found = crossed(
        lambda: VM.objects.filter(pk=vm.pk).delete(),
        lambda: vm_rename(actor=member, vm_id=vm.pk, name="shop"),
    )
    assert getattr(found, "code", found) == "vm.not_found"


@pytest.fixture
def own_policy(admin: Any) -> Any:
    from apps.placement.policies import policy_create

    return policy_create(actor=admin, text="name: own\nscore:\n  - metric: vms\n    prefer: low\n")


def create_by(member: Any, image: Any, name: str) -> Any:
    from django.db import transaction

    from apps.compute.services.vm import vm_create

    numbers = {"vcpus": 1, "memory_mib": 256, "disk_gib": 2}
    with transaction.atomic():
        return vm_create(actor=member, name=name, image=image.name, policy="own", **numbers)


def test_a_policy_that_is_taken_in_the_last_moment_stays(
    member: Any, admin: Any, host: Any, image: Any, own_policy: Any
) -> None:
    from apps.compute.models import VM
    from apps.placement.policies import policy_delete

    found = crossed(
        lambda: create_by(member, image, "web-1"),
        lambda: policy_delete(actor=admin, policy_id=own_policy.pk),
    )
    assert getattr(found, "code", found) == "policy.in_use"
    assert VM.objects.get().policy == own_policy


def test_a_policy_that_is_deleted_in_the_last_moment_is_not_taken(
    member: Any, admin: Any, host: Any, image: Any, own_policy: Any
) -> None:
    from apps.compute.models import VM
    from apps.placement.policies import policy_delete

    found = crossed(
        lambda: policy_delete(actor=admin, policy_id=own_policy.pk),
        lambda: create_by(member, image, "web-1"),
    )
    assert getattr(found, "code", found) == "policy.unknown"
    assert not VM.objects.exists()


def test_creates_by_one_policy_do_not_wait_for_each_other(member: Any, host: Any, image: Any, own_policy: Any) -> None:
    from django.db import connections, transaction

    def other() -> str:
        try:
            return str(create_by(member, image, "web-2").vm.name)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        create_by(member, image, "web-1")
        assert pool.submit(other).result(10) == "web-2"


@pytest.mark.parametrize(("first", "code"), [("create", "in_use"), ("delete", "unknown")])
def test_a_group_is_joined_or_deleted_and_never_both(member: Any, host: Any, image: Any, first: str, code: str) -> None:
    from django.db import transaction

    from apps.compute.models import VM
    from apps.compute.services.vm import vm_create
    from apps.placement.groups import group_create, group_delete
    from apps.placement.models import PlacementGroup

    group = group_create(actor=member, name="db", rule="affinity")

    def create() -> None:
        with transaction.atomic():
            vm_create(actor=member, name="a", image=image.name, group="db", vcpus=1, memory_mib=256, disk_gib=2)

    def delete() -> None:
        group_delete(actor=member, group_id=group.pk)

    found = crossed(create, delete) if first == "create" else crossed(delete, create)
    assert getattr(found, "code", found) == f"placement_group.{code}"
    there = 1 if first == "create" else 0
    assert (VM.objects.count(), PlacementGroup.objects.count()) == (there, there)


def test_a_group_that_two_delete_is_gone_for_the_second(member: Any) -> None:
    from apps.placement.groups import group_create, group_delete

    group = group_create(actor=member, name="db", rule="affinity")
    found = crossed(*[lambda: group_delete(actor=member, group_id=group.pk)] * 2)
    assert getattr(found, "code", found) == "placement_group.not_found"
