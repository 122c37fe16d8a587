"""Each thing that stands in the way is one sentence, and all of them are said at once."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from bootstrap import preflight
from bootstrap.errors import BootstrapError
from bootstrap.settings import Settings, load
from bootstrap.supervisor import Supervisor
from tests.bootstrap.test_nginx import free_ports

DEBIAN_12 = 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'
ROUTES = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
LOCAL_ROUTE = "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
DEFAULT_ROUTE = "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"


@pytest.mark.parametrize(
    ("release", "named"),
    [
        (DEBIAN_12, None),
        (DEBIAN_12.replace('"12"', '"13"').replace("12 (bookworm)", "13 (trixie)"), "Debian GNU/Linux 13 (trixie)"),
        ('ID=ubuntu\nVERSION_ID="12"\nPRETTY_NAME="Ubuntu"\n', "Ubuntu"),
        ("", "unknown"),
    ],
)
def test_only_debian_12(tmp_path: Path, release: str, named: str | None) -> None:
    path = tmp_path / "os-release"
    path.write_text(release)
    found = preflight.wrong_system(Settings(state_dir=tmp_path), release=path)
    assert found == ([] if named is None else [f"This system is {named}; Cloudsite installs on Debian 12 (bookworm)."])


def test_too_little_space_is_told_in_gib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(state_dir=tmp_path / "not" / "yet")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 8 * preflight.GIB - 1})())
    assert preflight.too_little_space(settings) == [f"{tmp_path} has 8.0 GiB free; 8 GiB are needed."]
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 8 * preflight.GIB})())
    assert preflight.too_little_space(settings) == []


def test_the_longest_socket_path_that_fits_is_accepted_and_one_byte_more_is_not(tmp_path: Path) -> None:
    suffix = len("/run/.s.PGSQL.5432.lock")
    fits = Path("/" + "ü" * ((107 - suffix - 1) // 2) + "x" * ((107 - suffix - 1) % 2))
    assert preflight.long_socket_paths(Settings(state_dir=fits)) == []
    (sentence,) = preflight.long_socket_paths(Settings(state_dir=Path(f"{fits}x")))
    assert "108 bytes" in sentence


def test_a_taken_port_is_named_with_the_setting_that_changes_it(tmp_path: Path) -> None:
    free, lan, ingest = free_ports(3)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        settings = Settings(state_dir=tmp_path, port=taken, lan_port=lan, ingest_port=ingest)
        assert preflight.ports_taken(settings) == [
            f"Port {taken} on 127.0.0.1 is taken; CLOUDSITE_PORT names another one."
        ]
    assert preflight.ports_taken(Settings(state_dir=tmp_path, port=free, lan_port=lan, ingest_port=ingest)) == []


def test_one_port_cannot_serve_both(tmp_path: Path) -> None:
    port, ingest = free_ports(2)
    found = preflight.ports_taken(Settings(state_dir=tmp_path, port=port, lan_port=port, ingest_port=ingest))
    assert found == ["CLOUDSITE_PORT and CLOUDSITE_LAN_PORT are the same; each needs a port of its own."]
    closed = Settings(state_dir=tmp_path, port=port, lan_port=port, ingest_port=ingest, lan="off")
    assert preflight.ports_taken(closed) == []
    found = preflight.ports_taken(Settings(state_dir=tmp_path, port=port, ingest_port=port, lan="off"))
    assert found == ["CLOUDSITE_PORT and CLOUDSITE_INGEST_PORT are the same; each needs a port of its own."]


@pytest.mark.parametrize(("lines", "expected"), [(LOCAL_ROUTE, False), (LOCAL_ROUTE + DEFAULT_ROUTE, True)])
def test_a_default_route_is_recognised(tmp_path: Path, lines: str, expected: bool) -> None:
    table = tmp_path / "route"
    table.write_text(ROUTES + lines)
    assert preflight.has_route(table, tmp_path / "none") is expected


def test_a_certificate_that_is_not_there_is_named(short_dir: Path) -> None:
    short_dir.chmod(0o755)  # whoever runs the web process reads the key
    key = short_dir / "key.pem"
    key.write_text("")
    key.chmod(0o644)
    settings = Settings(state_dir=short_dir, tls_cert=short_dir / "no.pem", tls_key=key)
    assert preflight.unreadable_certificate(settings) == [
        f"CLOUDSITE_TLS_CERT names {short_dir}/no.pem, which is not there."
    ]


def test_a_running_installation_is_the_only_thing_said(short_dir: Path) -> None:
    settings = Settings(state_dir=short_dir, port=1, lan_port=1)
    held = Supervisor(pid_dir=settings.pid_dir, log_dir=short_dir, state_dir=short_dir)
    held._take_lock()
    (sentence,) = preflight.problems(settings)
    assert "is running already" in sentence
    assert held._lock is not None
    held._lock.close()


def test_several_problems_are_said_at_once(tmp_path: Path) -> None:
    state_dir = tmp_path / ("x" * 120)
    (port,) = free_ports(1)
    found = preflight.problems(Settings(state_dir=state_dir, port=port, lan_port=port))
    assert any("108" in sentence or "bytes" in sentence for sentence in found)
    assert any("are the same" in sentence for sentence in found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLOUDSITE_PORT", "0"),
        ("CLOUDSITE_PORT", "65536"),
        ("CLOUDSITE_PORT", "84 20"),
        ("CLOUDSITE_PORT", "٣"),
        ("CLOUDSITE_LAN_PORT", "-1"),
        ("CLOUDSITE_LAN", "perhaps"),
        ("CLOUDSITE_IMAGE", "maybe"),
        ("CLOUDSITE_STATE_DIR", "relative/path"),
        ("CLOUDSITE_WORKER_CONCURRENCY", "0"),
        ("CLOUDSITE_TLS_CERT", "/only/one"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(BootstrapError, match=name):
        load({name: value})


def test_all_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(BootstrapError) as caught:
        load({"CLOUDSITE_PORT": "x", "CLOUDSITE_LAN": "x", "CLOUDSITE_STATE_DIR": "x"})
    assert len(str(caught.value).splitlines()) == 3


def test_empty_settings_count_as_not_set() -> None:
    settings = load({"CLOUDSITE_PORT": "", "DATABASE_URL": "", "CLOUDSITE_STATE_DIR": "/srv/cs"})
    assert (settings.port, settings.database_url, settings.state_dir) == (8420, None, Path("/srv/cs"))
