"""An installation that ``make run`` starts, with this machine as its host."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

from bootstrap import libvirtd, processes
from bootstrap.commands import run
from bootstrap.settings import CODE_DIR
from bootstrap.uninstall import POOLS, libvirt_objects
from tests.bootstrap.test_nginx import free_ports
from tests.bootstrap.test_run import Started
from tests.client import PASSWORD, Client
from tests.waiting import wait_for

OTHERS = ("CLOUDSITE_", "DATABASE_URL", "REDIS_URL", "DJANGO_", "PYTEST", "VIRTUAL_ENV")
"""What the surroundings of the tests say about their own servers."""
COMMAND_SECONDS = 120.0
PROBE_SECONDS = 300.0
START_SECONDS = 900.0
"""The first one installs the Python packages, on a machine that may be busy."""


class Installed(Client):
    """One state directory; the code that runs on it may be another one at each start."""

    def __init__(self, directory: Path) -> None:
        port, lan_port, ingest_port = free_ports(3)
        super().__init__(f"http://127.0.0.1:{port}")
        self.port = port
        self.state = directory / "state"
        self.code = CODE_DIR
        self.running: Started | None = None
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(OTHERS)},
            "CLOUDSITE_STATE_DIR": str(self.state),
            "CLOUDSITE_MACHINE_RECORD": str(directory / "changes.json"),
            "CLOUDSITE_PORT": str(port),
            "CLOUDSITE_LAN_PORT": str(lan_port),
            "CLOUDSITE_INGEST_PORT": str(ingest_port),
            "CLOUDSITE_IMAGE": "off",
            "CLOUDSITE_TRASH_HOURS": "0",
            "CLOUDSITE_WORKER_CONCURRENCY": "2",
            "CLOUDSITE_ADMIN_PASSWORD": PASSWORD,
        }

    # --- its life
    def start(self, code: Path = CODE_DIR) -> float:
        """Start this code on the state directory and sign in; returns the seconds until it was ready."""
        self.code = code
        self.running = Started(self.environment, code=code)
        seconds = self.running.await_line("Cloudsite is ready.", seconds=START_SECONDS)
        self.sign_in()
        return seconds

    def stop(self) -> None:
        assert self.running is not None and self.running.end(signal.SIGINT) == 0
        self.running = None

    def bootstrap(self, *words: str, check: bool = True) -> str:
        command = ["/usr/bin/python3", "-m", "bootstrap", *words]
        return run(command, timeout=COMMAND_SECONDS, env=self.environment, cwd=self.code, check=check).stdout

    def migrations(self) -> set[str]:
        """Those that were applied, as the running code knows them."""
        code = (
            "from django.db.migrations.recorder import MigrationRecorder; "
            "print('applied', *(f'{one.app}.{one.name}' for one in MigrationRecorder.Migration.objects.all()))"
        )
        printed = self.bootstrap("manage", "shell", "-v", "0", "-c", code)
        return set(next(line for line in printed.splitlines() if line.startswith("applied ")).split()[1:])

    def remove(self) -> None:
        """Take all of it back, machines included, however far the test came."""
        if self.running is not None:
            self.running.end(signal.SIGTERM)  # it may not have come far enough for `stop` to find it
        self.bootstrap("stop", check=False)
        for guest in self.left()["guests"]:
            for verb in (["destroy"], ["undefine", "--nvram", "--snapshots-metadata"]):
                run(["virsh", "-c", libvirtd.URI, verb[0], guest, *verb[1:]], timeout=60, check=False)
        self.bootstrap("uninstall", "--yes", check=False)

    # --- what is there
    @property
    def name(self) -> str:
        """The eight digits that everything of it on a host carries; empty before the first start."""
        path = self.state / "installation"
        return path.read_text().strip() if path.exists() else ""

    def left(self, name: str = "") -> dict[str, list[str]]:
        """What this machine's libvirt has of it."""
        name = name or self.name
        networks, pools, guests = libvirt_objects(name)
        directories = [str(path) for path in POOLS.glob(f"cs-{name}*")] if name else []
        return {"networks": networks, "pools": pools, "guests": guests, "directories": directories}

    def pid(self, process: str) -> int:
        record = processes.read_pid_file(self.state / "supervisor" / f"{process}.pid")
        assert record is not None, f"{process} does not run"
        return record.pid

    def logs(self) -> str:
        tails = [
            f"--- {path.name}\n{path.read_text(errors='replace')[-4000:]}" for path in self.state.glob("log/*.log")
        ]
        return "\n".join(tails)

    # --- its host and its images
    def host_up(self) -> dict[str, Any]:
        """This machine as a host, once it was looked at."""

        def up() -> dict[str, Any] | None:
            (host,) = self.results("hosts/")
            return host if host["status"] == "up" else None

        return wait_for(up, seconds=PROBE_SECONDS, what="this machine to be a host", every=0.5)

    def files(self) -> list[str]:
        """The names of the files in its pool, without those that belong to the host."""
        (pool,) = self.left()["directories"]
        return sorted(path.name for path in Path(pool).iterdir() if not re.match(r"(img|probe)-", path.name))
