"""``python3 -m cloudsite_agent --config FILE [--once]``."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import VERSION, logs
from .agent import Agent
from .configuration import Configuration, UnusableConfiguration
from .guests import Guests
from .host import Host

log = logging.getLogger("cloudsite_agent")
ONCE_SECONDS = 1.0


def once(configuration: Configuration) -> None:
    """One sample on standard output, with rates over a second. Nothing is stored or sent."""
    host = Host(
        proc=configuration.proc,
        sys=configuration.sys,
        idle_watts=configuration.idle_watts,
        max_watts=configuration.max_watts,
    )
    guests, found = Guests(configuration.proc), {}
    for pause in (ONCE_SECONDS, 0.0):
        now = time.monotonic()
        values = host.values(now=now, cores=True)
        seen = guests.values(traffic=host.interfaces.traffic, now=now)
        found = {"at": round(time.time(), 3), "host": values, "guests": seen}
        time.sleep(pause)
    print(json.dumps(found))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="cloudsite_agent", description="Cloudsite's agent on a host.")
    parser.add_argument("--config", type=Path, required=True, help="the configuration, JSON")
    parser.add_argument("--once", action="store_true", help="print one sample and end: is everything seen?")
    parser.add_argument("--version", action="version", version=VERSION)
    options = parser.parse_args(arguments)
    logs.configure()
    try:
        configuration = Configuration.load(options.config)
        if options.once:
            once(configuration)
            return 0
        agent = Agent(configuration)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: agent.stop())
        agent.run()
    except UnusableConfiguration as error:
        log.critical("the configuration cannot be used", extra={"fields": {"reason": str(error)}})
        return 2
    except OSError as error:
        log.critical("the agent cannot run", extra={"fields": {"reason": str(error)}})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
