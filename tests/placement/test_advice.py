"""The smallest change named where nothing fits is one after which it fits."""

from dataclasses import replace

from hypothesis import given, settings

from apps.placement.engine.advice import smallest_changes
from apps.placement.engine.decide import decide
from apps.placement.engine.snapshot import HostView, Request
from apps.placement.policy.shipped import shipped
from tests.placement.hosts import REQUEST, host, host_lists, requests

SPREAD = shipped("spread")


@settings(max_examples=100, deadline=None)
@given(hosts=host_lists(), request=requests)
def test_one_is_named_exactly_where_nothing_fits(hosts: list[HostView], request: Request) -> None:
    decision = decide(hosts=hosts, request=request, policy=SPREAD)
    assert bool(smallest_changes(decision)) == (bool(hosts) and decision.winner is None)


@settings(max_examples=100, deadline=None)
@given(hosts=host_lists(), request=requests)
def test_after_asking_for_as_much_less_it_fits(hosts: list[HostView], request: Request) -> None:
    hosts = [replace(view, up=True, enabled=True, architectures=("x86_64",)) for view in hosts]
    request = replace(request, host_id=None, group=None, network=None, cpu_features=())
    request = replace(request, architecture="x86_64", firmware="bios")
    request = replace(request, memory_mib=request.memory_mib + 40)
    decision = decide(hosts=hosts, request=request, policy=SPREAD)
    for change in smallest_changes(decision):
        chosen = next(view for view in hosts if view.name == change.host)
        less = {
            "vcpus": min(request.vcpus, max(0, chosen.vcpus.limit - chosen.vcpus.claimed)),
            "memory_mib": min(request.memory_mib, max(0, chosen.memory.limit - chosen.memory.claimed)),
            "disk_gib": min(request.disk_gib, max(0, chosen.disk.limit - chosen.disk.claimed)),
        }
        assert chosen in decide(hosts=hosts, request=replace(request, **less), policy=SPREAD).candidates


def test_the_host_that_lacks_the_least_comes_first() -> None:
    hosts = [
        host("far", memory=15900),
        host("near", memory=14000),
        host("both", memory=15000, vcpus=16),
        host("closed", enabled=False),
    ]
    changes = smallest_changes(decide(hosts=hosts, request=REQUEST, policy=SPREAD))
    assert [(change.host, change.words) for change in changes] == [
        ("near", "ask for 112 MiB less of memory, or free as much on near"),
        ("closed", "open closed for new VMs"),
        ("far", "ask for 2012 MiB less of memory, or free as much on far"),
    ]
