"""A PostgreSQL of one test installation alone, which a test may stop and start again."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bootstrap import accounts, postgres
from tests.waiting import wait_for

OPTIONS = ("fsync=off", "full_page_writes=off", "max_connections=200")  # what was committed survives a crash


class PrivatePostgres:
    """Below /tmp in a directory that the server's user can reach; pytest's own directories are root's.

    By default it writes as fast as it can and survives no power cut; without ``options`` it is as in real life.
    """

    def __init__(self, *, options: Sequence[str] = postgres.TEST_OPTIONS) -> None:
        self.options = options
        self.base = Path(tempfile.mkdtemp(prefix="cs-e2e-", dir="/tmp"))
        self.base.chmod(0o755)
        self.identity = accounts.service_identity()
        self.data = self.base / "postgres" / "data"
        self.socket_dir = self.base / "run"
        for directory in (self.data.parent, self.socket_dir):
            directory.mkdir(mode=0o755)
            if os.geteuid() == 0:
                os.chown(directory, self.identity.uid, self.identity.gid)
        users = sorted({"root", self.identity.name, accounts.invoking_user()})
        postgres.initialise(self.data, identity=self.identity, system_users=users)
        self.process: subprocess.Popen[bytes] | None = None
        self.start()
        postgres.ensure_database(self.socket_dir, identity=self.identity, superuser=True)

    @property
    def url(self) -> str:
        """What ``DATABASE_URL`` takes."""
        return f"postgresql://{postgres.ROLE}@/{postgres.ROLE}?host={self.socket_dir}"

    def start(self) -> None:
        """Start it and wait until it answers. A server that runs is left alone."""
        if self.process is not None and self.process.poll() is None:
            return
        with (self.base / "postgres.log").open("ab") as log:
            self.process = subprocess.Popen(
                postgres.command(self.data, self.socket_dir, OPTIONS),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                start_new_session=True,
                **self.identity.popen_arguments(),
            )
        wait_for(lambda: postgres.is_ready(self.socket_dir), seconds=60, what="PostgreSQL")

    def stop(self) -> None:
        """Stop it at once, as a crash would: every connection breaks, what was committed stays."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(timeout=30)

    def remove(self) -> None:
        """Take it away with all it held."""
        self.stop()
        shutil.rmtree(self.base, ignore_errors=True)
