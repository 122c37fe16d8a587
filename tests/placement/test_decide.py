"""The pure decision: never a host without room, the same answer again, reasons with numbers."""

import random
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.placement.engine import filters
from apps.placement.engine.decide import decide
from apps.placement.engine.snapshot import HostView, Request, Room
from apps.placement.engine.trace import as_trace
from apps.placement.policy.language import policy_read
from apps.placement.policy.model import Policy
from apps.placement.policy.shipped import shipped, shipped_texts
from tests.placement.hosts import HOST, REQUEST, host, host_lists, requests
from tests.placement.policies import policies

SPREAD = shipped("spread")


def names(hosts: Any, policy: Policy = SPREAD, request: Request = REQUEST) -> list[str]:
    return [view.name for view in decide(hosts=hosts, request=request, policy=policy).candidates]


def has_room(room: Room, needs: int, ratio: float | None) -> bool:
    limit = room.limit if ratio is None else min(room.limit, int(room.size * ratio))
    return not needs or room.claimed + needs <= limit


def has_cpu(view: HostView, asked: set[str]) -> bool:
    has = set(view.cpu_features or ())
    levels = {"x86-64-v2": {"ssse3", "popcnt"}, "x86-64-v4": {"avx512f"}}
    known = view.native == "x86_64" and view.cpu_features is not None
    return not asked or (known and all(levels.get(name, {name}) <= has for name in asked))


def may(view: HostView, request: Request, policy: Policy) -> bool:
    """Said again in other words, for the property."""
    wants = policy.filters
    values = {
        name: str(value).lower() if isinstance(value, bool) else f"{value}" for name, value in view.labels.items()
    }
    group = request.group
    there = {member.host_id for member in group.members} if group else set()
    return (
        view.up
        and view.enabled
        and request.host_id in (None, view.id)
        and not (group and group.rule == "anti-affinity" and view.id in there)
        and not (group and group.rule == "affinity" and there and view.id not in there)
        and (not request.architecture or request.architecture in view.architectures)
        and (request.firmware == "bios" or request.architecture in view.uefi)
        and has_cpu(view, {*request.cpu_features, *wants.cpu_features})
        and (request.network is None or request.network.host == view.name)
        and (wants.fresh_within_s is None or (view.age_s is not None and view.age_s <= wants.fresh_within_s))
        and (wants.accelerator == "any" or (view.proven and view.accelerator == "kvm"))
        and (not wants.native or not request.architecture or view.native == request.architecture)
        and (not wants.image_cached or view.image_cached)
        and (wants.max_vms is None or view.vms < wants.max_vms)
        and (not wants.require_labels or values.get("ssd") in ("true", "a"))
        and (not wants.refuse_labels or values.get("rack") != "3")
        and has_room(view.vcpus, request.vcpus, wants.vcpus_ratio)
        and has_room(view.memory, request.memory_mib, wants.memory_ratio)
        and has_room(view.disk, request.disk_gib, wants.disk_ratio)
    )


@settings(max_examples=150, deadline=None)
@given(hosts=host_lists(), request=requests, policy=policies(), seed=st.integers(0, 9))
def test_exactly_the_hosts_that_may_and_the_same_answer_in_any_order(
    hosts: list[HostView], request: Request, policy: Policy, seed: int
) -> None:
    decision = decide(hosts=hosts, request=request, policy=policy)
    assert {view.id for view in decision.candidates} == {view.id for view in hosts if may(view, request, policy)}
    assert decision.winner == (decision.candidates[0] if decision.candidates else None)
    assert np.isfinite(decision.scores[decision.fits]).all()
    shuffled = random.Random(seed).sample(hosts, len(hosts))  # noqa: S311  # order only
    again = decide(hosts=shuffled, request=request, policy=policy)
    assert again.candidates == decision.candidates
    assert as_trace(again) == as_trace(decision)


@settings(max_examples=100, deadline=None)
@given(hosts=host_lists(), request=requests, policy=policies())
def test_every_host_has_a_reason_or_a_score_that_its_terms_add_up_to(
    hosts: list[HostView], request: Request, policy: Policy
) -> None:
    decision = decide(hosts=hosts, request=request, policy=policy)
    verdicts = decision.verdicts()
    assert sorted(verdict.host for verdict in verdicts) == sorted(view.name for view in hosts)
    for verdict in verdicts:
        if verdict.score is None:
            assert verdict.rejected_by and verdict.reason
            if verdict.rejected_by in ("vcpus", "memory", "disk", "vms"):
                assert re.search(r"\d", verdict.reason)
        else:
            total = sum(share.adds for share in verdict.shares)
            assert verdict.score == pytest.approx(total, rel=1e-6, abs=1e-4)
    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    assert scores == sorted(scores, reverse=True)
    assert sum(decision.removed.values()) == len(hosts) - len(scores)


@pytest.mark.parametrize("blind", ["vcpus", "memory", "disk", "state", "architecture", "labels", "vms"])
def test_control_a_missing_filter_is_noticed(blind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The property above has teeth: without this filter a host that may not is chosen."""
    text = "{name: p, filters: {max_vms: 2, labels: {require: {ssd: a}}}, score: [{metric: vms}]}"
    policy, fine = policy_read(text), replace(HOST, labels={"ssd": "a"})
    wrong = {
        "vcpus": host("a", vcpus=16),
        "memory": host("a", memory=16000),
        "disk": host("a", disk=100),
        "state": replace(HOST, up=False),
        "architecture": replace(HOST, architectures=()),
        "labels": HOST,
        "vms": replace(HOST, vms=2),
    }[blind]
    wrong = wrong if blind == "labels" else replace(wrong, labels=fine.labels)
    assert names([fine], policy) == ["a"]
    assert names([wrong], policy) == []
    kept = tuple(item for item in filters.FILTERS if item.name != blind)
    monkeypatch.setattr("apps.placement.engine.decide.FILTERS", kept)
    assert names([wrong], policy) == ["a"]
    assert not may(wrong, REQUEST, replace(policy, filters=replace(policy.filters, max_vms=2)))


def test_spread_goes_by_free_memory_and_ties_go_to_the_first_name() -> None:
    large = replace(host("d"), memory=Room(size=20000, limit=20000, claimed=0))
    assert names([host("b"), HOST, host("c", memory=1), large]) == ["d", "a", "b", "c"]


def test_the_last_unit_fits_and_one_more_does_not() -> None:
    exact = replace(
        HOST,
        vcpus=Room(size=2, limit=2, claimed=0),
        memory=Room(size=2112, limit=2112, claimed=0),
        disk=Room(size=10, limit=10, claimed=0),
    )
    assert names([exact]) == ["a"]
    for field in ("vcpus", "memory", "disk"):
        less = replace(exact, **{field: replace(getattr(exact, field), claimed=1)})
        assert names([less]) == []


def test_a_ratio_of_the_policy_counts_below_the_limit_of_the_host_and_never_above() -> None:
    tight = policy_read("{name: p, filters: {memory: {ratio: 0.5}}, score: [{metric: memory_free}]}")
    assert names([host("a", memory=5888)], tight) == ["a"]
    assert names([host("a", memory=5889)], tight) == []
    wide = policy_read("{name: p, filters: {memory: {ratio: 4}}, score: [{metric: memory_free}]}")
    assert names([host("a", memory=13888)], wide) == ["a"]
    assert names([host("a", memory=13889)], wide) == []


STATED = {
    "state": (replace(HOST, up=False, reason="unreachable: no route"), "unreachable: no route"),
    "architecture": (replace(HOST, architectures=("aarch64",)), "cannot run x86_64 (has aarch64)"),
    "vcpus": (host("a", vcpus=15), "1 vCPU short of vCPUs (needs 2, has 1 of 2 × 8.0)"),  # noqa: RUF001
    "memory": (host("a", memory=15000), "1112 MiB short of memory (needs 2112, has 1000 of 16000 × 1.0)"),  # noqa: RUF001
    "disk": (host("a", disk=120), "30 GiB short of disk (needs 10, has 0 of 50 × 2.0)"),  # noqa: RUF001
    "fresh": (replace(HOST, age_s=61.2), "its data is too old (read 61 s ago, may be 60 s)"),
    "accelerator": (replace(HOST, proven=False), "its accelerator is tcg, not proven (the policy asks for proven)"),
    "native": (replace(HOST, native="aarch64"), "would emulate x86_64 (its CPU is aarch64)"),
    "labels": (replace(HOST, labels={"ssd": False}), "needs the label ssd=true (has false)"),
    "image": (replace(HOST, image_cached=False), "has no copy of the image"),
    "vms": (replace(HOST, vms=7), "has 7 VMs (may have 7)"),
}
STRICT = policy_read(
    "{name: strict, filters: {fresh_within_s: 60, accelerator: proven, native: true, image_cached: true, max_vms: 7,"
    ' labels: {require: {ssd: "true"}, refuse: {old: "1"}}}, score: [{metric: memory_free}]}'
)


@pytest.mark.parametrize("name", STATED)
def test_each_reason_names_its_filter_and_the_numbers(name: str) -> None:
    view, reason = STATED[name]
    if name != "labels":
        view = replace(view, labels={"ssd": True})
    if name != "image":
        view = replace(view, image_cached=True)
    (verdict,) = decide(hosts=[view], request=REQUEST, policy=STRICT).verdicts()
    assert (verdict.rejected_by, verdict.reason, verdict.score) == (name, reason, None)


def test_the_remaining_reasons() -> None:
    (closed,) = decide(hosts=[replace(HOST, enabled=False)], request=REQUEST, policy=SPREAD).verdicts()
    assert closed.reason == "closed for new VMs"
    (unwanted,) = decide(hosts=[HOST], request=replace(REQUEST, host_id="id-z"), policy=SPREAD).verdicts()
    assert (unwanted.rejected_by, unwanted.reason) == ("host", "another host was asked for")
    (no_uefi,) = decide(hosts=[HOST], request=replace(REQUEST, firmware="uefi"), policy=SPREAD).verdicts()
    assert "no UEFI firmware for x86_64" in str(no_uefi.reason)
    old = replace(HOST, labels={"ssd": True, "old": 1}, image_cached=True)
    (refused,) = decide(hosts=[old], request=REQUEST, policy=STRICT).verdicts()
    assert refused.reason == "has the label old=1, which is refused"


def test_the_summary_names_five_hosts_and_counts_the_rest() -> None:
    hosts = [host(f"h{number}", up=False, reason="down") for number in range(7)]
    summary = decide(hosts=hosts, request=REQUEST, policy=SPREAD).summary()
    assert summary.startswith("h0: down; h1: down;")
    assert summary.endswith("h4: down; and 2 more")


class TestTrace:
    def test_says_who_won_by_how_much_and_what_each_filter_removed(self) -> None:
        hosts = [HOST, host("b", memory=1000), host("c", disk=100), host("d", up=False), host("e", enabled=False)]
        trace = as_trace(decide(hosts=hosts, request=REQUEST, policy=SPREAD))
        assert (trace["best"], trace["runner_up"], trace["margin"]) == ("a", "b", 1000)
        assert (trace["hosts"], trace["fitting"]) == (5, 2)
        assert trace["removed"] == [{"filter": "state", "hosts": 2}, {"filter": "disk", "hosts": 1}]
        assert trace["verdicts"][0]["words"] == "a scored 13888: memory_free 13888 → +1.389e+04"
        assert trace["verdicts"][2]["words"] == (
            "c rejected: 10 GiB short of disk (needs 10, has 0 of 50 × 2.0)"  # noqa: RUF001
        )

    def test_of_no_host_and_of_one(self) -> None:
        nothing = as_trace(decide(hosts=[], request=REQUEST, policy=SPREAD))
        assert (nothing["best"], nothing["verdicts"], nothing["removed"]) == (None, [], [])
        alone = as_trace(decide(hosts=[HOST], request=REQUEST, policy=SPREAD))
        assert (alone["best"], alone["runner_up"], alone["margin"]) == ("a", None, None)

    def test_of_many_hosts_stays_short(self) -> None:
        hosts = [host(f"h{number:04}", memory=number, up=number % 2 == 0) for number in range(1000)]
        trace = as_trace(decide(hosts=hosts, request=REQUEST, policy=SPREAD))
        assert (trace["hosts"], trace["fitting"], len(trace["verdicts"])) == (1000, 500, 400)


class TestShipped:
    """What the policies that come with Cloudsite are for."""

    def test_spread_pack_and_energy_choose_three_different_hosts(self) -> None:
        """Fullest of memory, idlest, and the one whose watts are the least although it is half empty."""
        hosts = [
            host("full", vcpus=2, memory=9000, vms=3, labels={"idle_watts": 100, "max_watts": 400}),
            host("idle", vcpus=0, memory=0, vms=0),
            host("thrifty", vcpus=1, memory=4000, vms=1, labels={"idle_watts": 20, "max_watts": 30}),
        ]
        hosts = [replace(view, vcpus=replace(view.vcpus, size=8, limit=64)) for view in hosts]
        chosen = {name: names(hosts, shipped(name))[0] for name in ("spread", "pack", "energy")}
        assert chosen == {"spread": "idle", "pack": "full", "energy": "thrifty"}

    def test_energy_wakes_an_empty_host_last(self) -> None:
        assert names([host("a"), host("b", memory=13000, vcpus=2, vms=1)], shipped("energy"))[0] == "b"

    def test_balanced_looks_at_all_resources_and_avoids_emulation(self) -> None:
        no_cpus_left = host("b", vcpus=14, memory=0)
        assert names([no_cpus_left, host("c", vcpus=4, memory=3000)], shipped("balanced"))[0] == "c"
        foreign = host("a", native="aarch64")
        assert names([foreign, host("b", memory=8000, vcpus=8, disk=50)], shipped("balanced"))[0] == "b"
        assert names([host("a"), host("b", image_cached=True)], shipped("balanced"))[0] == "b"

    def test_performance_takes_two_vcpus_a_cpu_at_most_and_kvm_first(self) -> None:
        hosts = [host("a", vcpus=3), host("b", accelerator="kvm", vcpus=2), host("c"), host("d", native="aarch64")]
        assert names(hosts, shipped("performance")) == ["b", "c"]

    def test_each_has_the_name_of_its_file_and_says_what_it_is_for(self) -> None:
        for name, text in shipped_texts().items():
            assert shipped(name).name == name
            assert shipped(name).description
            assert text.startswith("# ")
            assert len(text.splitlines()) <= 30
