"""A private Redis: one Unix socket, every write on disk, nothing ever evicted."""

from __future__ import annotations

import socket
from pathlib import Path

from bootstrap.packages import redis_server


def command(data: Path, socket_path: Path, *, links: Path) -> list[str]:
    """The server in the foreground.

    :param links: a directory for the link that gives Debian's binary the name it acts by.
    """
    return [
        str(redis_server(links)),
        *("--port", "0"),
        *("--unixsocket", str(socket_path)),
        *("--unixsocketperm", "770"),
        *("--dir", str(data)),
        *("--appendonly", "yes"),
        *("--maxmemory-policy", "noeviction"),
        *("--databases", "64"),
        *("--daemonize", "no"),
        *("--save", ""),
    ]


def is_ready(socket_path: Path) -> bool:
    """Whether the server answers; while it loads its file it says so instead."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2)
            connection.connect(str(socket_path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False
