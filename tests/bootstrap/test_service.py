"""The systemd units: what the templates become, judged by systemd itself."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from bootstrap import accounts, process_table, service
from bootstrap.errors import BootstrapError
from bootstrap.process_table import Surroundings
from bootstrap.settings import CODE_DIR, Settings, process_environment
from bootstrap.venv import PYTHON

SECRETS = {"CLOUDSITE_SECRET_KEY": 's"p\\e$c%ial', "CLOUDSITE_JWT_KEY": "j" * 40}


@pytest.fixture
def around(short_dir: Path) -> Surroundings:
    settings = Settings(state_dir=short_dir / "state")
    (settings.venv_dir / "bin").mkdir(parents=True)
    (settings.state_dir / "bin").mkdir()
    (settings.postgres_dir / "data").mkdir(parents=True)
    (settings.venv_dir / "bin" / "python").symlink_to(PYTHON)
    environment = process_environment(settings, SECRETS) | {"HOME": str(short_dir), "CLOUDSITE_ADMIN_PASSWORD": "x"}
    return Surroundings(
        settings=settings,
        code_dir=CODE_DIR,
        environment=environment,
        identity=accounts.service_identity(),
    )


def test_every_process_has_a_unit_that_systemd_accepts(around: Surroundings, tmp_path: Path) -> None:
    units = service.write_units(around, tmp_path)
    service.verify(units)
    names = {unit.name for unit in units}
    wanted = {"postgres", "redis", "web", "web-lan", "worker", "beat", "watch", "console", "ingest", "agent", "setup"}
    assert names == {f"cloudsite-state-{name}.service" for name in wanted} | {"cloudsite-state.target"}


def test_the_units_start_what_the_supervisor_would(around: Surroundings, tmp_path: Path) -> None:
    service.write_units(around, tmp_path)
    specs = [*process_table.servers(around), *process_table.web(around), *process_table.background(around)]
    for spec in [*specs, process_table.agent(around)]:
        text = (tmp_path / f"cloudsite-state-{spec.name}.service").read_text()
        (line,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
        assert shlex.split(line.removeprefix("ExecStart=")) == list(spec.command)


@pytest.mark.parametrize(
    ("protection", "replacement"),
    [
        ("NoNewPrivileges=yes", "NoNewPrivilege=yes"),
        ("ExecStart=/", "ExecStart=/nonexistent/"),
        ("SystemCallFilter=@system-service\nSystemCallFilter=~@privileged\n", ""),
    ],
)
def test_a_worse_unit_is_refused(around: Surroundings, tmp_path: Path, protection: str, replacement: str) -> None:
    units = service.write_units(around, tmp_path)
    worker = tmp_path / "cloudsite-state-worker.service"
    text = worker.read_text()
    assert protection in text
    text = text.replace(protection, replacement)
    if not replacement:
        text = text.replace("CapabilityBoundingSet=\n", "").replace("User=", "#")
    worker.write_text(text)
    with pytest.raises(BootstrapError):
        service.verify(units)


def test_the_environment_file_holds_our_settings_and_nothing_else(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = service.environment_file(around)
    assert 'CLOUDSITE_SECRET_KEY="s\\"p\\\\e$c%ial"' in text
    assert "ADMIN_PASSWORD" not in text and "LS_COLORS" not in text
    service.write_environment(around)
    assert (around.settings.state_dir / "service.env").stat().st_mode & 0o077 == 0


def test_words_are_quoted_as_systemd_reads_them() -> None:
    assert service.quote("plain/word-1") == "plain/word-1"
    assert service.quote('a "b" $c %d \\') == '"a \\"b\\" $$c %%d \\\\"'


def test_a_users_own_servers_are_not_ours_to_start(around: Surroundings) -> None:
    own = Settings(state_dir=around.settings.state_dir, database_url="postgresql://db/x", redis_url="redis://r/0")
    assert process_table.servers(Surroundings(**{**vars(around), "settings": own})) == []


def test_the_network_port_can_be_closed(around: Surroundings) -> None:
    closed = Settings(state_dir=around.settings.state_dir, lan="off")
    names = [spec.name for spec in process_table.web(Surroundings(**{**vars(around), "settings": closed}))]
    assert names == ["web"]


def test_a_certificate_of_the_users_is_served(around: Surroundings, tmp_path: Path) -> None:
    own = Settings(state_dir=around.settings.state_dir, tls_cert=tmp_path / "my.crt", tls_key=tmp_path / "my.key")
    _, secure = process_table.web(Surroundings(**{**vars(around), "settings": own}))
    assert str(tmp_path / "my.crt") in secure.command and str(tmp_path / "my.key") in secure.command
