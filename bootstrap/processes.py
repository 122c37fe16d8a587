"""Processes by identity, not by number: a pid that was used again is never taken for the one we started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

from bootstrap.commands import kill_group
from bootstrap.waiting import wait_until

KILL_SECONDS = 10.0
LEFTOVER_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class ProcessId:
    """A process, across reboots and pid reuse.

    ``started`` is the kernel's start time in clock ticks since boot.
    """

    pid: int
    started: int
    boot_id: str


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/<pid>/stat`` after the program's name, which may hold spaces itself."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def identify(pid: int) -> ProcessId | None:
    """The identity of a living process; a zombie is none."""
    try:
        fields = _stat(pid)
    except (OSError, ValueError):
        return None
    if fields[0] in ("Z", "X"):
        return None
    return ProcessId(pid=pid, started=int(fields[19]), boot_id=boot_id())


def is_alive(process: ProcessId) -> bool:
    return identify(process.pid) == process


def group_members(group: int) -> list[int]:
    """Living processes of a process group."""
    members = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = _stat(int(entry.name))
        except (OSError, ValueError):
            continue
        if fields[0] not in ("Z", "X") and int(fields[2]) == group:
            members.append(int(entry.name))
    return members


def write_pid_file(path: Path, pid: int) -> None:
    process = identify(pid)
    if process is not None:
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(process)))
        temporary.replace(path)


def read_pid_file(path: Path) -> ProcessId | None:
    try:
        return ProcessId(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def belongs_to(group: int, state_dir: Path) -> bool:
    """Whether a group without its leader is this installation's: its environment names the directory."""
    marker = f"CLOUDSITE_STATE_DIR={state_dir}".encode()
    for pid in group_members(group):
        try:
            if marker in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False


def end_leftovers(pid_dir: Path, state_dir: Path) -> list[str]:
    """End what a supervisor that was killed left behind, and return the names.

    All are asked at once and share one limited wait: whatever they were doing is safe against being killed.
    """
    left: dict[str, ProcessId] = {}
    files = sorted(pid_dir.glob("*.pid"))
    for path in files:
        process = read_pid_file(path)
        if process is None or process.boot_id != boot_id():
            continue
        leader_gone = identify(process.pid) is None
        if is_alive(process) or (leader_gone and belongs_to(process.pid, state_dir)):
            left[path.stem] = process
    for name, process in left.items():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, signal.SIGINT if name == "postgres" else signal.SIGTERM)
    wait_until(lambda: not any(is_alive(process) for process in left.values()), timeout=LEFTOVER_SECONDS)
    for process in left.values():
        kill_group(process.pid)
    wait_until(lambda: not any(group_members(process.pid) for process in left.values()), timeout=KILL_SECONDS)
    for path in files:
        path.unlink(missing_ok=True)
    return list(left)
