"""User-data: what is accepted passes byte for byte; what could hurt somebody is refused within a moment."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.compute.user_data import MAX_BYTES, MAX_DEPTH, user_data_check
from apps.errors import Refused

HEAD = "#cloud-config\n"
BOMB = (
    HEAD
    + "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 9))
)

GOOD = {
    "nothing": "",
    "a mapping": HEAD + "packages: [htop]\nruncmd:\n  - [ls, -l]\n",
    "windows line ends": "#cloud-config\r\npackages: [htop]\r\n",
    "trailing space in the header": "#cloud-config  \na: 1\n",
    "a script": "#!/bin/sh\necho '{[&*' : not yaml\n",
    "an alias": HEAD + "base: &base {a: 1}\nmore: *base\n",
    "a merge": HEAD + "base: &base {a: 1}\nmore: {<<: *base, b: 2}\n",
    "the same key in two mappings": HEAD + "users: [{name: a}, {name: b}]\n",
    "unicode": HEAD + "motd: grüße 🙂\n",
    "as large as may be": "#!" + "x" * (MAX_BYTES - 2),
    "as deep as may be": HEAD + "a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1) + "\n",
}

BAD = {
    "no header": ("packages: [htop]\n", "header"),
    "another header": ("#cloud-config-archive\n- a\n", "header"),
    "a byte order mark": ("\ufeff#cloud-config\na: 1\n", "header"),
    "a list": (HEAD + "- a\n- b\n", "mapping"),
    "a text": (HEAD + "just words\n", "mapping"),
    "only the header": (HEAD, "mapping"),
    "two documents": (HEAD + "a: 1\n---\nb: 2\n", "mapping"),
    "broken": (HEAD + "a: [1, 2\n", "yaml"),
    "tabs": (HEAD + "a:\n\t- 1\n", "yaml"),
    "an unknown alias": (HEAD + "a: *nobody\n", "yaml"),
    "control characters": (HEAD + "a: \x07\n", "yaml"),
    "a key twice": (HEAD + "a: 1\nb: 2\na: 3\n", "duplicate"),
    "a key twice deep down": (HEAD + "a: {b: [{c: 1, c: 2}]}\n", "duplicate"),
    "a key twice among many": (HEAD + "".join(f"k{n}: 1\n" for n in range(900)) + "k7: 2\n", "duplicate"),
    "too large": ("#!" + "x" * (MAX_BYTES - 1), "too_large"),
    "too large in bytes": ("#!" + "ü" * (MAX_BYTES // 2), "too_large"),
    "too deep": (HEAD + "a: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "\n", "too_complex"),
    "an alias bomb": (BOMB, "too_complex"),
    "an alias bomb in a key": (BOMB + "? *a8\n: x\n", "too_complex"),
    "an alias of itself": (HEAD + "a: &a [*a]\n", "too_complex"),
    "a NUL in a script": ("#!/bin/sh\n\0", "characters"),
    "half a character": ("#!/bin/sh\necho \ud800\n", "characters"),
    "half a character in YAML": (HEAD + "a: \udfff\n", "characters"),
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_accepted(text: str) -> None:
    user_data_check(text)


@pytest.mark.parametrize(("text", "code"), BAD.values(), ids=BAD.keys())
def test_refused(text: str, code: str) -> None:
    begun = time.monotonic()
    with pytest.raises(Refused) as error:
        user_data_check(text)
    assert time.monotonic() - begun < 2.0
    assert error.value.code == f"user_data.{code}"
    assert [wrong.field for wrong in error.value.errors] == ["user_data"]


@pytest.mark.parametrize("piece", ["[", "{a: ", "- ", "? ", "&a ["], ids=["list", "mapping", "dash", "key", "anchor"])
def test_64_kib_of_one_opening_do_not_bring_the_process_down(piece: str) -> None:
    """Measured first: a parser that recurses for each level would overflow the stack of the web process."""
    with pytest.raises(Refused):
        user_data_check(HEAD + "a: " + piece * ((MAX_BYTES - 20) // len(piece)))


def test_the_refusal_names_the_line() -> None:
    with pytest.raises(Refused) as error:
        user_data_check(HEAD + "a: 1\nb: [\n")
    assert "line" in error.value.detail


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=200), st.text(alphabet="a:-[]{}&*!|>#\n ?,'\"", max_size=200)))
def test_whatever_is_typed_is_accepted_or_refused(text: str) -> None:
    for candidate in (text, HEAD + text, "#!" + text):
        try:
            user_data_check(candidate)
        except Refused as error:
            assert error.code.startswith("user_data.")
