"""The processes of an installation and how each is started, in the order of the start."""

from __future__ import annotations

import http.client
import signal
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bootstrap import postgres, redis
from bootstrap.accounts import Identity
from bootstrap.settings import Settings
from bootstrap.supervisor import ProcessSpec

WORKER_STOP_SECONDS = 40.0
"""Longer than one host call, so that a call in flight is finished and recorded."""
HTTP_SECONDS = 3.0
CONFIGURATION = "agent.json"


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What all processes of the code share."""

    settings: Settings
    code_dir: Path
    environment: Mapping[str, str]
    identity: Identity

    @property
    def python(self) -> str:
        return str(self.settings.venv_dir / "bin" / "python")


def servers(around: Surroundings) -> list[ProcessSpec]:
    """PostgreSQL and Redis, each unless the user has named a server of their own."""
    settings = around.settings
    wanted = []
    if settings.database_url is None:
        wanted.append(_postgres(around))
    if settings.redis_url is None:
        socket_path = settings.run_dir / "redis.sock"
        command = redis.command(settings.redis_dir, socket_path, links=settings.state_dir / "bin")
        wanted.append(_spec(around, "redis", command, directory=Path("/"), ready=partial(redis.is_ready, socket_path)))
    return wanted


def _postgres(around: Surroundings) -> ProcessSpec:
    settings = around.settings
    return _spec(
        around,
        "postgres",
        postgres.command(settings.postgres_dir / "data", settings.run_dir),
        directory=Path("/"),
        ready=partial(postgres.is_ready, settings.run_dir),
        stop_signal=signal.SIGINT,
        stop_seconds=30.0,
    )


def web(around: Surroundings) -> list[ProcessSpec]:
    """HTTP on loopback and, unless closed, HTTPS for the network."""
    settings = around.settings
    plain = _spec(
        around,
        "web",
        [*uvicorn(around), "--host", settings.bind, "--port", str(settings.port)],
        ready=partial(answers, settings.bind, settings.port),
    )
    if not settings.lan_open:
        return [plain]
    certificate, key = certificate_files(settings)
    secure = [*uvicorn(around), "--host", "0.0.0.0", "--port", str(settings.lan_port)]  # noqa: S104 - the LAN
    secure += ["--ssl-certfile", str(certificate), "--ssl-keyfile", str(key)]
    return [
        plain,
        _spec(around, "web-lan", secure, ready=partial(answers, "127.0.0.1", settings.lan_port, tls=True)),
    ]


def certificate_files(settings: Settings) -> tuple[Path, Path]:
    """The user's certificate and key, or the ones of our own small CA."""
    if settings.tls_cert is not None and settings.tls_key is not None:
        return settings.tls_cert, settings.tls_key
    return settings.pki_dir / "web.crt", settings.pki_dir / "web.key"


def uvicorn(around: Surroundings) -> list[str]:
    """Django decides itself which proxies it believes, so uvicorn believes none; and it logs each request."""
    return [*_uvicorn(around, "cloudsite.asgi:application"), "--no-proxy-headers", "--no-server-header"]


def _uvicorn(around: Surroundings, application: str) -> list[str]:
    """Messages of a WebSocket are small here, and packing them would only cost memory."""
    command = [around.python, "-m", "uvicorn", application, "--lifespan", "off", "--timeout-graceful-shutdown", "5"]
    return [*command, "--no-access-log", "--ws-max-size", "65536", "--ws-per-message-deflate", "false"]


def background(around: Surroundings) -> list[ProcessSpec]:
    """Everything that works without being asked by a browser."""
    settings = around.settings
    celery = [around.python, "-m", "celery", "-A", "cloudsite"]
    worker = [*celery, "worker", "--concurrency", str(settings.worker_concurrency), "--without-gossip"]
    schedule = settings.run_dir / "beat-schedule"
    consoles = [*_uvicorn(around, "console.asgi:application"), "--uds", str(settings.console_socket)]
    return [
        _spec(around, "worker", [*worker, "--without-mingle"], stop_seconds=WORKER_STOP_SECONDS),
        _spec(around, "beat", [*celery, "beat", "--schedule", str(schedule), "--pidfile", ""]),
        _spec(around, "watch", [around.python, "-m", "workers.watch"]),
        _spec(around, "console", consoles),
        _spec(around, "ingest", [around.python, "-m", "workers.ingest"]),
    ]


def measures_itself(settings: Settings) -> bool:
    """Whether this machine is a host of the installation; somebody may have removed it."""
    return (settings.agent_dir / CONFIGURATION).exists()


def agent(around: Surroundings) -> ProcessSpec:
    """The agent of this machine; those of other hosts are installed there. It reads what belongs to other users."""
    command = [around.python, "-m", "cloudsite_agent", "--config", str(around.settings.agent_dir / CONFIGURATION)]
    return _spec(
        around,
        "agent",
        command,
        directory=around.code_dir / "agents" / "host",
        capabilities=("sys_ptrace", "dac_read_search"),
    )


def _spec(
    around: Surroundings, name: str, command: list[str], *, directory: Path | None = None, **rest: object
) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        command=command,
        environment=around.environment,
        directory=directory or around.code_dir,
        identity=around.identity,
        **rest,  # type: ignore[arg-type]
    )


def answers(address: str, port: int, *, tls: bool = False, path: str = "/readyz", status: int | None = None) -> bool:
    """Whether HTTP is answered there; with ``status`` only that answer counts."""
    host = "127.0.0.1" if address in ("0.0.0.0", "") else "::1" if address == "::" else address  # noqa: S104
    connection: http.client.HTTPConnection
    if tls:
        # only asks whether our own process is up; the certificate may be the user's, for another name
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=HTTP_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=HTTP_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return status is None or answer == status


def lan_address() -> str | None:
    """The address that reaches the network behind the default route; no packet is sent for it."""
    for family, target in ((socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((target, 9))
            except OSError:
                continue
            return str(probe.getsockname()[0])
    return None
