"""From a decision to a claim: the last room in parallel, a lost race, what is held already."""

import uuid
from typing import Any

import pytest

from apps.errors import Refused
from apps.hosts.capacity import VM_OVERHEAD_MIB, Demand
from apps.hosts.models import Allocation, Host
from apps.placement import services
from apps.placement.models import Placement
from apps.placement.policy.language import policy_read
from apps.placement.policy.model import Policy
from apps.placement.policy.shipped import shipped
from apps.placement.selectors import placement_trace
from tests.parallel import in_parallel

SPREAD = shipped("spread")
DEMAND = Demand(vcpus=1, memory_mib=1024 - VM_OVERHEAD_MIB, disk_gib=1)


def place(consumer_id: uuid.UUID, *, host_id: uuid.UUID | None = None, policy: Policy = SPREAD) -> Host:
    return services.placement_claim(
        consumer_id=consumer_id,
        consumer_name="vm",
        owner_id=None,
        wish=services.Wish(demand=DEMAND, architecture="x86_64", host_id=host_id, policy=policy),
    )


@pytest.fixture
def hosts(make_host: Any) -> list[Host]:
    """Room for 3, 2 and 4 machines of 1024 MiB."""
    made = [make_host(f"h{number}", memory_mib=2048 + 1024 * room) for number, room in enumerate([2, 1, 3])]
    for host in made:
        assert host.memory_limit_mib // 1024 == host.memory_mib // 1024 - 1
    return made


class TestParallel:
    @pytest.mark.django_db(transaction=True)
    def test_exactly_as_many_as_fit_and_the_others_are_told_why(self, hosts: list[Host]) -> None:
        answers = in_parallel(place, [uuid.uuid4() for _ in range(24)])
        assert sum(isinstance(answer, Host) for answer in answers) == 9
        refusals = [answer for answer in answers if isinstance(answer, Refused)]
        assert {refusal.code for refusal in refusals} == {"placement.no_host_fits"}
        assert len(refusals) == 15
        for host in hosts:
            host.refresh_from_db()
            assert host.memory_claimed_mib == 1024 * host.allocations.count() <= host.memory_limit_mib
        assert Placement.objects.count() == Allocation.objects.count() == 9

    @pytest.mark.django_db(transaction=True)
    def test_the_same_machine_many_times_gets_one_place(self, hosts: list[Host]) -> None:
        machine = uuid.uuid4()
        answers = in_parallel(place, [machine] * 8)
        assert Allocation.objects.filter(consumer_id=machine).count() == 1
        assert sum(Host.objects.values_list("vcpus_claimed", flat=True)) == 1
        assert {answer.pk for answer in answers if isinstance(answer, Host)} == {Allocation.objects.get().host_id}


class TestRace:
    def test_a_lost_one_takes_the_next_candidate(self, hosts: list[Host], monkeypatch: pytest.MonkeyPatch) -> None:
        refused: list[uuid.UUID] = []
        real = services.capacity_claim

        def lose_the_first(**wish: Any) -> bool:
            if not refused:
                refused.append(wish["host_id"])
                return False
            return real(**wish)

        monkeypatch.setattr(services, "capacity_claim", lose_the_first)
        chosen = place(uuid.uuid4())
        assert refused == [hosts[2].pk]
        assert chosen.pk == hosts[0].pk
        kept = Placement.objects.get()
        assert kept.host_id == chosen.pk
        trace, _problem = placement_trace(placement=kept)
        assert trace is not None
        assert (trace["best"], trace["runner_up"], kept.host_name) == ("h2", "h0", "h0")

    def test_one_lost_again_and_again_ends(self, hosts: list[Host], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(services, "capacity_claim", lambda **_: False)
        with pytest.raises(Refused) as error:
            place(uuid.uuid4())
        assert error.value.code == "placement.contended"


class TestPolicyLimits:
    """What a policy lets be claimed is a guard of the claim itself, below the host's own limit."""

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("limit", ["memory: {ratio: 0.7}", "max_vms: 2", "vcpus: {ratio: 0.25}"])
    def test_hold_in_parallel(self, make_host: Any, limit: str) -> None:
        """Room for 7 by the host's own limits, for 2 (or 4 by memory) by the policy's."""
        policy = policy_read(f"{{name: tight, filters: {{{limit}}}, score: [{{metric: memory_free}}]}}")
        host = make_host("h0", cpus=8, memory_mib=8192, disk_gib=100)
        answers = in_parallel(lambda consumer: place(consumer, policy=policy), [uuid.uuid4() for _ in range(12)])
        given = sum(isinstance(answer, Host) for answer in answers)
        assert given == (4 if "memory" in limit else 2), answers
        host.refresh_from_db()
        assert host.vcpus_claimed == host.allocations.count() == given

    def test_a_claim_holds_to_them_when_the_decision_saw_an_older_host(
        self, make_host: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        policy = policy_read("{name: one, filters: {max_vms: 1}, score: [{metric: memory_free}]}")
        make_host("h0")
        old = services.hosts_snapshot()
        place(uuid.uuid4(), policy=policy)
        monkeypatch.setattr(services, "hosts_snapshot", lambda **_: old)
        with pytest.raises(Refused) as error:
            place(uuid.uuid4(), policy=policy)
        assert error.value.code == "placement.contended"
        assert Allocation.objects.count() == 1


def test_a_volume_fits_where_memory_is_claimed_beyond_the_limit(host: Host) -> None:
    """Domains of others may take more memory than there is; the disk is still there."""
    Host.objects.update(memory_claimed_mib=10**6, vcpus_claimed=10**6)
    wish = services.disk_wish(size_gib=5, host_id=None)
    placed = services.placement_claim(consumer_id=uuid.uuid4(), consumer_name="data", owner_id=None, wish=wish)
    assert placed.pk == host.pk


class TestHeld:
    def test_is_returned_as_it_is_even_where_there_is_no_room_now(self, hosts: list[Host]) -> None:
        machine = uuid.uuid4()
        first = place(machine)
        Host.objects.update(enabled=False)
        assert place(machine).pk == first.pk
        assert Placement.objects.count() == 1


class TestWanted:
    def test_the_host_a_person_chose_or_none(self, hosts: list[Host]) -> None:
        assert place(uuid.uuid4(), host_id=hosts[1].pk).pk == hosts[1].pk
        place(uuid.uuid4(), host_id=hosts[1].pk)
        with pytest.raises(Refused) as error:
            place(uuid.uuid4(), host_id=hosts[1].pk)
        assert "MiB short of memory" in error.value.detail
        assert error.value.errors[0].field == "host"

    def test_no_host_at_all(self, installation: str) -> None:
        with pytest.raises(Refused) as error:
            place(uuid.uuid4())
        assert error.value.detail == "No host fits: There is no host yet."


def test_a_preview_writes_nothing(hosts: list[Host], django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        decision = services.placement_preview(wish=services.Wish(demand=DEMAND, architecture="x86_64", policy=SPREAD))
    assert decision.best.id == str(hosts[2].pk)
    assert Allocation.objects.count() == Placement.objects.count() == 0
