"""The kinds of values a policy is made of. Each reads a node (or notes what is wrong, and where) and describes
itself as JSON Schema, so the two cannot disagree.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import yaml

from apps.placement.policy.suggestion import did_you_mean
from apps.placement.policy.tree import SCALAR_TAGS, Problem, problem

PLAIN_NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,12})?")
Problems = list[Problem]


class Wrong(Exception):
    """What was read is noted as a problem already."""


class Kind(Protocol):
    """Reads a node, or notes a problem and raises ``Wrong``."""

    def read(self, node: yaml.Node, path: str, problems: Problems) -> Any: ...

    def schema(self) -> dict[str, Any]: ...


def fail(node: yaml.Node, path: str, problems: Problems, code: str, detail: str) -> Wrong:
    problems.append(problem(node, path, code, detail))
    return Wrong()


def shown(node: yaml.Node) -> str:
    """A value as a person knows it from the file."""
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value[:60]) if node.value else "nothing"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


@dataclass(frozen=True, kw_only=True)
class Number:
    """A plain decimal within bounds."""

    least: float
    most: float
    whole: bool = False
    meaning: str = ""

    def read(self, node: yaml.Node, path: str, problems: Problems) -> float | int:
        what = f"a {'whole ' if self.whole else ''}number from {self.least:g} to {self.most:g}"
        tags = (SCALAR_TAGS + "int", SCALAR_TAGS + "float")
        plain = isinstance(node, yaml.ScalarNode) and node.tag in tags and PLAIN_NUMBER.fullmatch(node.value)
        if not plain or (self.whole and "." in node.value):
            raise fail(node, path, problems, "type", f"This is {what}, not {shown(node)}.")
        value = float(node.value)
        if not self.least <= value <= self.most:
            raise fail(node, path, problems, "range", f"This is {what}; {node.value} is not.")
        return int(value) if self.whole else value

    def schema(self) -> dict[str, Any]:
        kind = "integer" if self.whole else "number"
        return {"type": kind, "minimum": self.least, "maximum": self.most, "description": self.meaning}


@dataclass(frozen=True, kw_only=True)
class Flag:
    meaning: str = ""

    def read(self, node: yaml.Node, path: str, problems: Problems) -> bool:
        if not isinstance(node, yaml.ScalarNode) or node.tag != SCALAR_TAGS + "bool" or node.style:
            raise fail(node, path, problems, "type", f"This is true or false, not {shown(node)}.")
        if node.value not in ("true", "false"):
            raise fail(node, path, problems, "type", f"Write true or false for {node.value}.")
        return bool(node.value == "true")

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean", "description": self.meaning}


@dataclass(frozen=True, kw_only=True)
class Text:
    """Words; unquoted ones that YAML takes for something else (no, 12, null) are not guessed at."""

    most: int
    pattern: str = r"[^\x00-\x08\x0b-\x1f\x7f]*"
    says: str = "text"
    meaning: str = ""

    def read(self, node: yaml.Node, path: str, problems: Problems) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise fail(node, path, problems, "type", f"This is {self.says}, not {shown(node)}.")
        if node.tag != SCALAR_TAGS + "str":
            kind = node.tag.removeprefix(SCALAR_TAGS)
            detail = f"YAML reads {shown(node)} as {kind}, not as text; put it in quotes."
            raise fail(node, path, problems, "type", detail)
        value = str(node.value)
        if len(value) > self.most or not re.fullmatch(self.pattern, value):
            raise fail(node, path, problems, "text", f"This is {self.says} of at most {self.most} characters.")
        return value

    def schema(self) -> dict[str, Any]:
        return {
            "type": "string",
            "maxLength": self.most,
            "pattern": f"^{self.pattern}$",
            "description": self.meaning,
        }


@dataclass(frozen=True, kw_only=True)
class Choice:
    values: tuple[str, ...]
    meaning: str = ""

    def read(self, node: yaml.Node, path: str, problems: Problems) -> str:
        if isinstance(node, yaml.ScalarNode) and node.tag == SCALAR_TAGS + "str" and node.value in self.values:
            return str(node.value)
        typed = node.value if isinstance(node, yaml.ScalarNode) else ""
        detail = f"This is one of {', '.join(self.values)}, not {shown(node)}{did_you_mean(typed, self.values)}"
        raise fail(node, path, problems, "choice", detail if detail.endswith("?") else f"{detail}.")

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.values), "description": self.meaning}


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Several of one kind. Every wrong one is named."""

    of: Kind
    least: int
    most: int
    meaning: str = ""

    def read(self, node: yaml.Node, path: str, problems: Problems) -> tuple[Any, ...]:
        if not isinstance(node, yaml.SequenceNode):
            raise fail(node, path, problems, "type", f"This is a list (lines that start with -), not {shown(node)}.")
        if not self.least <= len(node.value) <= self.most:
            detail = f"This list has {self.least} to {self.most} entries, not {len(node.value)}."
            raise fail(node, path, problems, "length", detail)
        before = len(problems)
        found = []
        for number, item in enumerate(node.value):
            try:
                found.append(self.of.read(item, f"{path}[{number}]", problems))
            except Wrong:
                continue
        if len(problems) > before:
            raise Wrong
        return tuple(found)

    def schema(self) -> dict[str, Any]:
        return {
            "type": "array",
            "items": self.of.schema(),
            "minItems": self.least,
            "maxItems": self.most,
            "description": self.meaning,
        }


@dataclass(frozen=True, kw_only=True)
class OneOrMore:
    """One value, or a list of them."""

    of: Kind
    most: int
    meaning: str = ""

    def read(self, node: yaml.Node, path: str, problems: Problems) -> tuple[Any, ...]:
        if isinstance(node, yaml.SequenceNode):
            return Listing(of=self.of, least=1, most=self.most).read(node, path, problems)
        return (self.of.read(node, path, problems),)

    def schema(self) -> dict[str, Any]:
        one = self.of.schema()
        many = {"type": "array", "items": one, "minItems": 1, "maxItems": self.most}
        return {"anyOf": [one, many], "description": self.meaning}


@dataclass(frozen=True, kw_only=True)
class Record:
    """A mapping with these keys and no others."""

    fields: Mapping[str, Kind]
    required: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Keys that somebody might try, with why they are not there."""
    meaning: str = ""

    def read(self, node: yaml.Node, path: str, problems: Problems) -> dict[str, Any]:
        before = len(problems)
        found: dict[str, Any] = {}
        given = entries(node, path, problems)
        for key, name, value in given:
            inner = f"{path}.{name}" if path else name
            kind = self.fields.get(name)
            if kind is None:
                problems.append(problem(key, inner, "unknown", self._unknown(name)))
                continue
            try:
                found[name] = kind.read(value, inner, problems)
            except Wrong:
                continue
        present = {name for _, name, _ in given}
        for name in self.required:
            if name not in present:
                problems.append(problem(node, f"{path}.{name}" if path else name, "missing", f"{name} is missing."))
        if len(problems) > before:
            raise Wrong
        return found

    def _unknown(self, name: str) -> str:
        if name in self.reasons:
            return f"{name} cannot be used: {self.reasons[name]}."
        hint = did_you_mean(name, self.fields)
        return f"There is no {name[:60]!r} here{hint or '.'} It has {', '.join(self.fields)}."

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {name: kind.schema() for name, kind in self.fields.items()},
            "required": list(self.required),
            "additionalProperties": False,
            "description": self.meaning,
        }


@dataclass(frozen=True, kw_only=True)
class Named:
    """A mapping whose keys the author chooses."""

    key: Text
    of: Kind
    most: int
    meaning: str = ""

    def read(self, node: yaml.Node, path: str, problems: Problems) -> dict[str, Any]:
        before = len(problems)
        found: dict[str, Any] = {}
        for key, name, value in entries(node, path, problems):
            inner = f"{path}.{name}"
            try:
                found[self.key.read(key, inner, problems)] = self.of.read(value, inner, problems)
            except Wrong:
                continue
        if len(found) > self.most:
            problems.append(problem(node, path, "length", f"This has at most {self.most} entries."))
        if len(problems) > before:
            raise Wrong
        return found

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "propertyNames": {"pattern": f"^{self.key.pattern}$"},
            "additionalProperties": self.of.schema(),
            "maxProperties": self.most,
            "description": self.meaning,
        }


def entries(node: yaml.Node, path: str, problems: Problems) -> list[tuple[yaml.Node, str, yaml.Node]]:
    """Keys and values of a mapping; the second of two equal keys is a problem, and so is a key that is no word."""
    if not isinstance(node, yaml.MappingNode):
        raise fail(node, path, problems, "type", f"This is a mapping (key: value), not {shown(node)}.")
    found: dict[str, tuple[yaml.Node, str, yaml.Node]] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == SCALAR_TAGS + "merge":
            problems.append(problem(key, path, "key", "A key is one word; << and lists are not used here."))
            continue
        name = str(key.value)
        if name in found:
            first = found[name][0].start_mark.line + 1
            detail = f"{name[:60]!r} stands here twice, first in line {first}."
            problems.append(problem(key, f"{path}.{name}" if path else name, "duplicate", detail))
            continue
        found[name] = (key, name, value)
    return list(found.values())
