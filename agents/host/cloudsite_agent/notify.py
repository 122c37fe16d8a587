"""What systemd wants to hear from a service: that it is ready, that it is alive (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def say(sentence: str) -> None:
    """Nothing happens where no one listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as talking:
        talking.sendto(sentence.encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)


def expect(interval: float) -> None:
    """A sign of life comes with every sample; without one for two intervals and a while, the service is stuck."""
    say(f"WATCHDOG_USEC={round((2 * interval + 20) * 1e6)}")
