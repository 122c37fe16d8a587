"""Sealing a secret for one reader: X25519 with a key of its own each time, HKDF, AES-256-GCM.

Whoever sealed it cannot open it again. ``context`` says what it is for; opened for anything else it fails.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
NONCE_BYTES = 12


def new_keys() -> tuple[bytes, bytes]:
    """A private key and its public one."""
    private = X25519PrivateKey.generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()


def seal(secret: bytes, *, public_key: bytes, context: bytes) -> bytes:
    """Only who has the private key can read it."""
    ours = X25519PrivateKey.generate()
    here = ours.public_key().public_bytes_raw()
    shared = ours.exchange(X25519PublicKey.from_public_bytes(public_key))
    nonce = os.urandom(NONCE_BYTES)
    return here + nonce + _cipher(shared, here + public_key).encrypt(nonce, secret, context)


def unseal(sealed: bytes, *, private_key: bytes, context: bytes) -> bytes | None:
    """The secret. None: sealed for another key or another context, or changed since."""
    ours = X25519PrivateKey.from_private_bytes(private_key)
    there, rest = sealed[:KEY_BYTES], sealed[KEY_BYTES:]
    try:
        shared = ours.exchange(X25519PublicKey.from_public_bytes(there))
        cipher = _cipher(shared, there + ours.public_key().public_bytes_raw())
        return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], context)
    except (InvalidTag, ValueError):
        return None


def _cipher(shared: bytes, keys: bytes) -> AESGCM:
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=b"cloudsite sealing 1" + keys).derive(shared))
