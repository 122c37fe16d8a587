"""What is kept of a decision gives the same reasons again, and is small."""

from hypothesis import given, settings

from apps.placement.engine.decide import decide
from apps.placement.engine.record import pack, unpack
from apps.placement.engine.snapshot import HostView, Request
from apps.placement.engine.trace import as_trace
from apps.placement.policy.model import Policy
from apps.placement.policy.shipped import shipped
from tests.placement.hosts import REQUEST, host, host_lists, requests
from tests.placement.policies import policies


@settings(max_examples=100, deadline=None)
@given(hosts=host_lists(), request=requests, policy=policies())
def test_the_same_trace_comes_out(hosts: list[HostView], request: Request, policy: Policy) -> None:
    decision = decide(hosts=hosts, request=request, policy=policy)
    assert as_trace(unpack(pack(decision).content)) == as_trace(decision)


def test_the_hash_is_of_what_was_seen() -> None:
    hosts = [host("a"), host("b", memory=5)]
    one = pack(decide(hosts=hosts, request=REQUEST, policy=shipped("spread")))
    other = pack(decide(hosts=hosts[::-1], request=REQUEST, policy=shipped("pack")))
    changed = pack(decide(hosts=[host("a"), host("b", memory=6)], request=REQUEST, policy=shipped("spread")))
    assert one.snapshot_hash == other.snapshot_hash != changed.snapshot_hash


def test_a_decision_among_many_hosts_is_kept_in_little_room() -> None:
    hosts = [host(f"host-{n:05}", memory=n * 7919 % 16000, vcpus=n * 31 % 16, disk=n * 17 % 100) for n in range(10_000)]
    decision = decide(hosts=hosts, request=REQUEST, policy=shipped("balanced"))
    assert len(pack(decision).content) < 150_000
    assert len(pack(decide(hosts=hosts[:5], request=REQUEST, policy=shipped("balanced"))).content) < 1500
