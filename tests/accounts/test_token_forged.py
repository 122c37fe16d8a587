"""Every trick with a JWT is a 401, and never a 500."""

import warnings
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from django.conf import settings

from tests.accounts.conftest import bearer, me

pytestmark = pytest.mark.django_db
Forge = Callable[..., str]
FUTURE = 4_000_000_000


def test_a_token_like_a_genuine_one_is_accepted(forge: Forge) -> None:
    """The control: the forger works, so that what follows fails for the reason it names."""
    assert me(forge()) == 200


@pytest.mark.parametrize("alg", ["HS384", "HS512"])
def test_another_algorithm_with_our_own_key(forge: Forge, alg: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jwt.warnings.InsecureKeyLengthWarning)
        token = forge(alg=alg, key=settings.JWT_KEY)
    assert me(token) == 401


def test_no_algorithm(forge: Forge) -> None:
    payload = jwt.decode(forge(), options={"verify_signature": False})
    assert me(jwt.encode(payload, "", algorithm="none")) == 401


def test_a_signature_cut_off(forge: Forge) -> None:
    head, body, _signature = forge().split(".")
    assert me(f"{head}.{body}.") == 401


@pytest.mark.parametrize("key", ["x" * 40, settings.SECRET_KEY])
def test_another_key(forge: Forge, key: str) -> None:
    assert me(forge(key=key)) == 401


def test_a_critical_header_that_we_do_not_know(forge: Forge) -> None:
    assert me(forge(headers={"crit": ["b64x"], "b64x": False})) == 401


@pytest.mark.parametrize("name", ["exp", "iat", "jti", "sub", "family", "scope", "aud", "iss", "token_type"])
def test_a_claim_is_missing(forge: Forge, name: str) -> None:
    assert me(forge(**{name: None})) == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1},
        {"exp": {"a": 1}},
        {"exp": 10**30},
        {"exp": "soon"},
        {"iat": FUTURE},
        {"iat": [1]},
        {"nbf": FUTURE},
        {"aud": "another"},
        {"aud": {"a": 1}},
        {"iss": "another"},
        {"token_type": "refresh"},
        {"token_type": ["access"]},
        {"sub": "7"},
        {"sub": 7},
        {"sub": {"id": 1}},
        {"sub": "00000000-0000-4000-8000-000000000001"},
        {"sub": "' OR 1=1 --"},
        {"family": "x"},
        {"family": ["x"]},
        {"family": "00000000-0000-4000-8000-000000000001"},
        {"jti": 7},
        {"scope": "root"},
        {"scope": {"full": True}},
        {"scope": "read"},  # genuine and narrower than the sign-in, so not issued by us
    ],
    ids=str,
)
def test_a_claim_is_wrong(forge: Forge, claims: dict[str, Any]) -> None:
    assert me(forge(**claims)) == 401


def test_refresh_token_as_access_token(sign_in: Callable[..., dict[str, str]], member: Any) -> None:
    assert me(sign_in(member)["refresh"]) == 401


def test_access_token_as_refresh_token(sign_in: Callable[..., dict[str, str]], member: Any, api: Any) -> None:
    answer = api.post("/api/v1/token/refresh/", {"refresh": sign_in(member)["access"]}, format="json")
    assert answer.status_code == 401


def test_another_persons_family(forge: Forge, sign_in: Callable[..., dict[str, str]], other: Any) -> None:
    theirs = jwt.decode(sign_in(other)["access"], options={"verify_signature": False})
    assert me(forge(family=theirs["family"])) == 401
    assert me(forge(sub=str(other.pk))) == 401


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "..", "\u00e4\u00f6", "A" * 1_000_000, "a b"])
def test_no_token_at_all(text: str) -> None:
    answer = bearer(text).get("/api/v1/me/")
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_huge_refresh_token_is_refused(api: Any) -> None:
    answer = api.post("/api/v1/token/refresh/", {"refresh": "A" * 500_000}, format="json")
    assert answer.status_code == 401
