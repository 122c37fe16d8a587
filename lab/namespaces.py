"""Starts a process in new namespaces and runs programs in them."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.identity import Identity, child_of
from lab.process import run, wait_until

START_SECONDS = 10
ENTER = ("--mount", "--uts", "--ipc", "--net", "--pid")
PACKAGE_ROOT = Path(__file__).resolve().parent.parent


@dataclass(kw_only=True)
class Namespaces:
    """The namespaces of one host; its first process is found again through a file in `state_dir`."""

    state_dir: Path

    @property
    def init(self) -> Identity | None:
        """The first process, as the machine sees it."""
        return Identity.load(self.state_dir / "init.pid")

    def running(self) -> bool:
        """Whether the first process lives."""
        init = self.init
        return init is not None and init.alive()

    def start(self, module: str, *, configuration: Path) -> int:
        """Start `module` as the first process of new namespaces; returns its pid."""
        argv = ["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]
        argv += ["--mount-proc", "--propagation", "private"]
        argv += [sys.executable, "-m", module, str(configuration)]
        with (self.state_dir / "init.log").open("ab") as log:
            outer = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(PACKAGE_ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            )
        wait_until(lambda: child_of(outer.pid) is not None, timeout=START_SECONDS, what="a new PID namespace")
        pid = child_of(outer.pid)
        if pid is None:
            raise LabError(f"the first process ended at once: {self.log_tail()}")
        Identity.of(pid).save(self.state_dir / "init.pid")
        threading.Thread(target=outer.wait, daemon=True).start()
        return pid

    def kill(self) -> None:
        """Kill every process in the namespaces, guests included, and wait until they are gone."""
        init = self.init
        if init is not None:
            init.kill()
        (self.state_dir / "init.pid").unlink(missing_ok=True)

    def enter(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` inside."""
        init = self.init
        if init is None or not init.alive():
            raise LabError(f"{self.state_dir.name} does not run: {self.log_tail()}")
        return ["nsenter", f"--target={init.pid}", *ENTER, "--wdns=/", "--", *argv]

    def run(
        self, argv: Sequence[str], *, timeout: float = 30, check: bool = True, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` inside; see `lab.process.run`."""
        return run(self.enter(argv), timeout=timeout, check=check, text=text)

    def path(self, inside: str) -> Path:
        """How the machine sees an absolute path of the inside; a symbolic link on the way may lead astray."""
        init = self.init
        if init is None:
            raise LabError(f"{self.state_dir.name} does not run")
        return Path(f"/proc/{init.pid}/root{inside}")

    def log_tail(self) -> str:
        """The last lines the first process printed."""
        with contextlib.suppress(FileNotFoundError):
            return "\n".join((self.state_dir / "init.log").read_text().splitlines()[-20:])
        return "no log"
