"""What is kept of a decision gives the same reasons again, and is small."""

import json
import zlib
from typing import Any

import pytest
from hypothesis import given, settings

from apps.placement.engine.decide import decide
from apps.placement.engine.record import kept, pack
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
    found = kept(pack(decision).content)
    assert found.decision is not None and not found.problem
    assert as_trace(found.decision) == as_trace(decision)


def older(**changes: Any) -> bytes:
    """A record as another version may have kept it."""
    content = pack(decide(hosts=[host("a")], request=REQUEST, policy=shipped("spread"))).content
    head, _, rest = zlib.decompress(content).decode().partition("\n")
    return zlib.compress(f"{json.dumps(json.loads(head) | changes)}\n{rest}".encode())


@pytest.mark.parametrize(
    ("content", "said", "readable"),
    [
        (b"", "not kept", False),
        (b"nonsense", "damaged", False),
        (zlib.compress(b"{}\n{}"), "damaged", False),
        (older(policy="name: old\nscore: [{metric: luck}]\n"), "refused by now", True),
        (older(request={"gpus": 3}), "Another version", True),
    ],
)
def test_what_cannot_be_read_is_said_and_the_rest_is_there(content: bytes, said: str, readable: bool) -> None:
    found = kept(content)
    assert found.decision is None and said in found.problem
    assert bool(found.policy and found.request) == readable


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
