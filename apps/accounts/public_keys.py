"""OpenSSH public keys, read down to the last byte: what a guest gets is what we wrote, never what was pasted.

A pasted line ends up in ``authorized_keys``, where a line break is a second key and a word in front of the
key is an option (``command=…``). So the line is taken apart, checked and put together anew.
"""

import base64
import binascii
import hashlib
import re
import struct
import unicodedata
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from apps.errors import Refused, refused

FIELD = "public_key"
MAX_LENGTH = 8192
MAX_COMMENT = 100
MIN_RSA_BITS, MAX_RSA_BITS = 2048, 16384
PLAIN = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
SK_ED25519 = "sk-ssh-ed25519@openssh.com"
SK_ECDSA = "sk-ecdsa-sha2-nistp256@openssh.com"
KINDS = (*PLAIN, SK_ED25519, SK_ECDSA)
PRIVATE = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY|PuTTY-User-Key-File|SSH PRIVATE KEY FILE FORMAT")
SPOKEN = "ssh-ed25519, ssh-rsa (2048 bits and more), ecdsa-sha2-nistp256/384/521 or sk-…@openssh.com"


@dataclass(frozen=True, kw_only=True)
class PublicKey:
    """A checked key. ``line`` is what goes into a guest; ``fingerprint`` is as ``ssh-keygen -l`` prints it."""

    kind: str
    blob: bytes
    comment: str

    @property
    def fingerprint(self) -> str:
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")
        return f"SHA256:{digest}"

    @property
    def line(self) -> str:
        return " ".join(part for part in (self.kind, base64.b64encode(self.blob).decode(), self.comment) if part)


def public_key_parse(text: str) -> PublicKey:
    """One public key from one line. Raises ``Refused`` on ``public_key``, without repeating what was pasted."""
    if PRIVATE.search(text):
        raise _no(
            "private",
            "This is a private key. It was not stored, but it has left your machine: better make a new one, "
            "and paste the line of its .pub file here.",
        )
    text = text.strip()
    if len(text) > MAX_LENGTH:
        raise _no("too_long", f"A public key has at most {MAX_LENGTH} characters.")
    if any(unicodedata.category(c) in ("Cc", "Zl", "Zp") and c != "\t" for c in text):
        raise _no("lines", "Paste exactly one key, on one line, without control characters.")
    kind, blob, comment = _split(text)
    _check(kind, blob)
    return PublicKey(kind=kind, blob=blob, comment=_clean(comment))


def _no(code: str, detail: str) -> Refused:
    return refused(FIELD, f"public_key.{code}", detail)


def _split(text: str) -> tuple[str, bytes, str]:
    words = text.split(None, 2)
    if not words:
        raise _no("empty", "Paste the line of a .pub file.")
    if words[0] not in KINDS:
        raise _unknown(words)
    if len(words) < 2:
        raise _no("broken", "The key itself is missing after its type.")
    try:
        blob = base64.b64decode(words[1].encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise _no("broken", "The key is damaged: its second part is not base64.") from error
    if base64.b64encode(blob).decode() != words[1]:
        raise _no("broken", "The key is damaged: its second part is not base64 as ssh writes it.")
    return words[0], blob, words[2] if len(words) > 2 else ""


def _unknown(words: list[str]) -> Refused:
    first = words[0]
    if first.startswith("----"):
        return _no("format", "This is another format. Paste the one-line form that ssh-keygen writes to .pub files.")
    if first.endswith("-cert-v01@openssh.com"):
        return _no("certificate", "This is a certificate. Paste the public key.")
    if first == "ssh-dss":
        return _no("weak", f"DSA keys are not accepted by today's servers. Use {SPOKEN}.")
    if any(word in KINDS for rest in words[1:] for word in rest.split()):
        return _no("options", "Options in front of the key are not accepted. Begin with the key's type.")
    return _no("unknown", f"This is not a public key that we know. Use {SPOKEN}.")


def _check(kind: str, blob: bytes) -> None:
    """The blob is a canonical key of exactly this kind, strong enough."""
    try:
        if kind in (SK_ED25519, SK_ECDSA):
            _check_security_key(kind, blob)
        else:
            _check_plain(kind, blob)
    except (ValueError, struct.error, UnsupportedAlgorithm) as error:
        raise _no("broken", "The key is damaged: its content is not what its type says.") from error


def _check_plain(kind: str, blob: bytes) -> None:
    key = serialization.load_ssh_public_key(f"{kind} {base64.b64encode(blob).decode()}".encode())
    written = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    if written.split()[:2] != [kind.encode(), base64.b64encode(blob)]:
        raise ValueError("not canonical")
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            raise _no("weak", f"This RSA key has {key.key_size} bits; at least {MIN_RSA_BITS} are needed.")
        if key.key_size > MAX_RSA_BITS or key.public_numbers().e < 3:
            raise ValueError("no sensible RSA key")


def _check_security_key(kind: str, blob: bytes) -> None:
    """Keys that live in a FIDO token: the plain key and the application it is for (PROTOCOL.u2f)."""
    parts = _strings(blob)
    if parts[0] != kind.encode():
        raise ValueError("another type inside")
    if kind == SK_ED25519:
        _, point, application = parts
        if len(point) != 32:
            raise ValueError("wrong length")
    else:
        _, curve, point, application = parts
        if curve != b"nistp256" or point[:1] != b"\x04":
            raise ValueError("wrong curve")
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    if not application.startswith(b"ssh:") or not all(0x20 < byte < 0x7F for byte in application):
        raise ValueError("not for ssh")


def _strings(blob: bytes) -> list[bytes]:
    """The length-prefixed strings that make up the blob, to its very end."""
    parts = []
    while blob:
        (length,) = struct.unpack_from(">I", blob)
        if length > len(blob) - 4:
            raise ValueError("cut off")
        parts.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return parts or [b""]


def _clean(comment: str) -> str:
    """The comment without what cannot be seen (also bidirectional marks), in one line and bounded."""
    text = unicodedata.normalize("NFC", comment)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:MAX_COMMENT].strip()
