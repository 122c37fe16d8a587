"""Values that cannot be used are said before anything is done, one sentence each, and never with a secret in it."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from bootstrap.errors import BootstrapError
from bootstrap.settings import load
from cloudsite import config

KEYS = {"CLOUDSITE_SECRET_KEY": "s" * 40, "CLOUDSITE_JWT_KEY": "j" * 40}
SERVERS = {"DATABASE_URL": "postgresql:///cloudsite", "REDIS_URL": "redis://localhost/0"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://ada:hush@db/x"),
        ("DATABASE_URL", "hush"),
        ("DATABASE_URL", "postgresql://ada:hush@db:99999/x"),
        ("DATABASE_URL", "postgresql://[hush"),
        ("REDIS_URL", "http://hush/0"),
        ("REDIS_URL", "hush"),
        ("CLOUDSITE_ADMIN_PASSWORD", "hush"),
    ],
)
def test_what_make_run_refuses_at_once(name: str, value: str) -> None:
    with pytest.raises(BootstrapError) as refusal:
        load({"CLOUDSITE_STATE_DIR": "/srv/x", name: value})
    assert name in str(refusal.value)
    assert "hush" not in str(refusal.value)


@pytest.mark.parametrize(
    "more",
    [
        {"DATABASE_URL": "postgres://ada:x@[2001:db8::1]:5433/x"},
        {"REDIS_URL": "unix:///run/redis.sock?db=0"},
        {"REDIS_URL": "rediss://:x@cache:6380/2"},
        {"CLOUDSITE_ADMIN_PASSWORD": "twelve chars"},
    ],
)
def test_what_it_takes(more: dict[str, str]) -> None:
    assert load({"CLOUDSITE_STATE_DIR": "/srv/x"} | more)


def test_a_second_installation_beside_the_first_shares_no_port() -> None:
    """As docs/settings.md starts it."""
    first = load({"CLOUDSITE_STATE_DIR": "/srv/x"})
    second = load({"CLOUDSITE_STATE_DIR": "/srv/y", "CLOUDSITE_PORT": "8421", "CLOUDSITE_LAN_PORT": "8444"})
    ports = [port for one in (first, second) for port in (one.port, one.lan_port, one.ingest_port)]
    assert len(set(ports)) == 6
    highest = load({"CLOUDSITE_STATE_DIR": "/srv/x", "CLOUDSITE_PORT": "65535"})
    assert highest.ingest_port != highest.port


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLOUDSITE_LOG_LEVEL", "hush"),
        ("CLOUDSITE_SECRET_KEY", "hush"),
        ("CLOUDSITE_TRUSTED_PROXIES", "9"),
        ("CLOUDSITE_IMPORT_PORTS", "hush"),
        ("DATABASE_URL", "mysql://ada:hush@db/x"),
        ("REDIS_URL", "redis://localhost/hush"),
    ],
)
def test_what_every_process_refuses(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    for known, given in (KEYS | SERVERS | {name: value}).items():
        monkeypatch.setenv(known, given)
    with pytest.raises(ImproperlyConfigured) as refusal:
        config.load()
    assert str(refusal.value).startswith(f"{name} cannot be used: ")
    assert "hush" not in str(refusal.value)
