"""What the first process of every namespace does: mounts, network, and reaping children for ever.

It runs as PID 1 of its namespace. A child that nobody reaps makes libvirt wait minutes for a guest that is
already gone, so reaping is its whole life once everything is started.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

LINK_SECONDS = 15.0
COMMAND_SECONDS = 30.0


def command(*argv: str, check: bool = True) -> None:
    """Run one program of the start sequence."""
    subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=COMMAND_SECONDS, check=check)


def mount_system() -> None:
    """Give the namespace a /sys of its own network, and no control groups of the machine's."""
    command("umount", "--lazy", "--recursive", "/sys", check=False)
    command("mount", "-t", "sysfs", "sysfs", "/sys")


def bind(places: Mapping[str, str]) -> None:
    """Bind-mount each source directory or file over its target."""
    for target, source in places.items():
        command("mount", "--bind", source, target)


def mount_tmpfs(target: str, *, mode: str = "0755") -> None:
    """Mount an empty tmpfs."""
    command("mount", "-t", "tmpfs", "-o", f"mode={mode}", "tmpfs", target)


def configure_network(*, address: str, gateway: str | None) -> None:
    """Wait for the cable, then configure eth0 (`address` with prefix length) and the way out."""
    deadline = time.monotonic() + LINK_SECONDS
    while not Path("/sys/class/net/eth0").exists():
        if time.monotonic() > deadline:
            raise TimeoutError("no network cable was plugged in")
        time.sleep(0.02)
    command("ip", "link", "set", "lo", "up")
    command("ip", "address", "add", address, "dev", "eth0")
    command("ip", "link", "set", "eth0", "up")
    if gateway:
        command("ip", "route", "add", "default", "via", gateway)


def daemon(argv: Sequence[str], *, log: str) -> None:
    """Start a program in the background with its output in `log`."""
    with Path(log).open("ab") as output:
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)


def reap_for_ever() -> None:
    """Collect every child that ends; never returns."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        _reap()
        signal.sigtimedwait({signal.SIGCHLD}, 1.0)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
