"""A guard before a directory is deleted: nothing may be mounted below it."""

from pathlib import Path

from lab.errors import LabError


def refuse_if_mounted(directory: Path) -> None:
    """Raise if a file system is mounted at or below `directory`: deleting would reach into it."""
    prefix = f"{directory}/"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        target = line.split()[4]
        if f"{target}/".startswith(prefix):
            raise LabError(f"{target} is still mounted; not deleting {directory}")
