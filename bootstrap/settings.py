"""What the bootstrap needs to know about an installation, read from the environment before Django exists.

The control plane's own settings model reads the same ``CLOUDSITE_*`` names; only those that decide which
process runs where are repeated here.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bootstrap.commands import environment_without_python, path_with_sbin
from bootstrap.errors import BootstrapError

CODE_DIR = Path(__file__).resolve().parent.parent
LONGEST_SOCKET_PATH = 107
"""Bytes that fit into ``sockaddr_un`` on Linux, without the final NUL."""
SHORTEST_PASSWORD = 12
SECRET_NAMES = ("CLOUDSITE_SECRET_KEY", "CLOUDSITE_JWT_KEY")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One installation; every path below it follows from ``state_dir``."""

    state_dir: Path
    bind: str = "127.0.0.1"
    port: int = 8420
    lan: str = "on"
    lan_port: int = 8443
    ingest_port: int = 8430
    database_url: str | None = None
    redis_url: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    admin_password: str | None = None
    worker_concurrency: int = 6
    image: str = "on"
    """``off``: neither fetch nor build the image debian-12 at the start."""

    @property
    def run_dir(self) -> Path:
        return self.state_dir / "run"

    @property
    def pid_dir(self) -> Path:
        """Apart from ``run_dir``: root acts on what is in here, so only root may write it."""
        return self.state_dir / "supervisor"

    @property
    def log_dir(self) -> Path:
        return self.state_dir / "log"

    @property
    def venv_dir(self) -> Path:
        return self.state_dir / "venv"

    @property
    def postgres_dir(self) -> Path:
        return self.state_dir / "postgres"

    @property
    def redis_dir(self) -> Path:
        return self.state_dir / "redis"

    @property
    def pki_dir(self) -> Path:
        return self.state_dir / "pki"

    @property
    def agent_dir(self) -> Path:
        """Configuration, certificate and buffer of the agent that measures this machine."""
        return self.state_dir / "agent"

    @property
    def images_dir(self) -> Path:
        return self.state_dir / "images"

    @property
    def cache_dir(self) -> Path:
        return self.state_dir / "cache"

    @property
    def secrets_file(self) -> Path:
        return self.state_dir / "settings.env"

    @property
    def lan_open(self) -> bool:
        return self.lan != "off"

    @property
    def console_socket(self) -> Path:
        """Where the console process listens; the control plane derives the same path."""
        return self.run_dir / "console.sock"

    def socket_paths(self) -> list[Path]:
        """Every Unix socket below the state directory, longest name first."""
        return [self.run_dir / ".s.PGSQL.5432.lock", self.console_socket, self.run_dir / "redis.sock"]


def default_state_dir(environment: Mapping[str, str]) -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/cloudsite")
    base = environment.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "cloudsite"


def beside(port: int) -> int:
    """The ingest's port where none is chosen, so that a second installation needs no third choice."""
    return port + 10 if port + 10 <= 65535 else port - 10


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; every wrong value is one sentence.

    :raises BootstrapError: naming all variables with values that cannot be used.
    """
    env = os.environ if environment is None else environment
    problems: list[str] = []

    def number(name: str, default: int, low: int, high: int) -> int:
        text = env.get(name, "").strip() or str(default)
        if text.isascii() and text.isdigit() and low <= int(text) <= high:
            return int(text)
        problems.append(f"{name} is {text!r}; it has to be a number from {low} to {high}.")
        return default

    state_dir = Path(env.get("CLOUDSITE_STATE_DIR") or default_state_dir(env))
    if not state_dir.is_absolute():
        problems.append(f"CLOUDSITE_STATE_DIR is {str(state_dir)!r}; it has to be an absolute path.")
    port = number("CLOUDSITE_PORT", 8420, 1, 65535)
    certificate, key = env.get("CLOUDSITE_TLS_CERT"), env.get("CLOUDSITE_TLS_KEY")
    if bool(certificate) != bool(key):
        problems.append("CLOUDSITE_TLS_CERT and CLOUDSITE_TLS_KEY only work together; one of them is missing.")
    settings = Settings(
        state_dir=state_dir,
        bind=env.get("CLOUDSITE_BIND") or "127.0.0.1",
        port=port,
        lan=(env.get("CLOUDSITE_LAN") or "on").strip().lower(),
        lan_port=number("CLOUDSITE_LAN_PORT", 8443, 1, 65535),
        ingest_port=number("CLOUDSITE_INGEST_PORT", beside(port), 1, 65535),
        database_url=env.get("DATABASE_URL") or None,
        redis_url=env.get("REDIS_URL") or None,
        tls_cert=Path(certificate) if certificate else None,
        tls_key=Path(key) if key else None,
        admin_password=env.get("CLOUDSITE_ADMIN_PASSWORD") or None,
        image=(env.get("CLOUDSITE_IMAGE") or "on").strip().lower(),
        worker_concurrency=number("CLOUDSITE_WORKER_CONCURRENCY", 6, 1, 64),
    )
    for name, value in (("CLOUDSITE_LAN", settings.lan), ("CLOUDSITE_IMAGE", settings.image)):
        if value not in ("on", "off"):
            problems.append(f"{name} is {value!r}; it has to be on or off.")
    problems += wrong_servers(settings)
    if settings.admin_password is not None and len(settings.admin_password) < SHORTEST_PASSWORD:
        problems.append(f"CLOUDSITE_ADMIN_PASSWORD has fewer than {SHORTEST_PASSWORD} characters.")
    if problems:
        raise BootstrapError("\n".join(problems))
    return settings


def wrong_servers(settings: Settings) -> list[str]:
    """URLs of the user's own servers that cannot be meant; never with the password that is in them."""
    found = []
    for name, text, schemes in (
        ("DATABASE_URL", settings.database_url, ("postgresql", "postgres")),
        ("REDIS_URL", settings.redis_url, ("redis", "rediss", "unix")),
    ):
        try:
            url = urlsplit(text or f"{schemes[0]}:")
            usable = url.scheme in schemes and (url.port is None or url.port > 0)
        except ValueError:
            usable = False
        if not usable:
            found.append(f"{name} cannot be used; it has to begin with {':// or '.join(schemes)}://.")
    return found


def database_url(settings: Settings) -> str:
    """The user's server, or the private one through its socket."""
    return settings.database_url or f"postgresql://cloudsite@/cloudsite?host={settings.run_dir}"


def redis_url(settings: Settings) -> str:
    """The user's server, or the private one through its socket."""
    return settings.redis_url or f"unix://{settings.run_dir}/redis.sock?db=0"


def process_environment(settings: Settings, secret_values: Mapping[str, str]) -> dict[str, str]:
    """The environment of every process of the control plane; ours replaces what was set outside."""
    return {
        **environment_without_python(dict(os.environ)),
        **secret_values,
        "CLOUDSITE_STATE_DIR": str(settings.state_dir),
        "CLOUDSITE_BIND": settings.bind,
        "CLOUDSITE_PORT": str(settings.port),
        "CLOUDSITE_LAN": settings.lan,
        "CLOUDSITE_LAN_PORT": str(settings.lan_port),
        "CLOUDSITE_INGEST_PORT": str(settings.ingest_port),
        "DATABASE_URL": database_url(settings),
        "REDIS_URL": redis_url(settings),
        "DJANGO_SETTINGS_MODULE": "cloudsite.settings",
        "PATH": f"{settings.venv_dir}/bin:{path_with_sbin()}",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def new_secrets() -> dict[str, str]:
    return {name: secrets.token_urlsafe(48) for name in SECRET_NAMES}


def load_secrets(settings: Settings) -> dict[str, str]:
    """The keys of this installation: made once, kept in a file only its owner reads, replaceable by hand.

    A key that is set in the environment wins over the file.
    """
    path = settings.secrets_file
    stored: dict[str, str] = {}
    if path.exists():
        pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
        stored = {name.strip(): value.strip() for name, value in pairs if not name.startswith("#")}
    missing = {name: value for name, value in new_secrets().items() if not stored.get(name)}
    if missing:
        stored |= missing
        temporary = path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.writelines(f"{name}={value}\n" for name, value in stored.items())
        temporary.replace(path)
    return {name: os.environ.get(name) or value for name, value in stored.items()}


def installation_of(settings: Settings) -> str:
    """The eight hex digits of the installation in a state directory; empty where there is none."""
    return next(reversed(installations_of(settings)), "")


def installations_of(settings: Settings) -> list[str]:
    """All that the state directory has been, the last one last: another database is another installation."""
    path = settings.state_dir / "installation"
    return re.findall(r"^[0-9a-f]{8}$", path.read_text(), re.MULTILINE) if path.exists() else []


def remember_installation(settings: Settings, installation: str) -> None:
    """What an earlier one made on this machine is still to be found by its digits."""
    earlier = [known for known in installations_of(settings) if known != installation]
    (settings.state_dir / "installation").write_text("".join(f"{one}\n" for one in [*earlier, installation]))
