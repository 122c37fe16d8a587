"""Sealed secrets: opened by one key, for one purpose, unchanged; never anything else."""

from hypothesis import given
from hypothesis import strategies as st

from apps.compute.sealing import new_keys, seal, unseal

PRIVATE, PUBLIC = new_keys()


@given(secret=st.binary(max_size=200), context=st.binary(max_size=40))
def test_who_has_the_key_reads_it(secret: bytes, context: bytes) -> None:
    sealed = seal(secret, public_key=PUBLIC, context=context)
    assert unseal(sealed, private_key=PRIVATE, context=context) == secret
    assert unseal(sealed, private_key=PRIVATE, context=context + b"x") is None
    assert unseal(sealed, private_key=new_keys()[0], context=context) is None
    assert not secret[8:] or secret not in sealed
    assert sealed != seal(secret, public_key=PUBLIC, context=context)


@given(at=st.integers(0, 75), bit=st.integers(0, 7))
def test_a_changed_bit_is_noticed(at: int, bit: int) -> None:
    sealed = bytearray(seal(b"a secret of 16 b", public_key=PUBLIC, context=b"x"))
    sealed[at] ^= 1 << bit
    # X25519 does not look at the last bit of a key, so that one alone is noticed by the keys that were mixed in.
    assert unseal(bytes(sealed), private_key=PRIVATE, context=b"x") is None


@given(st.binary(max_size=100))
def test_nonsense_is_nothing(sealed: bytes) -> None:
    assert unseal(sealed, private_key=PRIVATE, context=b"") is None
