"""Claimed is never more than the limit, at any instant; and nobody is refused while there is room.

From several processes at once, watched by a trigger that sees every state of every host, also those that are rolled
back; and step by step against a model that adds up by hand.
"""

import multiprocessing
import os
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.models import F, Sum
from django.utils import timezone
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from apps.accounts.models import User
from apps.errors import AppError
from apps.hosts.capacity import MACHINES, Demand, capacity_release
from apps.hosts.models import Allocation, AllocationKind, Host
from apps.placement import services
from apps.placement.models import Reservation
from apps.placement.policy.language import policy_read
from apps.placement.policy.model import Policy
from apps.placement.policy.shipped import shipped
from apps.placement.reservations import reservation_create, reservation_expire, reservation_release

PROCESSES, EACH = 6, 36
SMALL = Demand(vcpus=1, memory_mib=448, disk_gib=4)
LARGE = Demand(vcpus=3, memory_mib=1472, disk_gib=2)
FEW = policy_read("{name: few, filters: {max_vms: 22, memory: {ratio: 0.9}}, score: [{metric: memory_free}]}")
POLICIES = (shipped("balanced"), shipped("pack"), FEW)
WATCH = """
CREATE SEQUENCE overcommits;
CREATE FUNCTION look() RETURNS trigger AS $$ BEGIN
  IF NEW.vcpus_claimed > NEW.vcpus_limit OR NEW.memory_claimed_mib > NEW.memory_limit_mib
    OR NEW.disk_claimed_gib > NEW.disk_limit_gib THEN PERFORM nextval('overcommits'); END IF;
  RETURN NULL;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER look AFTER INSERT OR UPDATE ON hosts_host FOR EACH ROW EXECUTE FUNCTION look()
"""  # a sequence is not rolled back


def place(demand: Demand, policy: Policy) -> str:
    """One machine more: where it is, or the code of the refusal."""
    wish = services.Wish(demand=demand, architecture="x86_64", policy=policy)
    try:
        return services.placement_claim(consumer_id=uuid.uuid4(), consumer_name="vm", owner_id=None, wish=wish).name
    except AppError as error:
        return error.code


def fits(host: Host, demand: Demand, policy: Policy) -> bool:
    """Whether there is room, added up by hand from what is claimed."""
    held = host.allocations.aggregate(v=Sum("vcpus"), m=Sum("memory_mib"), d=Sum("disk_gib"))
    wanted = (demand.vcpus, demand.claimed_memory_mib, demand.disk_gib)
    limits = [host.vcpus_limit, host.memory_limit_mib, host.disk_limit_gib]
    if policy is FEW:
        limits[1] = min(limits[1], int((host.memory_mib - max(1024, host.memory_mib // 10)) * 0.9))
        if host.allocations.filter(MACHINES).count() >= 22:
            return False
    room = all((have or 0) + want <= most for have, want, most in zip(held.values(), wanted, limits, strict=True))
    return room and host.enabled and host.is_up


def some_of_each(number: int) -> list[tuple[Demand, Policy, str]]:
    """What one process asks for: small and large ones in turn, by one policy after the other."""
    asked = [((SMALL, LARGE)[step % 3 == 2], POLICIES[(step + number) % len(POLICIES)]) for step in range(EACH)]
    return [(demand, policy, place(demand, policy)) for demand, policy in asked]


def in_processes(work: Callable[[int], Any]) -> list[Any]:
    """``work`` in processes of their own, let go at the same moment; what each returned."""
    connections.close_all()  # a fork must not share one
    context = multiprocessing.get_context("fork")
    gate, answers = context.Barrier(PROCESSES), context.SimpleQueue()

    def one(number: int) -> None:
        try:
            gate.wait(30)
            answers.put(work(number))
        except BaseException:
            answers.put(traceback.format_exc())
        os._exit(0)  # what belongs to the test is not torn down here

    processes = [context.Process(target=one, args=[number], daemon=True) for number in range(PROCESSES)]
    for process in processes:
        process.start()
    found = [answers.get() for _ in processes]
    for process in processes:
        process.join(30)
    assert not [answer for answer in found if isinstance(answer, str)]
    return found


@pytest.fixture
def nearly_full(transactional_db: None, make_host: Any) -> Iterator[list[Host]]:
    """Five hosts on which about half of 216 machines fit, each short of something else; and the trigger."""
    sizes = [(4, 16384, 500), (64, 8192, 500), (64, 20480, 30), (5, 9216, 40), (64, 12288, 500)]
    hosts = [
        make_host(f"h{number}", cpus=cpus, memory_mib=memory, disk_gib=disk)
        for number, (cpus, memory, disk) in enumerate(sizes)
    ]
    with connection.cursor() as cursor:
        cursor.execute(WATCH)
    yield hosts
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER look ON hosts_host; DROP FUNCTION look; DROP SEQUENCE overcommits")


def overcommits() -> int:
    """In how many states that a host ever had, more was claimed than may be."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM overcommits")
        return int(cursor.fetchone()[0])


def assert_counters_are_sums() -> None:
    for host in Host.objects.annotate(
        v=Sum("allocations__vcpus", default=0),
        m=Sum("allocations__memory_mib", default=0),
        d=Sum("allocations__disk_gib", default=0),
    ):
        assert (host.vcpus_claimed, host.memory_claimed_mib, host.disk_claimed_gib) == (host.v, host.m, host.d)


class TestProcesses:
    def test_never_over_and_nobody_refused_while_there_is_room(self, nearly_full: list[Host]) -> None:
        asked = [answer for answers in in_processes(some_of_each) for answer in answers]
        codes = Counter(answer for _, _, answer in asked)
        refused = [(demand, policy) for demand, policy, answer in asked if answer == "placement.no_host_fits"]
        placed = len(asked) - len(refused)
        assert len(asked) == PROCESSES * EACH
        assert set(codes) == {"h0", "h1", "h2", "h3", "h4", "placement.no_host_fits"}, codes
        assert Allocation.objects.count() == placed > 60
        assert overcommits() == 0
        assert_counters_are_sums()
        for demand, policy in set(refused):
            assert not any(fits(host, demand, policy) for host in Host.objects.all()), (demand, policy.name, codes)

    def test_control_reading_before_writing_is_seen_by_the_trigger(
        self, nearly_full: list[Host], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def naive(*, host_id: uuid.UUID, demand: Demand, **_: Any) -> bool:
            host = Host.objects.get(pk=host_id)
            if host.memory_claimed_mib + demand.claimed_memory_mib > host.memory_limit_mib:
                return False
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(0.002)")
            Host.objects.filter(pk=host_id).update(
                memory_claimed_mib=F("memory_claimed_mib") + demand.claimed_memory_mib
            )
            return True

        def only_memory(_: int) -> list[str]:
            return [place(SMALL, shipped("spread")) for _ in range(EACH // 4)]

        Host.objects.exclude(name="h0").update(enabled=False)
        monkeypatch.setattr(services, "capacity_claim", naive)
        in_processes(only_memory)
        assert overcommits() > 0


class PlacementMachine(RuleBasedStateMachine):
    """Machines and reservations come and go while hosts close, fall silent and are set to less."""

    def __init__(self) -> None:
        super().__init__()
        self.savepoint = transaction.atomic()
        self.savepoint.__enter__()
        self.admin = User.objects.create(username=f"admin-{uuid.uuid4()}", role="admin")
        self.hosts = [self._host(f"h{number}", memory) for number, memory in enumerate([3072, 4096])]
        self.held: dict[uuid.UUID, str] = {}

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.savepoint.__exit__(None, None, None)

    def _host(self, name: str, memory_mib: int) -> Host:
        sizes = {"cpus": 1, "memory_mib": memory_mib, "pool_total_gib": 10}
        limits = {"vcpus_limit": 8, "memory_limit_mib": memory_mib - 1024, "disk_limit_gib": 20}
        known = {"transport": "tls", "address": name, "status": "up", "architectures": ["x86_64"]}
        return Host.objects.create(name=name, **known, **sizes, **limits)

    def _check(self, answer: str, before: list[str]) -> None:
        """It went where there was room; or there was none anywhere."""
        assert answer in (before or ["placement.no_host_fits", "placement.hosts_away"])

    def _with_room(self, demand: Demand, policy: Policy) -> list[str]:
        return [host.name for host in Host.objects.all() if fits(host, demand, policy)]

    @rule(demand=st.sampled_from([SMALL, LARGE]), policy=st.sampled_from(POLICIES))
    def create(self, demand: Demand, policy: Policy) -> None:
        before = self._with_room(demand, policy)
        self._check(place(demand, policy), before)

    @rule(demand=st.sampled_from([SMALL, LARGE]))
    def reserve(self, demand: Demand) -> None:
        before = self._with_room(demand, POLICIES[0])
        numbers = {"vcpus": demand.vcpus, "memory_mib": demand.memory_mib, "disk_gib": demand.disk_gib}
        try:
            answer = reservation_create(actor=self.admin, name="later", **numbers).host_name
        except AppError as error:
            answer = error.code
        self._check(answer, before)

    @precondition(lambda self: Reservation.objects.exists())
    @rule(by_time=st.booleans())
    def end_a_reservation(self, by_time: bool) -> None:
        placement_id = Reservation.objects.values_list("placement_id", flat=True)[0]
        if by_time:
            assert not reservation_expire(placement_id=placement_id, now=timezone.now())
            assert reservation_expire(placement_id=placement_id, now=timezone.now() + timedelta(days=2))
        else:
            reservation_release(actor=self.admin, placement_id=placement_id)

    @precondition(lambda self: Allocation.objects.filter(kind=AllocationKind.VM).exists())
    @rule()
    def delete(self) -> None:
        vm = Allocation.objects.filter(kind=AllocationKind.VM).earliest("created_at")
        capacity_release(consumer_id=vm.consumer_id)

    @rule(number=st.integers(0, 1), status=st.sampled_from(["up", "up", "unreachable"]), enabled=st.booleans())
    def switch(self, number: int, status: str, enabled: bool) -> None:
        Host.objects.filter(name=f"h{number}").update(status=status, enabled=enabled or status == "up")

    @invariant()
    def nothing_is_over(self) -> None:
        assert_counters_are_sums()
        over = Host.objects.filter(memory_claimed_mib__gt=F("memory_limit_mib"))
        assert not over.union(
            Host.objects.filter(vcpus_claimed__gt=F("vcpus_limit")),
            Host.objects.filter(disk_claimed_gib__gt=F("disk_limit_gib")),
        ).exists()
        assert Reservation.objects.count() == Allocation.objects.filter(kind=AllocationKind.RESERVATION).count()


class TestPlacementMachine(TestCase, PlacementMachine.TestCase):  # type: ignore[misc, name-defined]
    settings = hypothesis_settings(max_examples=5, stateful_step_count=10, deadline=None)
