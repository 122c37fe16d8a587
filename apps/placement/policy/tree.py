"""YAML text into one tree of nodes, and nothing else: no value is constructed from what somebody typed.

What makes YAML dangerous (aliases, tags, merge keys, depth, size) is refused from the stream of events, before a
tree exists.
"""

from dataclasses import dataclass

import yaml

MOST_BYTES = 32 * 1024
MOST_DEPTH = 8
MOST_VALUES = 1000
SCALAR_TAGS = "tag:yaml.org,2002:"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong, and where: ``path`` as in ``score[1].weight``, ``line`` and ``column`` from 1."""

    path: str
    line: int
    column: int
    code: str
    detail: str

    def __str__(self) -> str:
        where = f"line {self.line}" + (f", {self.path}" if self.path else "")
        return f"{where}: {self.detail}"


class PolicyError(ValueError):
    """A policy that cannot be used, with everything that is wrong with it in the order of the text."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(str(problem) for problem in problems))


def problem(node: yaml.Node, path: str, code: str, detail: str) -> Problem:
    """A problem at a node."""
    mark = node.start_mark
    return Problem(path=path, line=mark.line + 1, column=mark.column + 1, code=code, detail=detail)


def compose(text: str) -> yaml.MappingNode:
    """The one mapping that a policy is. Raises ``PolicyError``."""
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise _at_start("too_large", f"A policy has {MOST_BYTES // 1024} KiB at most.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise _at_start("characters", "There is half a surrogate pair in it.")
    try:
        _check_events(text)
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        raise PolicyError((_syntax(error),)) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, PolicyError):
            raise
        raise _at_start("syntax", f"This is not YAML: {str(error)[:200]}") from error
    if not isinstance(root, yaml.MappingNode):
        raise _at_start("mapping", "A policy is a mapping of keys and values, such as `name: pack`.")
    return root


def _check_events(text: str) -> None:
    depth = values = documents = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        values += isinstance(event, yaml.NodeEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _in(event, "alias", "Anchors (&) and aliases (*) are not used here; write the value twice.")
        if (tag := getattr(event, "tag", None)) is not None:
            raise _in(event, "tag", f"Tags such as {str(tag)[:40]!r} are not used here.")
        if depth > MOST_DEPTH or values > MOST_VALUES:
            raise _in(event, "too_complex", f"More than {MOST_DEPTH} levels or {MOST_VALUES} values are too many.")
        if documents > 1:
            raise _in(event, "documents", "One file is one policy: take what follows the line --- away.")


def _in(event: yaml.Event, code: str, detail: str) -> PolicyError:
    line, column = (event.start_mark.line + 1, event.start_mark.column + 1) if event.start_mark else (1, 1)
    return PolicyError((Problem(path="", line=line, column=column, code=code, detail=detail),))


def _at_start(code: str, detail: str) -> PolicyError:
    return PolicyError((Problem(path="", line=1, column=1, code=code, detail=detail),))


def _syntax(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    said = error.problem or error.context or "it cannot be read"
    return Problem(path="", line=line, column=column, code="syntax", detail=f"This is not YAML: {said}.")
