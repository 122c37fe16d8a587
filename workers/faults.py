"""Named places at which a test may kill this process, as ``kill -9`` would, or freeze it, as ``SIGSTOP`` does.

``CLOUDSITE_FAULTS`` names a directory. A file in it called ``<point>`` or ``<point>@<target id>`` is a fault for the
first process that comes by: it removes the file and dies, or freezes where the file says ``stop``, so the successor
gets through. Without the variable this costs one comparison.
"""

import os
import signal
import uuid
from pathlib import Path

_DIRECTORY = os.environ.get("CLOUDSITE_FAULTS")
KILLED = 137


def fault_point(name: str, target_id: uuid.UUID) -> None:
    """Die or freeze here if a test wants it. Points are named ``<kind>.<step>.<moment>``, see ``engine.Run.step``."""
    if _DIRECTORY is None:
        return
    for file in (Path(_DIRECTORY, f"{name}@{target_id}"), Path(_DIRECTORY, name)):
        try:
            action = file.read_text()
            file.unlink()
        except FileNotFoundError:
            continue
        if action == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            os._exit(KILLED)
