"""Placement groups: together or apart, as a must or as a wish; and no race breaks a must."""

import uuid
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection

from apps.errors import Refused
from apps.hosts.capacity import Demand, capacity_release
from apps.hosts.models import Allocation, Host
from apps.placement import services
from apps.placement.engine.advice import smallest_changes
from apps.placement.engine.decide import Decision, decide
from apps.placement.engine.group import Group, Member
from apps.placement.engine.record import kept, pack
from apps.placement.engine.snapshot import HostView
from apps.placement.engine.trace import as_trace
from apps.placement.engine.what_if import Cloud, Machine, left, losses
from apps.placement.models import PlacementGroup
from apps.placement.policy.language import policy_read
from apps.placement.policy.model import Policy
from apps.placement.policy.shipped import shipped
from apps.placement.services import HostsAway
from tests.parallel import in_parallel
from tests.placement.hosts import REQUEST, host

PACK = shipped("pack")
HOSTS = [host("h1", memory=9000), host("h2", memory=4000), host("h3")]


def group(rule: str, **members: str) -> Group:
    """``group("affinity", db_1="h1")``: of whom which has its place where."""
    placed = [Member(name=name.replace("_", "-"), host_id=f"id-{where}", host=where) for name, where in members.items()]
    return Group(id="g", name="db", rule=rule, members=tuple(placed))


def asked(of: Group, hosts: list[HostView] = HOSTS, policy: Policy = PACK) -> Decision:
    return decide(hosts=hosts, request=replace(REQUEST, group=of), policy=policy)


def order(decision: Decision) -> list[str]:
    return [view.name for view in decision.candidates]


def test_the_first_of_a_group_goes_where_the_policy_says() -> None:
    for rule in ("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"):
        assert order(asked(group(rule))) == ["h1", "h2", "h3"]


class TestHard:
    def test_apart(self) -> None:
        decision = asked(group("anti-affinity", db_1="h1", db_2="h3"))
        assert order(decision) == ["h2"]
        words = [verdict["words"] for verdict in as_trace(decision)["verdicts"][1:]]
        assert words == [
            "h1 rejected: already runs db-1 of group db (anti-affinity)",
            "h3 rejected: already runs db-2 of group db (anti-affinity)",
        ]
        assert decision.removed == {"anti-affinity": 2}

    def test_together(self) -> None:
        decision = asked(group("affinity", db_1="h2", db_2="h2"))
        assert order(decision) == ["h2"]
        assert as_trace(decision)["verdicts"][1]["words"] == "h1 rejected: group db is on h2 (affinity)"

    def test_more_members_than_hosts(self) -> None:
        decision = asked(group("anti-affinity", db_1="h1", db_2="h2", db_3="h3"))
        assert decision.winner is None
        assert decision.removed == {"anti-affinity": 3}
        assert smallest_changes(decision, most=1)[0].words == "have h1 take it outside of group db"

    @pytest.mark.parametrize(
        ("there", "says"),
        [
            (host("h1", memory=15000), "h1: 1112 MiB short of memory"),
            (replace(host("h1"), up=False, reason="unreachable: no route"), "h1: unreachable: no route"),
            (None, "h2: group db is on h1 (affinity)"),
        ],
    )
    def test_together_where_the_host_is_full_or_away_or_gone(self, there: HostView | None, says: str) -> None:
        decision = asked(group("affinity", db_1="h1"), [*([there] if there else []), host("h2"), host("h3")])
        assert decision.winner is None
        assert says in decision.summary()
        assert decision.removed["affinity"] == 2

    def test_many_members_are_named_shortly(self) -> None:
        many = {f"db_{number}": "h1" for number in range(9)}
        decision = asked(group("anti-affinity", **many))
        assert "already runs db-0, db-1, db-2 and 6 more of group db" in decision.summary()


class TestSoft:
    def test_apart_where_it_can_be(self) -> None:
        assert order(asked(group("soft-anti-affinity", db_1="h1"))) == ["h2", "h3", "h1"]
        assert order(asked(group("soft-anti-affinity", db_1="h1", db_2="h2", db_3="h3"))) == ["h1", "h2", "h3"]
        assert order(asked(group("soft-anti-affinity", a="h1", b="h1", c="h2", d="h2", e="h3"))) == ["h3", "h1", "h2"]

    def test_together_where_it_can_be(self) -> None:
        assert order(asked(group("soft-affinity", db_1="h3"))) == ["h3", "h1", "h2"]
        full = [host("h1"), host("h2"), host("h3", memory=15000)]
        assert order(asked(group("soft-affinity", db_1="h3"), full)) == ["h1", "h2"]

    def test_its_share_is_told_and_adds_up(self) -> None:
        best = asked(group("soft-affinity", db_1="h3")).verdicts()[0]
        share = best.shares[-1]
        assert (share.term, share.value) == ("soft-affinity", 1.0)
        assert share.adds > sum(other.adds for other in best.shares[:-1])
        assert best.score == pytest.approx(sum(each.adds for each in best.shares))

    def test_a_policy_may_weigh_the_group_by_itself(self) -> None:
        policy = policy_read("{name: p, score: [{metric: group_vms, prefer: low}, {metric: memory_free}]}")
        assert order(asked(group("affinity"), policy=policy)) == ["h3", "h2", "h1"]
        apart = asked(group("soft-anti-affinity", db_1="h3"), policy=policy)
        assert order(apart) == ["h2", "h1", "h3"]


@pytest.mark.parametrize("rule", ["anti-affinity", "soft-affinity"])
def test_what_is_kept_tells_the_same(rule: str) -> None:
    decision = asked(group(rule, db_1="h1"))
    again = kept(pack(decision).content).decision
    assert again
    assert as_trace(again) == as_trace(decision)


class TestWhatIf:
    def cloud(self, rule: str, hosts: int) -> Cloud:
        """Two of the group, each on a host of its own or both on one, and nothing else."""
        where = ["h1", "h1"] if rule == "affinity" else ["h1", "h2"]
        request = replace(REQUEST, group=group(rule))
        machines = [
            Machine(id=f"m{number}", name=f"db-{number}", host=name, request=request, policy=PACK)
            for number, name in enumerate(where)
        ]
        return Cloud(hosts=tuple(host(f"h{number + 1}") for number in range(hosts)), machines=tuple(machines))

    def test_who_must_be_apart_needs_another_host(self) -> None:
        assert [len(loss.homeless) for loss in losses(self.cloud("anti-affinity", 2))] == [1, 1]
        assert [len(loss.homeless) for loss in losses(self.cloud("anti-affinity", 3))] == [0, 0]
        assert [len(loss.homeless) for loss in losses(self.cloud("soft-anti-affinity", 2))] == [0, 0]

    def test_who_belongs_together_moves_together(self) -> None:
        moved = left(self.cloud("affinity", 3), ["h1"])
        assert len({where for _, where in moved.placed}) == 1
        apart = left(self.cloud("anti-affinity", 3), ["h1"])
        assert [where for _, where in apart.placed] == ["h3"]
        assert len(left(apart.cloud, ["h2"]).homeless) == 1  # it sees who moved before it


def place(of: PlacementGroup, name: str = "db") -> Host:
    wish = services.Wish(
        demand=Demand(vcpus=1, memory_mib=64, disk_gib=1), architecture="x86_64", group=of, policy=PACK
    )
    return services.placement_claim(consumer_id=uuid.uuid4(), consumer_name=name, owner_id=None, wish=wish)


@pytest.fixture
def three(make_host: Any) -> list[Host]:
    return [make_host(f"h{number}", cpus=64, memory_mib=8192 * number) for number in (1, 2, 3)]


def group_of(admin: Any, rule: str) -> PlacementGroup:
    return PlacementGroup.objects.create(owner=admin, name="db", rule=rule)


class TestClaim:
    def test_each_sees_those_before_it(self, three: list[Host], admin: Any) -> None:
        apart = group_of(admin, "anti-affinity")
        assert {place(apart, f"db-{number}").name for number in range(3)} == {"h1", "h2", "h3"}
        with pytest.raises(Refused) as error:
            place(apart)
        assert error.value.code == "placement.no_host_fits"
        assert "h1: already runs db-0 of group db (anti-affinity)" in error.value.detail
        assert error.value.extra["removed"] == {"anti-affinity": 3}
        capacity_release(consumer_id=Allocation.objects.get(host__name="h2").consumer_id)
        assert place(apart).name == "h2"

    def test_a_member_whose_host_is_away_is_waited_for(self, three: list[Host], admin: Any) -> None:
        together = group_of(admin, "affinity")
        first = place(together)
        Host.objects.filter(pk=first.pk).update(status="unreachable")
        with pytest.raises(HostsAway, match=first.name):
            place(together)
        Host.objects.filter(pk=first.pk).update(status="up", enabled=False)
        Host.objects.exclude(pk=first.pk).update(status="unreachable")
        with pytest.raises(Refused, match=f"{first.name}: closed for new VMs"):
            place(together)  # that others are away does not help it

    def test_the_same_machine_again_keeps_its_place(self, three: list[Host], admin: Any) -> None:
        apart, machine = group_of(admin, "anti-affinity"), uuid.uuid4()
        wish = services.Wish(
            demand=Demand(vcpus=1, memory_mib=64, disk_gib=1), architecture="x86_64", group=apart, policy=PACK
        )
        known = {"consumer_id": machine, "consumer_name": "db", "owner_id": None, "wish": wish}
        assert services.placement_claim(**known).pk == services.placement_claim(**known).pk


def hosts_of_members() -> list[str]:
    return sorted(Allocation.objects.filter(group_id__isnull=False).values_list("host__name", flat=True))


class TestParallel:
    """Everybody decides at the same moment, and takes a while between deciding and claiming."""

    @pytest.fixture(autouse=True)
    def slow_claims(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = services.capacity_claim

        def slow(**wish: Any) -> bool:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(0.02)")
            return real(**wish)

        monkeypatch.setattr(services, "capacity_claim", slow)

    @pytest.mark.django_db(transaction=True)
    def test_never_two_on_one_host(self, three: list[Host], admin: Any) -> None:
        apart = group_of(admin, "anti-affinity")
        answers = in_parallel(lambda _: place(apart), range(8))
        assert hosts_of_members() == ["h1", "h2", "h3"]
        refusals = [answer for answer in answers if not isinstance(answer, Host)]
        assert [refusal.code for refusal in refusals] == ["placement.no_host_fits"] * 5

    @pytest.mark.django_db(transaction=True)
    def test_never_on_two_hosts(self, three: list[Host], admin: Any) -> None:
        together, other = (
            group_of(admin, "affinity"),
            PlacementGroup.objects.create(owner=admin, name="b", rule="affinity"),
        )
        in_parallel(lambda number: place((together, other)[number % 2]), range(8))
        placed = Allocation.objects.values_list("group_id", "host_id")
        assert len(placed) == 8
        assert len(set(placed)) == 2

    @pytest.mark.django_db(transaction=True)
    def test_control_without_turns_they_meet(
        self, three: list[Host], admin: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        @contextmanager
        def nobody_waits(_: Any) -> Any:
            yield

        monkeypatch.setattr(services, "group_turn", nobody_waits)
        apart = group_of(admin, "anti-affinity")
        in_parallel(lambda _: place(apart), range(8))
        assert len(hosts_of_members()) > len(set(hosts_of_members()))
