"""User-data for cloud-init: checked as far as can be, then passed byte for byte."""

from collections import Counter

import yaml

from apps.errors import Refused, refused

MAX_BYTES = 64 * 1024
MAX_DEPTH = 50
MAX_NODES = 20_000


def user_data_check(text: str) -> None:
    """Accept a ``#cloud-config`` that is one YAML mapping, or a script (``#!``). Raises ``Refused``.

    The node tree is read, nothing is constructed: aliases are counted where they stand, so a bomb costs nothing.
    """
    if not text:
        return
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise _wrong("characters", "User-data must not contain NUL or half a surrogate pair.")
    if len(text.encode()) > MAX_BYTES:
        raise _wrong("too_large", f"User-data may have {MAX_BYTES // 1024} KiB at most.")
    if text.startswith("#!"):
        return
    if text.split("\n", 1)[0].rstrip() != "#cloud-config":
        raise _wrong("header", "User-data starts with the line #cloud-config, or with #! for a script.")
    try:
        _check_depth(text)
        documents = list(yaml.compose_all(text, Loader=yaml.CSafeLoader))
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise _wrong("yaml", f"User-data is not valid YAML{line}: {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _wrong("yaml", f"User-data is not valid YAML: {str(error)[:200]}") from error
    if len(documents) != 1 or not isinstance(documents[0], yaml.MappingNode):
        raise _wrong("mapping", "User-data must be one YAML mapping (keys and values).")
    _check_tree(documents[0])


def _check_depth(text: str) -> None:
    """Before the tree is built: the C composer recurses, and 64 KiB of ``[`` overflow its stack (measured)."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _too_complex()


def _check_tree(root: yaml.Node) -> None:
    """Walk every path of the tree, aliases included, within bounds; the same key twice is an error."""
    stack: list[tuple[yaml.Node, int]] = [(root, 0)]
    visited = 0
    while stack:
        node, depth = stack.pop()
        visited += 1
        if depth > MAX_DEPTH or visited > MAX_NODES:
            raise _too_complex()
        if isinstance(node, yaml.MappingNode):
            names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            twice = next((name for name, count in names.items() if count > 1), None)
            if twice is not None:
                line = node.start_mark.line + 1
                raise _wrong("duplicate", f"The key {twice[:60]!r} stands twice in the mapping at line {line}.")
            stack.extend((item, depth + 1) for pair in node.value for item in pair)
        elif isinstance(node, yaml.SequenceNode):
            stack.extend((value, depth + 1) for value in node.value)


def _too_complex() -> Refused:
    return _wrong("too_complex", "User-data is nested too deeply or unfolds to too many values.")


def _wrong(code: str, detail: str) -> Refused:
    return refused("user_data", f"user_data.{code}", detail)
