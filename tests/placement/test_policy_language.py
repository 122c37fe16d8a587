"""Policy files: what is right is read, what is wrong is named with its line, and nothing in them is dangerous."""

import ast
import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.placement.policy.expression import ExpressionError, parse
from apps.placement.policy.language import policy_read, policy_schema
from apps.placement.policy.metrics import METRICS, NO_DATA
from apps.placement.policy.shipped import shipped_texts
from apps.placement.policy.tree import PolicyError, Problem

SCORE = "score: [{metric: memory_free}]"


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(PolicyError) as error:
        policy_read(text)
    return error.value.problems


def only(text: str) -> Problem:
    (found,) = problems(text)
    return found


def test_everything_that_can_be_said_is_read() -> None:
    policy = policy_read("""
name: all-of-it
description: "Everything: at once"
filters:
  vcpus: {ratio: 4}
  memory: {ratio: 0.9}
  disk: {ratio: 1.5}
  max_vms: 40
  fresh_within_s: 120
  accelerator: proven
  native: true
  image_cached: false
  labels:
    require:
      rack: [a, b]
    refuse:
      old: "true"
power:
  idle_watts: 30
  max_watts: 90.5
score:
  - metric: memory_free_share * 2 - abs(imbalance) / 3
    weight: 2.5
    prefer: low
    normalise: none
  - metric: label_speed
""")
    assert (policy.name, policy.description) == ("all-of-it", "Everything: at once")
    wants = policy.filters
    assert (wants.vcpus_ratio, wants.memory_ratio, wants.disk_ratio) == (4.0, 0.9, 1.5)
    assert (wants.max_vms, wants.fresh_within_s, wants.accelerator, wants.native) == (40, 120, "proven", True)
    assert (wants.require_labels[0].values, wants.refuse_labels[0].values) == (("a", "b"), ("true",))
    assert (policy.power.idle_watts, policy.power.max_watts) == (30, 90.5)
    first, second = policy.terms
    assert first.expression.metrics == {"memory_free_share", "imbalance"}
    assert (first.weight, first.prefer, first.normalise) == (2.5, "low", "none")
    assert (second.weight, second.prefer, second.normalise) == (1.0, "high", "range")


WRONG = {
    "a key with a typo": (
        "name: p\nfilters:\n  memroy: {ratio: 1}\n" + SCORE,
        (3, "filters.memroy", "unknown", "did you mean 'memory'?"),
    ),
    "a metric with a typo": (
        "name: p\nscore:\n  - metric: memory_fre\n",
        (3, "score[0].metric", "metric", "did you mean 'memory_free'?"),
    ),
    "a metric without data": (
        "name: p\nscore:\n  - metric: cpu_load\n",
        (3, "score[0].metric", "metric", "does not collect yet"),
    ),
    "a metric without data in a formula": (
        "name: p\nscore:\n  - metric: memory_free + temperature\n",
        (3, "score[0].metric", "metric", "no host reports its temperature yet"),
    ),
    "a filter without data": (
        "name: p\nfilters:\n\n  cpu_load: 0.5\n" + SCORE,
        (4, "filters.cpu_load", "unknown", "measured load needs metrics"),
    ),
    "no CPU feature": (
        "name: p\nfilters:\n  cpu_features: [avx2, AVX2]\n" + SCORE,
        (3, "filters.cpu_features[1]", "text", "a level such as x86-64-v3"),
    ),
    "the same key twice": ("name: p\nname: q\n" + SCORE, (2, "name", "duplicate", "first in line 1")),
    "the same key twice below": (
        "name: p\nfilters:\n  max_vms: 1\n  max_vms: 2\n" + SCORE,
        (4, "filters.max_vms", "duplicate", "first in line 3"),
    ),
    "no score": ("name: p\n", (1, "score", "missing", "score is missing")),
    "an empty score": ("name: p\nscore: []\n", (2, "score", "length", "1 to 12 entries")),
    "a word for a number": (
        "name: p\nfilters: {max_vms: many}\n" + SCORE,
        (2, "filters.max_vms", "type", "a whole number from 1 to 10000, not 'many'"),
    ),
    "half a machine": ("name: p\nfilters: {max_vms: 1.5}\n" + SCORE, (2, "filters.max_vms", "type", "not '1.5'")),
    "nothing at all": ("name: p\nfilters: {max_vms: }\n" + SCORE, (2, "filters.max_vms", "type", "not nothing")),
    "base 60": ("name: p\nfilters: {max_vms: 22:22}\n" + SCORE, (2, "filters.max_vms", "type", "22:22")),
    "hexadecimal": ("name: p\nfilters: {max_vms: 0x10}\n" + SCORE, (2, "filters.max_vms", "type", "0x10")),
    "infinity": ("name: p\nfilters: {memory: {ratio: .inf}}\n" + SCORE, (2, "filters.memory.ratio", "type", ".inf")),
    "no number": ("name: p\nfilters: {memory: {ratio: .nan}}\n" + SCORE, (2, "filters.memory.ratio", "type", ".nan")),
    "an exponent": ("name: p\nfilters: {memory: {ratio: 1e0}}\n" + SCORE, (2, "filters.memory.ratio", "type", "1e0")),
    "a negative ratio": (
        "name: p\nfilters: {memory: {ratio: -1}}\n" + SCORE,
        (2, "filters.memory.ratio", "range", "from 0.1 to 4"),
    ),
    "no as a name": ("name: no\n" + SCORE, (1, "name", "type", "put it in quotes")),
    "a name with spaces": ("name: My Policy\n" + SCORE, (1, "name", "text", "a name (a-z, 0-9, -)")),
    "yes for true": ("name: p\nfilters: {native: yes}\n" + SCORE, (2, "filters.native", "type", "true or false")),
    "a word not among the allowed": (
        "name: p\nfilters: {accelerator: kvn}\n" + SCORE,
        (2, "filters.accelerator", "choice", "any, proven, kvm, not 'kvn'; did you mean 'kvm'?"),
    ),
    "a list for a mapping": ("name: p\nfilters: [a]\n" + SCORE, (2, "filters", "type", "a mapping (key: value)")),
    "a mapping for a list": ("name: p\nscore: {a: b}\n", (2, "score", "type", "a list (lines that start with -)")),
    "contradicting labels": (
        "name: p\nfilters:\n  labels: {require: {ssd: 'true'}, refuse: {ssd: 'true'}}\n" + SCORE,
        (3, "filters.labels", "contradiction", "no host can be both"),
    ),
    "the same term twice": (
        "name: p\nscore:\n  - metric: vms\n  - metric: vms\n",
        (4, "score[1].metric", "duplicate", "weighed twice"),
    ),
    "less power when busy": (
        f"name: p\npower: {{idle_watts: 9, max_watts: 8}}\n{SCORE}",
        (2, "power", "range", "max_watts is less"),
    ),
    "an alias": ("name: &a p\ndescription: *a\n" + SCORE, (1, "", "alias", "Anchors")),
    "a merge": ("name: p\n<<: {a: 1}\n" + SCORE, (2, "", "key", "<<")),
    "a list for a key": ("name: p\n[a]: b\n" + SCORE, (2, "", "key", "A key is one word")),
    "a Python object": ("name: !!python/object:os.system p\n" + SCORE, (1, "", "tag", "are not used here")),
    "a tag of YAML": ("name: !!str p\n" + SCORE, (1, "", "tag", "are not used here")),
    "two documents": (f"name: p\n{SCORE}\n---\nname: q\n", (3, "", "documents", "One file is one policy")),
    "nothing": ("", (1, "", "mapping", "A policy is a mapping")),
    "a list alone": ("- a\n", (1, "", "mapping", "A policy is a mapping")),
    "half a line": ("name: p\nscore: [\n", (3, "", "syntax", "This is not YAML")),
    "a control character": ("name: \x07\n", (1, "", "syntax", "This is not YAML")),
    "half a surrogate": ("name: \ud800\n", (1, "", "characters", "surrogate")),
    "deep nesting": ("[" * 30_000, (1, "", "too_complex", "levels")),
    "very many values": ("name: p\nx: [" + "1," * 5000 + "]\n", (2, "", "too_complex", "values")),
    "too large": ("#" * 40_000, (1, "", "too_large", "32 KiB")),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_with_its_place(name: str) -> None:
    text, (line, path, code, says) = WRONG[name]
    started = time.monotonic()
    found = problems(text)[0]
    assert (found.line, found.path, found.code) == (line, path, code), found
    assert says in found.detail
    assert time.monotonic() - started < 1


def test_a_bomb_of_aliases_is_refused_before_it_is_unfolded() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert only(bomb).code == "alias"


def test_everything_that_is_wrong_is_named_at_once_in_the_order_of_the_text() -> None:
    found = problems("naem: p\nfilters:\n  max_vms: 0\n  native: 1\nscore:\n  - {metric: vm, wait: 1}\n")
    assert [(item.line, item.path) for item in found] == [
        (1, "naem"),
        (1, "name"),
        (3, "filters.max_vms"),
        (4, "filters.native"),
        (6, "score[0].metric"),
        (6, "score[0].wait"),
    ]
    assert str(found[2]) == "line 3, filters.max_vms: This is a whole number from 1 to 10000; 0 is not."


PIECES = (
    "name", "score", ": ", "\n", "  ", "- ", "metric", "{", "}", "[", "]", "&a", "*a", "!!x", "|", ">", "'", '"', "#",
    "memory_free", "-1", ".nan", "\t", "? ", "---", "filters", "labels", ",",
)  # fmt: skip
typed = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(PIECES), max_size=40).map("".join))


@settings(max_examples=300, deadline=1000)
@given(text=typed)
def test_whatever_is_typed_is_a_policy_or_a_named_problem(text: str) -> None:
    try:
        policy_read(text)
    except PolicyError as error:
        assert error.problems
        assert all(item.line >= 1 and item.detail for item in error.problems)


class TestFormulas:
    @pytest.mark.parametrize(
        "text",
        [
            "__import__('os')",
            "memory_free.real",
            "memory_free ** 9",
            "memory_free if vms else 1",
            "lambda: 1",
            "[vms]",
            "vms and 1",
            "vms < 1",
            "open(vms)",
            "min(vms)",
            "min(*vms)",
            "abs(vms, 1)",
            "max(vms, key=1)",
            "vms := 1",
            "9999999999 * vms",
            "1e400 * vms",
            "0or vms",
            "1_0 * vms",
            "'a'",
            "1 + 2",
            "",
            "vms +",
            "(" * 150 + "vms",
            "-" * 150 + "vms",
            "vms" + " + 1" * 45,
            "v" * 201,
            "vms\n+ 1",
            "label_",
            "label_A",
            "True * vms",
            "vms @ vms",
            "vms // 2",
        ],
    )
    def test_that_want_to_be_python_are_refused(self, text: str) -> None:
        with pytest.raises(ExpressionError):
            parse(text)

    def test_know_every_metric(self) -> None:
        for name in METRICS:
            assert parse(name).is_metric
        for name in NO_DATA:
            with pytest.raises(ExpressionError, match="cannot be used"):
                parse(name)

    def test_nothing_is_evaluated_as_python(self) -> None:
        """No call of eval, exec or compile anywhere in the app."""
        from pathlib import Path

        for path in Path("apps/placement").rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    assert node.func.id not in ("eval", "exec", "compile"), path


class TestSchema:
    def test_takes_the_shipped_policies_and_refuses_what_is_refused(self) -> None:
        jsonschema = pytest.importorskip("jsonschema")
        validator = jsonschema.Draft202012Validator(policy_schema())
        validator.check_schema(policy_schema())
        for text in shipped_texts().values():
            assert list(validator.iter_errors(yaml.safe_load(text))) == []
        for name in ("a key with a typo", "no score", "an empty score", "half a machine", "a negative ratio",
                     "a word not among the allowed", "a list for a mapping"):  # fmt: skip
            value: Any = yaml.safe_load(WRONG[name][0])
            assert list(validator.iter_errors(value)), name

    def test_is_plain_json(self) -> None:
        assert json.loads(json.dumps(policy_schema())) == policy_schema()
