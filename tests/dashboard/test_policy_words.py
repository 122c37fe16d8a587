"""Policies, metrics and differences in words."""

import pytest

from apps.dashboard.policy_words import (
    asks_of,
    diff_lines,
    filter_words,
    metric_words,
    value_words,
    wants_of,
)
from apps.dashboard.templatetags.reasons import points, seen, signed
from apps.placement.engine.filters import FILTERS
from apps.placement.policy.language import policy_read
from apps.placement.policy.metrics import METRICS
from apps.placement.policy.shipped import shipped_texts

RULED = """\
name: ruled
filters:
  vcpus: {ratio: 2}
  max_vms: 20
  native: true
  labels:
    require: {rack: [a, b]}
    refuse: {noisy: "true"}
score:
  - metric: vms
    prefer: low
  - metric: memory_free_share - label_load / 2
    weight: 2.5
    normalise: none
"""


def test_what_a_policy_asks_and_wants() -> None:
    policy = policy_read(RULED)
    assert asks_of(policy) == [
        "at most 2 vCPUs claimed for each real CPU",
        "at most 20 machines on it",
        "no emulation",
        "has the label rack=a or b",
        "does not have the label noisy=true",
    ]
    first, second = wants_of(policy)
    assert first == {
        "what": "free memory - label load / 2",
        "way": "more is better",
        "weight": "2.5",
        "how": "the number itself",
    }
    assert (second["what"], second["way"], second["weight"]) == ("machines on the host", "less is better", "1")


def test_every_metric_and_filter_has_words() -> None:
    assert {name for name in METRICS if "_" in metric_words(name)} == set()
    assert {item.name for item in FILTERS if "_" in filter_words(item.name)} == set()


@pytest.mark.parametrize("name", sorted(shipped_texts()))
def test_shipped_policies_are_told_without_underscores(name: str) -> None:
    assert not [want for want in wants_of(policy_read(shipped_texts()[name])) if "_" in want["what"]]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("memory_free_share", 0.657, "66 %"),
        ("memory_free", 512.0, "512 MiB"),
        ("memory_free", 4096.0, "4 GiB"),
        ("memory_free", -2048.0, "-2 GiB"),
        ("disk_free", 12.0, "12 GiB"),
        ("kvm", 1.0, "yes"),
        ("native", 0.0, "no"),
        ("watts_added", 67.5, "67.5 W"),
        ("vms", 3.0, "3"),
        ("label_rack", 1234567.0, "1234567"),
    ],
)
def test_values(name: str, value: float, words: str) -> None:
    assert value_words(name, value) == words


def test_scores() -> None:
    assert seen({"term": "memory_free_share", "value": 0.5}) == "Free memory: 50 %"
    assert [signed(value) for value in (None, 0.0, 0.001, 2.629, -1.5, 14122.0)] == [
        "-", "0", "+0.001", "+2.63", "\N{MINUS SIGN}1.50", "+14122",
    ]  # fmt: skip
    assert [points(value) for value in (None, 9.32101, -14122.4)] == ["-", "9.32", "-14122"]


def test_a_difference_by_lines() -> None:
    diff = "--- version 1\n+++ version 2\n@@ -1,3 +4,5 @@\n name: p\n--- old\n+new"
    assert [(line.mark, line.text) for line in diff_lines(diff)] == [
        ("@", "From line 4"), ("", "name: p"), ("-", "-- old"), ("+", "new"),
    ]  # fmt: skip
    assert diff_lines("") == []
