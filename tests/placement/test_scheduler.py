"""The pure decision: never a host without room, the same answer again, reasons with numbers."""

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from apps.placement.scheduler import SPREAD, HostView, Policy, Request, decide

HOST = HostView(
    id="id-a",
    name="a",
    up=True,
    enabled=True,
    reason="",
    architectures=("x86_64",),
    vcpus_limit=16,
    vcpus_claimed=0,
    memory_limit_mib=16000,
    memory_claimed_mib=0,
    disk_limit_gib=100,
    disk_claimed_gib=0,
)
REQUEST = Request(vcpus=2, memory_mib=2112, disk_gib=10)
amount = st.integers(0, 64)


@st.composite
def host_lists(draw: st.DrawFn) -> list[HostView]:
    """Hosts with distinct names, some down, closed, foreign or overcommitted."""
    names = draw(st.lists(st.text("abc", min_size=1, max_size=3), unique=True, max_size=8))
    return [
        HostView(
            id=f"id-{name}",
            name=name,
            up=draw(st.booleans()),
            enabled=draw(st.booleans()),
            reason=draw(st.sampled_from(["", "unreachable: no route"])),
            architectures=draw(st.sampled_from([(), ("x86_64",), ("aarch64", "x86_64")])),
            vcpus_limit=draw(amount),
            vcpus_claimed=draw(amount),
            memory_limit_mib=draw(amount),
            memory_claimed_mib=draw(amount),
            disk_limit_gib=draw(amount),
            disk_claimed_gib=draw(amount),
        )
        for name in names
    ]


requests = st.builds(
    Request,
    vcpus=st.integers(1, 64),
    memory_mib=st.integers(1, 64),
    disk_gib=st.integers(1, 64),
    architecture=st.sampled_from(["x86_64", "aarch64"]),
    host_id=st.sampled_from([None, None, "id-a", "id-nowhere"]),
)


def fits(host: HostView, request: Request) -> bool:
    """Said again in other words, for the property."""
    return (
        host.up
        and host.enabled
        and request.architecture in host.architectures
        and request.host_id in (None, host.id)
        and host.vcpus_claimed + request.vcpus <= host.vcpus_limit
        and host.memory_claimed_mib + request.memory_mib <= host.memory_limit_mib
        and host.disk_claimed_gib + request.disk_gib <= host.disk_limit_gib
    )


@settings(max_examples=400, deadline=None)
@given(hosts=host_lists(), request=requests, seed=st.integers(0, 9))
def test_exactly_the_hosts_with_room_and_the_same_answer_in_any_order(
    hosts: list[HostView], request: Request, seed: int
) -> None:
    decision = decide(hosts=hosts, request=request, policy=SPREAD)
    assert set(decision.candidates) == {host.id for host in hosts if fits(host, request)}
    assert len(decision.verdicts) == len(hosts)
    assert all((verdict.score is None) == bool(verdict.reason) for verdict in decision.verdicts)
    shuffled = random.Random(seed).sample(hosts, len(hosts))  # noqa: S311  # order only
    assert decide(hosts=shuffled, request=request, policy=SPREAD) == decision


@given(hosts=host_lists(), request=requests)
def test_control_a_policy_without_the_memory_filter_is_noticed(hosts: list[HostView], request: Request) -> None:
    """The property above has teeth: without this filter some host without room is chosen."""
    blind = Policy(
        name="blind",
        filters=tuple(item for item in SPREAD.filters if item[0] != "memory"),
        score=SPREAD.score,
    )
    full = replace(HOST, memory_claimed_mib=HOST.memory_limit_mib)
    decision = decide(hosts=[full], request=replace(request, host_id=None, architecture="x86_64"), policy=blind)
    small = request.vcpus <= full.vcpus_limit and request.disk_gib <= full.disk_limit_gib
    assert bool(decision.candidates) is small


def test_spreads_by_free_memory_and_ties_go_to_the_first_name() -> None:
    hosts = [
        replace(HOST, id="id-b", name="b"),
        HOST,
        replace(HOST, id="id-c", name="c", memory_claimed_mib=1),
        replace(HOST, id="id-d", name="d", memory_limit_mib=20000),
    ]
    assert decide(hosts=hosts, request=REQUEST, policy=SPREAD).candidates == ("id-d", "id-a", "id-b", "id-c")


def test_the_last_unit_fits_and_one_more_does_not() -> None:
    exact = replace(HOST, vcpus_limit=2, memory_limit_mib=2112, disk_limit_gib=10)
    assert decide(hosts=[exact], request=REQUEST, policy=SPREAD).candidates == ("id-a",)
    for field in ("vcpus_claimed", "memory_claimed_mib", "disk_claimed_gib"):
        less = replace(exact, **{field: 1})
        assert decide(hosts=[less], request=REQUEST, policy=SPREAD).candidates == ()


def test_each_reason_names_its_filter_and_the_numbers() -> None:
    cases = {
        "state": (replace(HOST, up=False, reason="unreachable: no route"), "unreachable: no route"),
        "architecture": (replace(HOST, architectures=("aarch64",)), "cannot run x86_64 (has aarch64)"),
        "vcpus": (
            replace(HOST, vcpus_claimed=15),
            "1 vCPU short of vCPUs (needs 2, has 1 of 16)",
        ),
        "memory": (
            replace(HOST, memory_claimed_mib=15000),
            "1112 MiB short of memory (needs 2112, has 1000 of 16000)",
        ),
        "disk": (replace(HOST, disk_claimed_gib=120), "30 GiB short of disk (needs 10, has 0 of 100)"),
    }
    for name, (host, reason) in cases.items():
        (verdict,) = decide(hosts=[host], request=REQUEST, policy=SPREAD).verdicts
        assert (verdict.rejected_by, verdict.reason, verdict.score) == (name, reason, None)
    (closed,) = decide(hosts=[replace(HOST, enabled=False)], request=REQUEST, policy=SPREAD).verdicts
    assert closed.reason == "closed for new VMs"
    (unwanted,) = decide(hosts=[HOST], request=replace(REQUEST, host_id="id-z"), policy=SPREAD).verdicts
    assert (unwanted.rejected_by, unwanted.reason) == ("host", "another host was asked for")


def test_the_trace_is_plain_data_with_the_winner() -> None:
    import json

    full = replace(HOST, id="id-b", name="b", disk_claimed_gib=100)
    trace = decide(hosts=[full, HOST], request=REQUEST, policy=SPREAD).as_trace()
    assert json.loads(json.dumps(trace)) == trace
    assert trace["winner"] == "id-a"
    assert [verdict["host"] for verdict in trace["verdicts"]] == ["a", "b"]
    assert decide(hosts=[], request=REQUEST, policy=SPREAD).as_trace()["winner"] is None


def test_the_summary_names_five_hosts_and_counts_the_rest() -> None:
    hosts = [replace(HOST, id=f"id-{number}", name=f"h{number}", up=False, reason="down") for number in range(7)]
    summary = decide(hosts=hosts, request=REQUEST, policy=SPREAD).summary()
    assert summary.startswith("h0: down; h1: down;")
    assert summary.endswith("h4: down; and 2 more")
