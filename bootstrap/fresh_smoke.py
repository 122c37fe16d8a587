"""Inside the bare machine: ``make run`` until it says that it is ready, look at it, stop, start again.

Called as ``fresh_smoke.py <checkout> [user]``; with a user the start is made by that user through sudo.
"""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

FIRST_SECONDS = 2400.0
SECOND_SECONDS = 60.0
STOP_SECONDS = 120.0
UNINSTALL_SECONDS = 600.0
READY = "Cloudsite is ready."
URLS = ("http://127.0.0.1:8420/readyz", "https://127.0.0.1:8443/readyz")
TRACES = (Path("/var/lib/cloudsite"), Path("/var/lib/cloudsite-machine"), Path("/usr/sbin/policy-rc.d"))
OURS = ("postgres", "redis-server", "redis-check-rdb", "uvicorn", "celery", "workers.watch")


def main(checkout: str, user: str | None) -> int:
    if user is not None:
        make_user(user, checkout)
    before = packages()
    first = start_once(checkout, user, limit=FIRST_SECONDS)
    second = start_once(checkout, user, limit=SECOND_SECONDS)
    print(f"first start {first:.0f} s, second start {second:.0f} s", flush=True)
    uninstall(checkout, user)
    if packages() != before:
        raise SystemExit(f"packages stayed: {' '.join(sorted(packages() - before))}")
    if left := [str(path) for path in TRACES if path.exists()]:
        raise SystemExit(f"traces stayed: {' '.join(left)}")
    print("everything was taken back", flush=True)
    return 0


def packages() -> set[str]:
    """Everything that is installed."""
    query = ["dpkg-query", "-W", "-f", "${Package}\t${db:Status-Status}\n"]
    output = subprocess.run(query, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True)
    rows = (line.split("\t") for line in output.stdout.splitlines())
    return {name for name, status in rows if status == "installed"}


def as_user(user: str | None) -> list[str]:
    return [] if user is None else ["sudo", "--preserve-env", "-H", "-u", user]


def uninstall(checkout: str, user: str | None) -> None:
    command = [*as_user(user), "make", "-C", checkout, "uninstall", "ARGS=--yes"]
    subprocess.run(command, stdin=subprocess.DEVNULL, timeout=UNINSTALL_SECONDS, check=True)


def make_user(name: str, checkout: str) -> None:
    """Somebody with sudo and without a password, who owns the checkout."""
    run("useradd", "--create-home", "--groups", "sudo", "--shell", "/bin/bash", name)
    Path(f"/etc/sudoers.d/{name}").write_text(f"{name} ALL=(ALL) NOPASSWD:ALL\n")
    run("chown", "-R", name, checkout)


def run(*command: str) -> None:
    subprocess.run(command, stdin=subprocess.DEVNULL, timeout=60, check=True)


def start_once(checkout: str, user: str | None, *, limit: float) -> float:
    """One start and one stop; returns the seconds until ready."""
    command = [*as_user(user), "make", "-C", checkout, "run"]
    started = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    timer = threading.Timer(limit, process.kill)
    timer.start()
    ready = wait_for(process, READY)
    timer.cancel()
    if not ready:
        raise SystemExit(f"`make run` did not become ready within {limit:.0f} s (status {process.poll()})")
    seconds = time.monotonic() - started
    threading.Thread(target=wait_for, args=(process, None), daemon=True).start()
    for url in URLS:
        look_at(url)
    stop(process, checkout, user)
    return seconds


def wait_for(process: subprocess.Popen[str], text: str | None) -> bool:
    """Show the output until a line says it; False when the output ends before that."""
    for line in process.stdout or ():
        print(line, end="", flush=True)
        if text is not None and text in line:
            return True
    return False


def look_at(url: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the authority was made a minute ago
    with urllib.request.urlopen(url, timeout=30, context=context) as answer:  # noqa: S310 - our own addresses
        print(f"{url}: {answer.status}", flush=True)
        if answer.status != 200:
            raise SystemExit(f"{url} answered {answer.status}")


def stop(process: subprocess.Popen[str], checkout: str, user: str | None) -> None:
    """Stop as Ctrl-C would, and see that nothing of ours is left while libvirtd runs on."""
    command = [*as_user(user), "make", "-C", checkout, "stop"]
    subprocess.run(command, stdin=subprocess.DEVNULL, timeout=STOP_SECONDS, check=True)
    process.wait(timeout=STOP_SECONDS)
    commands = {entry: command_line(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    left = [line for line in commands.values() if any(name in line for name in OURS)]
    if left:
        raise SystemExit("still running after the stop:\n" + "\n".join(left))
    if not any("libvirtd" in line for line in commands.values()):
        raise SystemExit("libvirtd is gone; it belongs to the machine and has to stay")


def command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ.pop("CLOUDSITE_STATE_DIR", None)
    sys.exit(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))
