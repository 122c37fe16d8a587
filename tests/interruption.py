"""A run in several processes that is interrupted lets each of them take away what it made: its lab, its cloud.

Left alone, xdist interrupts them again after five seconds, in the middle of that, and kills them after ten.
"""

import contextlib
import time

import pytest

TAKE_AWAY_SECONDS = 60.0


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    crowd = session.config.pluginmanager.get_plugin("dsession")
    if crowd is None or exitstatus != pytest.ExitCode.INTERRUPTED:
        return
    nodes = list(crowd._active_nodes)
    for node in nodes:
        node.shutdown()
    until = time.monotonic() + TAKE_AWAY_SECONDS
    for node in nodes:
        with contextlib.suppress(node.channel.RemoteError, node.channel.TimeoutError, EOFError):
            node.channel.waitclose(timeout=max(0.1, until - time.monotonic()))
