"""Claims on a host: never over the limit, and the counters are always the sums."""

import uuid
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F, Sum
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from apps.hosts import capacity
from apps.hosts.capacity import (
    Demand,
    Foreign,
    capacity_claim,
    capacity_limits,
    capacity_release,
    capacity_resize,
    foreign_record,
)
from apps.hosts.models import Allocation, Host
from tests.parallel import in_parallel

SMALL = Demand(vcpus=1, memory_mib=100, disk_gib=1)


def make_hosts(count: int) -> list[Host]:
    return [
        Host.objects.create(
            name=f"h{number}",
            transport="tls",
            address=f"h{number}",
            status="up",
            vcpus_limit=8,
            memory_limit_mib=1000,
            disk_limit_gib=10,
        )
        for number in range(count)
    ]


def assert_counters_are_sums(host: Host) -> None:
    host.refresh_from_db()
    sums = host.allocations.aggregate(v=Sum("vcpus"), m=Sum("memory_mib"), d=Sum("disk_gib"))
    claimed = (host.vcpus_claimed, host.memory_claimed_mib, host.disk_claimed_gib)
    assert claimed == (sums["v"] or 0, sums["m"] or 0, sums["d"] or 0)


class CapacityMachine(RuleBasedStateMachine):
    """Machines come and go on two hosts, claims are repeated, foreign guests appear; a model says what is held."""

    def __init__(self) -> None:
        super().__init__()
        self.savepoint = transaction.atomic()
        self.savepoint.__enter__()
        self.hosts = make_hosts(2)
        self.held: dict[uuid.UUID, tuple[int, Demand]] = {}
        self.foreign: dict[int, int] = {0: 0, 1: 0}
        self.known = [uuid.uuid4() for _ in range(6)]

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.savepoint.__exit__(None, None, None)

    def used(self, number: int) -> tuple[int, int, int]:
        mine = [demand for host, demand in self.held.values() if host == number]
        return (
            sum(demand.vcpus for demand in mine),
            sum(demand.claimed_memory_mib for demand in mine) + self.foreign[number],
            sum(demand.disk_gib for demand in mine),
        )

    @rule(
        who=st.integers(0, 5),
        number=st.integers(0, 1),
        vcpus=st.integers(1, 9),
        memory=st.integers(1, 1100),
        disk=st.integers(1, 11),
    )
    def claim(self, who: int, number: int, vcpus: int, memory: int, disk: int) -> None:
        demand = Demand(vcpus=vcpus, memory_mib=memory, disk_gib=disk)
        given = capacity_claim(host_id=self.hosts[number].pk, consumer_id=self.known[who], label="vm", demand=demand)
        if self.known[who] in self.held:
            assert given is (self.held[self.known[who]][0] == number)
            return
        used, limits = self.used(number), (8, 1000, 10)
        wanted = (vcpus, demand.claimed_memory_mib, disk)
        assert given is all(have + want <= most for have, want, most in zip(used, wanted, limits, strict=True))
        if given:
            self.held[self.known[who]] = (number, demand)

    @precondition(lambda self: self.held)
    @rule(
        who=st.integers(0, 5),
        vcpus=st.integers(1, 9),
        memory=st.integers(1, 1100),
        disk=st.integers(1, 11),
    )
    def resize(self, who: int, vcpus: int, memory: int, disk: int) -> None:
        """Only what grows has to fit: foreign guests may have filled the host beyond its limit."""
        consumer, demand = self.known[who], Demand(vcpus=vcpus, memory_mib=memory, disk_gib=disk)
        if consumer not in self.held:
            with pytest.raises(LookupError):
                capacity_resize(consumer_id=consumer, demand=demand)
            return
        number, old = self.held[consumer]
        deltas = (vcpus - old.vcpus, memory - old.memory_mib, disk - old.disk_gib)
        used, limits = self.used(number), (8, 1000, 10)
        fits = all(delta <= 0 or have + delta <= most for have, delta, most in zip(used, deltas, limits, strict=True))
        assert capacity_resize(consumer_id=consumer, demand=demand) is fits
        if fits:
            self.held[consumer] = (number, demand)

    @rule(who=st.integers(0, 5))
    def release(self, who: int) -> None:
        capacity_release(consumer_id=self.known[who])
        self.held.pop(self.known[who], None)

    @rule(number=st.integers(0, 1), memory=st.lists(st.integers(0, 900), max_size=3), on=st.booleans())
    def look(self, number: int, memory: list[int], on: bool) -> None:
        guests = [
            Foreign(
                uuid=uuid.uuid5(self.hosts[number].pk, str(index)),
                name=f"guest-{index}",
                power="running" if on else "shutoff",
                vcpus=0,
                memory_mib=size,
            )
            for index, size in enumerate(memory)
        ]
        foreign_record(host_id=self.hosts[number].pk, domains=guests)
        self.foreign[number] = sum(memory) if on else 0

    @precondition(lambda self: self.held)
    @rule()
    def close(self) -> None:
        """A closed host takes nothing new and keeps what it has."""
        Host.objects.filter(pk=self.hosts[0].pk).update(enabled=False)
        assert not capacity_claim(host_id=self.hosts[0].pk, consumer_id=uuid.uuid4(), label="vm", demand=SMALL)
        Host.objects.filter(pk=self.hosts[0].pk).update(enabled=True)

    @invariant()
    def the_counters_are_the_sums(self) -> None:
        for number, host in enumerate(self.hosts):
            assert_counters_are_sums(host)
            assert (host.vcpus_claimed, host.memory_claimed_mib, host.disk_claimed_gib) == self.used(number)


class TestCapacityMachine(TestCase, CapacityMachine.TestCase):  # type: ignore[misc, name-defined]
    settings = hypothesis_settings(max_examples=20, stateful_step_count=20, deadline=None)


@pytest.mark.django_db(transaction=True)
class TestParallel:
    """64 threads on 24 places (``promises.md`` 5.5)."""

    THREADS = 64

    @pytest.fixture
    def hosts(self) -> list[Host]:
        hosts = make_hosts(3)
        Host.objects.update(vcpus_limit=8)
        return hosts

    def storm(self, hosts: list[Host]) -> list[Any]:
        def one(number: int) -> bool:
            consumer = uuid.uuid4()
            start = number % len(hosts)
            for host in hosts[start:] + hosts[:start]:
                if capacity.capacity_claim(
                    host_id=host.pk,
                    consumer_id=consumer,
                    label=f"vm-{number}",
                    demand=Demand(vcpus=1, memory_mib=10, disk_gib=1),
                ):
                    return True
            return False

        return in_parallel(one, range(self.THREADS))

    def test_places_are_given_once_and_nobody_is_refused_while_there_is_one(self, hosts: list[Host]) -> None:
        answers = self.storm(hosts)
        assert sorted(answers, key=str).count(True) == 24
        assert answers.count(False) == self.THREADS - 24
        for host in hosts:
            assert_counters_are_sums(host)
            assert host.vcpus_claimed == 8

    def test_control_reading_before_writing_overcommits(
        self, hosts: list[Host], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def naive(*, host_id: uuid.UUID, consumer_id: uuid.UUID, label: str, demand: Demand) -> bool:
            host = Host.objects.get(pk=host_id)
            if host.vcpus_claimed + demand.vcpus > host.vcpus_limit:
                return False
            Host.objects.filter(pk=host_id).update(vcpus_claimed=F("vcpus_claimed") + demand.vcpus)
            return True

        monkeypatch.setattr(capacity, "capacity_claim", naive)
        self.storm(hosts)
        assert any(claimed > 8 for claimed in Host.objects.values_list("vcpus_claimed", flat=True))

    def test_machines_that_grow_at_once_never_overcommit(self, hosts: list[Host]) -> None:
        """Four machines of one vCPU on a host for eight, and each wants four."""
        host, small = hosts[0], Demand(vcpus=1, memory_mib=10, disk_gib=1)
        machines = [uuid.uuid4() for _ in range(4)]
        for machine in machines:
            assert capacity_claim(host_id=host.pk, consumer_id=machine, label="vm", demand=small)
        large = Demand(vcpus=3, memory_mib=10, disk_gib=1)
        grown = in_parallel(lambda machine: capacity_resize(consumer_id=machine, demand=large), machines)
        assert sorted(grown) == [False, False, True, True]
        assert_counters_are_sums(host)
        assert host.vcpus_claimed == 8

    def test_claims_and_releases_crossing_leave_no_drift(self, hosts: list[Host]) -> None:
        consumers = [uuid.uuid4() for _ in range(16)]
        demand = Demand(vcpus=1, memory_mib=10, disk_gib=1)

        def churn(number: int) -> None:
            consumer, host = consumers[number % 16], hosts[number % 3]
            for _ in range(3):
                capacity_claim(host_id=host.pk, consumer_id=consumer, label="vm", demand=demand)
                capacity_release(consumer_id=consumer)

        answers = in_parallel(churn, range(32))
        assert [answer for answer in answers if isinstance(answer, Exception)] == []
        for host in hosts:
            assert_counters_are_sums(host)


class TestConstraints:
    """What the database refuses whatever the code does."""

    def test_one_machine_on_two_hosts(self, db: None) -> None:
        one, two = make_hosts(2)
        machine = uuid.uuid4()
        values = {"consumer_id": machine, "label": "vm", "kind": "vm", "vcpus": 1, "memory_mib": 1, "disk_gib": 1}
        Allocation.objects.create(host=one, **values)
        with pytest.raises(IntegrityError), transaction.atomic():
            Allocation.objects.create(host=two, **values)

    def test_claims_below_zero(self, db: None) -> None:
        (host,) = make_hosts(1)
        with pytest.raises(IntegrityError), transaction.atomic():
            Host.objects.filter(pk=host.pk).update(vcpus_claimed=-1)


class TestLimits:
    @pytest.mark.parametrize(("memory", "expected"), [(0, 0), (1024, 0), (2048, 1024), (10240, 9216), (102400, 92160)])
    def test_the_host_keeps_a_gibibyte_or_a_tenth(self, memory: int, expected: int) -> None:
        host = Host(cpus=4, memory_mib=memory, pool_total_gib=100)
        assert capacity_limits(host=host) == (32, expected, 200)

    def test_a_claim_adds_the_overhead_of_qemu(self, db: None) -> None:
        (host,) = make_hosts(1)
        capacity_claim(host_id=host.pk, consumer_id=uuid.uuid4(), label="vm", demand=SMALL)
        host.refresh_from_db()
        assert host.memory_claimed_mib == 164
