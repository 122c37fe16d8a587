"""Small arithmetic over metrics, as ``memory_free_share * 2 - imbalance``: parsed to a whitelist, never evaluated
as Python.

It is bounded in length and size, knows only numbers, so it ends at once and cannot reach anything.
"""

import ast
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from apps.placement.policy.metrics import LABEL_PREFIX, METRICS, NO_DATA
from apps.placement.policy.suggestion import did_you_mean

MOST_CHARACTERS = 200
MOST_NODES = 40
MOST_ARGUMENTS = 4
LARGEST = 1e9
CHARACTERS = re.compile(r"[A-Za-z0-9_.+\-*/(), ]*")
LABEL = re.compile(LABEL_PREFIX + r"[a-z][a-z0-9_]{0,62}")
FUNCTIONS = ("min", "max", "abs")
OPERATORS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
ALLOWED = "A formula has metrics, plain numbers, + - * / ( ) and the functions min, max and abs, nothing else."
Value = TypeVar("Value")


class ExpressionError(ValueError):
    """What is wrong with an expression, in a sentence."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A number, the name of a metric, or an operation on nodes."""

    operation: str
    value: float = 0.0
    name: str = ""
    of: tuple["Node", ...] = ()


@dataclass(frozen=True, kw_only=True)
class Expression:
    """As it was written, and as a tree."""

    text: str
    root: Node

    @property
    def metrics(self) -> frozenset[str]:
        """Names of all metrics in it."""
        return frozenset(_names(self.root))

    @property
    def is_metric(self) -> bool:
        return self.root.operation == "metric"


def _names(node: Node) -> list[str]:
    if node.operation == "metric":
        return [node.name]
    return [name for inner in node.of for name in _names(inner)]


def parse(text: str) -> Expression:
    """Read one. Raises ``ExpressionError``."""
    if not text.strip():
        raise ExpressionError("A formula is empty.")
    if len(text) > MOST_CHARACTERS:
        raise ExpressionError(f"A formula has at most {MOST_CHARACTERS} characters.")
    if not CHARACTERS.fullmatch(text) or re.search(r"(?<![A-Za-z0-9_])[0-9.]+[A-Za-z_]", text):
        raise ExpressionError(ALLOWED)
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ExpressionError(f"{text[:60]!r} is not a complete formula.") from error
    if sum(1 for _ in ast.walk(tree)) > 2 * MOST_NODES:
        raise ExpressionError(f"A formula has at most {MOST_NODES} parts.")
    root = _node(tree.body)
    if not _names(root):
        raise ExpressionError(f"{text[:60]!r} names no metric, so it is the same for every host.")
    return Expression(text=" ".join(text.split()), root=root)


def _node(tree: ast.expr) -> Node:
    if isinstance(tree, ast.Constant):
        return Node(operation="number", value=_number(tree.value))
    if isinstance(tree, ast.Name):
        return Node(operation="metric", name=_metric(tree.id))
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return Node(operation="negative", of=(_node(tree.operand),))
    if isinstance(tree, ast.BinOp) and type(tree.op) in OPERATORS:
        return Node(operation=OPERATORS[type(tree.op)], of=(_node(tree.left), _node(tree.right)))
    if isinstance(tree, ast.Call):
        return _call(tree)
    raise ExpressionError(ALLOWED)


def _call(tree: ast.Call) -> Node:
    name = tree.func.id if isinstance(tree.func, ast.Name) else ""
    if name not in FUNCTIONS:
        raise ExpressionError(f"There is no function {name!r}; there are min, max and abs.")
    least, most = (1, 1) if name == "abs" else (2, MOST_ARGUMENTS)
    if tree.keywords or not least <= len(tree.args) <= most:
        raise ExpressionError(
            f"{name} takes {least}" + (f" to {most}" if most > least else "") + f" values, not {len(tree.args)}."
        )
    return Node(operation=name, of=tuple(_node(argument) for argument in tree.args))


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ExpressionError("A formula knows numbers only.")
    if (isinstance(value, float) and not math.isfinite(value)) or abs(value) > LARGEST:
        raise ExpressionError(f"Numbers in a formula lie between -{LARGEST:.0f} and {LARGEST:.0f}.")
    return float(value)


def _metric(name: str) -> str:
    if name in METRICS or LABEL.fullmatch(name):
        return name
    if name in NO_DATA:
        raise ExpressionError(f"{name} cannot be used: {NO_DATA[name]}.")
    raise ExpressionError(f"There is no metric {name[:60]!r}{did_you_mean(name, [*METRICS, *NO_DATA]) or '.'}")


def calculate(
    node: Node,
    metric: Callable[[str], Value],
    number: Callable[[float], Value],
    operate: Callable[[str, tuple[Value, ...]], Value],
) -> Value:
    """Fold a tree with what numbers, metrics and operations mean to the caller."""
    if node.operation == "number":
        return number(node.value)
    if node.operation == "metric":
        return metric(node.name)
    return operate(node.operation, tuple(calculate(inner, metric, number, operate) for inner in node.of))
