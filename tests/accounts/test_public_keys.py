"""Public keys: what ssh-keygen writes is taken as it is, and nothing else gets through."""

import base64
import struct
import subprocess
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.public_keys import KINDS, MAX_COMMENT, public_key_parse
from apps.errors import Refused

ED25519 = (
    ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    .public_key()
    .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    .decode()
)


def refusal(text: str) -> str:
    with pytest.raises(Refused) as caught:
        public_key_parse(text)
    assert caught.value.errors[0].field == "public_key"
    return caught.value.code


def wire(*parts: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def line(kind: str, blob: bytes) -> str:
    return f"{kind} {base64.b64encode(blob).decode()}"


@cache
def point() -> bytes:
    key = ec.derive_private_key(7, ec.SECP256R1()).public_key()
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


@pytest.mark.parametrize(
    ("kind", "bits"), [("ed25519", "0"), ("rsa", "2048"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521")]
)
def test_what_ssh_keygen_writes_and_how_it_names_it(tmp_path: Path, kind: str, bits: str) -> None:
    file = tmp_path / "key"
    size = [] if bits == "0" else ["-b", bits]
    command = ["ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", "ada@engine", "-f", str(file)]
    subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL)
    public = file.with_suffix(".pub")
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(public)], check=True, timeout=20, stdin=subprocess.DEVNULL, capture_output=True
    )
    key = public_key_parse(public.read_text())
    assert key.line == public.read_text().strip()
    assert key.fingerprint == shown.stdout.decode().split()[1]
    assert refusal(file.read_text()) == "public_key.private"


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("sk-ssh-ed25519@openssh.com", (bytes(range(32)), b"ssh:")),
        ("sk-ecdsa-sha2-nistp256@openssh.com", (b"nistp256", point(), b"ssh:work")),
    ],
)
def test_keys_in_a_security_token(kind: str, parts: tuple[bytes, ...]) -> None:
    good = wire(kind.encode(), *parts)
    assert public_key_parse(line(kind, good)).line == line(kind, good)
    for bad in (good[:-1], good + b"x", good + wire(b"more"), wire(kind.encode(), *parts[:-1]), wire(b"x", *parts)):
        assert refusal(line(kind, bad)) == "public_key.broken"
    assert refusal(line(kind, wire(kind.encode(), *parts[:-1], b"https://evil"))) == "public_key.broken"


def test_a_security_token_with_a_short_key_or_on_another_curve() -> None:
    kind = "sk-ssh-ed25519@openssh.com"
    assert refusal(line(kind, wire(kind.encode(), bytes(31), b"ssh:"))) == "public_key.broken"
    kind = "sk-ecdsa-sha2-nistp256@openssh.com"
    assert refusal(line(kind, wire(kind.encode(), b"nistp384", point(), b"ssh:"))) == "public_key.broken"


def test_a_huge_rsa_key_is_not_computed_with() -> None:
    blob = wire(b"ssh-rsa", b"\x01\x00\x01", b"\x00" + ((1 << 16391) | 1).to_bytes(2049, "big"))
    assert refusal(line("ssh-rsa", blob)) == "public_key.broken"


def test_a_point_that_is_not_on_the_curve() -> None:
    off = point()[:-1] + bytes([point()[-1] ^ 1])
    kind = "ecdsa-sha2-nistp256"
    assert refusal(line(kind, wire(kind.encode(), b"nistp256", off))) == "public_key.broken"


def test_weak_rsa_keys() -> None:
    number = (1 << 1023) | 1
    blob = wire(b"ssh-rsa", b"\x01\x00\x01", b"\x00" + number.to_bytes(128, "big"))
    assert refusal(line("ssh-rsa", blob)) == "public_key.weak"
    one = wire(b"ssh-rsa", b"\x01", b"\x00" + ((1 << 2047) | 1).to_bytes(256, "big"))
    assert refusal(line("ssh-rsa", one)) == "public_key.broken"


def test_a_number_with_leading_zeros_is_not_a_second_key() -> None:
    numbers = rsa.generate_private_key(65537, 2048).public_key().public_numbers()
    padded = b"\x00\x00" + numbers.n.to_bytes(256, "big")
    assert refusal(line("ssh-rsa", wire(b"ssh-rsa", b"\x01\x00\x01", padded))) == "public_key.broken"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        ("   \n", "empty"),
        ("hello", "unknown"),
        ("ssh-ed25519", "broken"),
        ("ssh-ed25519 !!!!", "broken"),
        ("ssh-ed25519 \u0430\u0430\u0430\u0430", "broken"),
        ("ssh-ed25519 AAAA", "broken"),
        ("ssh-ed25519 " + ED25519.split()[1] + "AB==", "broken"),
        ("ssh-ed25519 AB==", "broken"),
        (ED25519.replace("ssh-ed25519", "ssh-rsa"), "broken"),
        (ED25519.replace("ssh-ed25519", "Ssh-Ed25519"), "unknown"),
        (f'command="id" {ED25519}', "options"),
        (f'no-pty,command="echo hi" {ED25519}', "options"),
        (f"cert-authority {ED25519}", "options"),
        (f"{ED25519}\n{ED25519}", "lines"),
        (f"{ED25519} a\rb", "lines"),
        (f"{ED25519} a\x00b", "lines"),
        (f"{ED25519} a\u2028b", "lines"),
        (f"{ED25519} a\x85b", "lines"),
        ("---- BEGIN SSH2 PUBLIC KEY ----", "format"),
        ("ssh-dss AAAAB3NzaC1kc3MAAACB", "weak"),
        ("ssh-ed25519-cert-v01@openssh.com AAAA", "certificate"),
        ("PuTTY-User-Key-File-3: ssh-ed25519", "private"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----", "private"),
        ("-----BEGIN PRIVATE KEY----- MC4C", "private"),
        (f"{ED25519} {'x' * 9000}", "too_long"),
    ],
)
def test_what_is_refused_and_why(text: str, code: str) -> None:
    assert refusal(text) == f"public_key.{code}"


def test_a_refusal_does_not_repeat_what_was_pasted() -> None:
    with pytest.raises(Refused) as caught:
        public_key_parse("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk")
    assert "b3Blbn" not in str(caught.value)


@given(comment=st.text(max_size=300))
def test_a_comment_never_changes_the_line(comment: str) -> None:
    """Whatever stands behind the key: one line, only visible characters, the key itself untouched, or a refusal."""
    try:
        key = public_key_parse(f"{ED25519} {comment}")
    except Refused:
        return
    assert key.line.startswith(ED25519)
    assert len(key.line.splitlines()) == 1
    assert key.line.isprintable()
    assert len(key.comment) <= MAX_COMMENT
    assert public_key_parse(key.line) == key


@given(prefix=st.text(min_size=1, max_size=40))
def test_nothing_may_stand_in_front(prefix: str) -> None:
    try:
        key = public_key_parse(f"{prefix}{ED25519}")
    except Refused:
        return
    assert prefix.strip() == ""
    assert key.line == ED25519


@given(kind=st.sampled_from(KINDS), blob=st.binary(max_size=300))
def test_bytes_that_are_no_key(kind: str, blob: bytes) -> None:
    assert refusal(line(kind, blob)) == "public_key.broken"


@given(kind=st.sampled_from(KINDS), parts=st.lists(st.binary(max_size=80), max_size=4))
def test_well_framed_bytes_that_are_no_key(kind: str, parts: list[bytes]) -> None:
    try:
        key = public_key_parse(line(kind, wire(kind.encode(), *parts)))
    except Refused:
        return
    assert kind.endswith("ed25519@openssh.com") or kind == "ssh-ed25519"
    assert len(parts[0]) == 32
    assert key.line == line(kind, wire(kind.encode(), *parts))


@given(position=st.integers(min_value=0), value=st.integers(0, 255))
def test_one_changed_byte_is_another_key_or_none(position: int, value: int) -> None:
    blob = bytearray(base64.b64decode(ED25519.split()[1]))
    blob[position % len(blob)] = value
    try:
        key = public_key_parse(line("ssh-ed25519", bytes(blob)))
    except Refused:
        return
    assert key.line == line("ssh-ed25519", bytes(blob))


@given(text=st.text(max_size=400))
def test_any_text_is_refused_without_an_accident(text: str) -> None:
    refusal(text)
