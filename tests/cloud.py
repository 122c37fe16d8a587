"""A whole Cloudsite for end-to-end tests: web, worker, beat and watch as processes, used through HTTP alone.

It has a PostgreSQL of its own, databases of its own in the session's Redis, and two of the lab's hosts: the
first by qemu+ssh, the second by qemu+tls.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psycopg
import pytest
import redis

from imagebuild.probe import ProbeKernel
from lab.host import Host as LabHost
from tests.client import PASSWORD, Client
from tests.own_redis import redis_number, redis_url
from tests.servers import PrivatePostgres
from tests.waiting import wait_for

REDIS_DATABASES = 48  # those of each test process's cloud begin here, beyond those of the test processes
ROOT = Path(__file__).resolve().parent.parent
WEBSOCKETS = ("--ws-max-size", "65536", "--ws-per-message-deflate", "false")


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cloud(Client):
    """One running installation, as its user sees it."""

    def __init__(self, *, state_dir: Path, postgres: PrivatePostgres) -> None:
        self.state_dir = state_dir
        self.postgres = postgres
        self.faults = state_dir / "faults"
        self.faults.mkdir()
        self.port = free_port()
        super().__init__(f"http://127.0.0.1:{self.port}")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.log_begins: dict[str, int] = {}
        self.environment = {
            **os.environ,
            "DATABASE_URL": postgres.url,
            "REDIS_URL": redis_url(os.environ["REDIS_URL"], REDIS_DATABASES + redis_number(os.environ["REDIS_URL"])),
            "CLOUDSITE_FAULTS": str(self.faults),
            "CLOUDSITE_STATE_DIR": str(state_dir),
            "CLOUDSITE_HYPERVISOR": "libvirt",
            "CLOUDSITE_ADMIN_PASSWORD": PASSWORD,
            "CLOUDSITE_TIME_SCALE": "1.0",
            "CLOUDSITE_TRASH_HOURS": "0",  # a delete is to be seen through to its end
            "CLOUDSITE_LOG_LEVEL": "DEBUG",
        }

    # --- processes
    def manage(self, *arguments: str) -> str:
        """A management command; fails with its output."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, name: str, *arguments: str, **environment: str) -> None:
        """A process of the installation under its name, in a group of its own."""
        log = (self.state_dir / f"{name}.log").open("ab")
        self.log_begins[name] = log.tell()
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def start_web(self, **environment: str) -> None:
        arguments = ("cloudsite.asgi:application", "--port", str(self.port), "--no-access-log", *WEBSOCKETS)
        self.start("web", "uvicorn", *arguments, **environment)
        wait_for(self._answers, seconds=30, what="the web process")

    def start_worker(self, name: str = "worker", *, concurrency: int = 6) -> None:
        node = f"{name}-{secrets.token_hex(3)}@e2e"
        self.start(name, "celery", "-A", "cloudsite", "worker", "-c", str(concurrency), "-n", node)

    def start_beat(self) -> None:
        self.start("beat", "celery", "-A", "cloudsite", "beat")

    def start_watch(self) -> None:
        self.start("watch", "workers.watch")

    def start_console(self) -> None:
        socket_path = self.state_dir / "run" / "console.sock"
        arguments = ("console.asgi:application", "--uds", str(socket_path), "--lifespan", "off", *WEBSOCKETS)
        self.start("console", "uvicorn", *arguments)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Signal a process with all its children."""
        process = self.processes[name]
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        if number in (signal.SIGKILL, signal.SIGTERM):
            process.wait(timeout=60)

    def runs(self, name: str) -> bool:
        """Whether a process of this name lives."""
        return name in self.processes and self.processes[name].poll() is None

    def revive(self) -> None:
        """Have everything running that an installation has, as the supervisor would."""
        self.postgres.start()
        starts = {"web": self.start_web, "worker": self.start_worker, "beat": self.start_beat}
        for name, start in {**starts, "watch": self.start_watch, "console": self.start_console}.items():
            if not self.runs(name):
                start()
        # After a restart of PostgreSQL the web process answers 503 until its pool has connected anew.
        wait_for(lambda: self.browser.get("/readyz").is_success, seconds=30, what="the web process to be ready")

    def stop(self) -> None:
        for name in self.processes:
            self.kill(name)

    # --- what only a test may do
    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Look into the installation's database, or change it; the rows that come back."""
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            cursor = connection.execute(query, values)  # type: ignore[arg-type]  # written in the tests
            return cursor.fetchall() if cursor.description else []

    def flush_redis(self) -> None:
        """Lose every message and everything that was cached."""
        url = self.environment["REDIS_URL"]
        first = redis_number(url)
        for number in (first, first + 1):
            with redis.Redis.from_url(redis_url(url, number)) as client:
                client.flushdb()

    def watches(self, host: str) -> bool:
        """Whether the watch that runs now holds an event connection to a host, as its log says."""
        text = (self.state_dir / "watch.log").read_bytes()[self.log_begins["watch"] :]
        said = [line for line in text.splitlines() if f'"{host}"'.encode() in line and b'"watch.' in line]
        ends = (b"watch.ended", b"watch.no_connection", b"watch.failed")
        told = [line for line in said if b"watch.connected" in line or any(end in line for end in ends)]
        return bool(told) and b"watch.connected" in told[-1]

    def stop_worker_at(self, point: str) -> Path:
        """Have the next worker child that comes by this point stand still there; the file is gone once it does."""
        path = self.faults / point
        path.write_text("stop")
        return path

    def lease_is_over(self, operation: dict[str, Any]) -> None:
        """Let the time pass that a dead worker's claim stands, and have the sweep find it."""
        self.sql("UPDATE operations_operation SET lease_until = now() WHERE id = %s", operation["id"])

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def logs(self) -> str:
        """The ends of all logs, for a failing test."""
        tails = [
            f"--- {path.name}\n{path.read_text(errors='replace')[-4000:]}" for path in self.state_dir.glob("*.log")
        ]
        return "\n".join(tails)


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory, probe_kernel: ProbeKernel, tiny_image: Path) -> Iterator[Cloud]:
    """An installation with a signed-in admin and the image ``tiny``."""
    postgres = PrivatePostgres()
    running = Cloud(state_dir=tmp_path_factory.mktemp("cloud"), postgres=postgres)
    try:
        _prepare(running, probe_kernel, tiny_image)
        running.revive()
        running.sign_in()
        yield running
    finally:
        running.stop()
        postgres.remove()


def _prepare(running: Cloud, probe_kernel: ProbeKernel, tiny_image: Path) -> None:
    """What the set-up of an installation does before its processes start."""
    running.flush_redis()
    (running.state_dir / "run").mkdir()
    probe_dir = running.state_dir / "images" / "probe"
    probe_dir.mkdir(parents=True)
    shutil.copy(probe_kernel.vmlinuz, probe_dir / "vmlinuz")
    shutil.copy(probe_kernel.initrd, probe_dir / "initrd")
    running.manage("migrate", "--verbosity", "0")
    running.manage("ensure_admin")
    running.manage("ensure_certificates")
    running.manage("ensure_installation")
    running.manage("ensure_policies")
    enter_image(running, "tiny", tiny_image)


def enter_image(cloud: Cloud, name: str, path: Path) -> None:
    """Put an image in the catalogue, as the installation's set-up does."""
    import hashlib

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    cloud.manage("ensure_image", name, "--file", str(path), "--checksum", digest)


def add_ssh(cloud: Cloud, host: LabHost) -> dict[str, Any]:
    """Add a lab host by qemu+ssh: our key on the host, its key confirmed. The operation that probes it."""
    uri = f"qemu+ssh://root@{host.address}/system"
    answer = cloud.call("POST", "hosts/", expect=202, json={"name": host.name, "uri": uri})
    host.add_authorized_key(answer["host"]["setup"]["public_key"])
    cloud.succeeded(answer["operation"])
    known = cloud.get(f"hosts/{answer['host']['id']}/")
    assert known["fingerprint"] == host.host_key_fingerprint()
    body = {"fingerprint": known["fingerprint"]}
    operation: dict[str, Any] = cloud.call("POST", f"hosts/{known['id']}/trust/", expect=202, json=body)["operation"]
    return operation


def add_tls(cloud: Cloud, host: LabHost) -> dict[str, Any]:
    """Add a lab host by qemu+tls: our CA, its certificate and our name on it. The operation that probes it."""
    uri = f"qemu+tls://{host.address}/system"
    answer = cloud.call("POST", "hosts/", expect=202, json={"name": host.name, "uri": uri})
    setup = answer["host"]["setup"]
    host.install_tls(
        ca_cert=setup["ca_certificate"],
        server_cert=setup["server_certificate"],
        server_key=setup["server_key"],
        allowed_dn=setup["allowed_dn"],
    )
    operation: dict[str, Any] = answer["operation"]
    return operation


def probe(cloud: Cloud, record: dict[str, Any]) -> dict[str, Any]:
    """Ask for another look at a host; the operation."""
    operation: dict[str, Any] = cloud.call("POST", f"hosts/{record['id']}/probe/", expect=202)["operation"]
    return operation


def probed(cloud: Cloud, operation: dict[str, Any]) -> dict[str, Any]:
    """The host of a probe that must end well."""
    cloud.succeeded(operation)
    record: dict[str, Any] = cloud.get(f"hosts/{operation['target']['id']}/")
    return record


@pytest.fixture(scope="session")
def enrolled(cloud: Cloud, lab_hosts: Sequence[LabHost]) -> list[dict[str, Any]]:
    """Two of the lab's hosts in the cloud: the first by qemu+ssh, the second by qemu+tls."""
    probes = [add_tls(cloud, lab_hosts[1]), add_ssh(cloud, lab_hosts[0])]
    return [probed(cloud, operation) for operation in reversed(probes)]
