"""A network of its own for a bare machine: one cable to this one, and address translation to the world."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bootstrap.commands import run

SECONDS = 20.0
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network namespace with a way out."""

    name: str

    def enter(self) -> list[str]:
        """The words in front of a command that runs inside."""
        return ["ip", "netns", "exec", self.name]

    def forget(self) -> None:
        """End whatever still runs inside."""
        pids = run(["ip", "netns", "pids", self.name], timeout=SECONDS, check=False).stdout.split()
        if pids:
            run(["kill", "-KILL", *pids], timeout=SECONDS, check=False)


@contextmanager
def network() -> Iterator[Network]:
    """Make the namespace, the cable, the translation; and take all of them away again."""
    tag = f"csf{os.getpid() % 100000}"
    inner, outer, subnet = f"{tag}i", f"{tag}o", f"10.213.{os.getpid() % 250}"
    with ExitStack() as stack:
        _do(stack, ["ip", "netns", "add", tag], undo=["ip", "netns", "delete", tag])
        _do(stack, ["ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", tag])
        stack.callback(run, ["ip", "link", "delete", outer], timeout=SECONDS, check=False)
        run(["ip", "address", "add", f"{subnet}.1/24", "dev", outer], timeout=SECONDS)
        run(["ip", "link", "set", outer, "up"], timeout=SECONDS)
        inside = ["ip", "-n", tag]
        run([*inside, "address", "add", f"{subnet}.2/24", "dev", inner], timeout=SECONDS)
        run([*inside, "link", "set", inner, "up"], timeout=SECONDS)
        run([*inside, "link", "set", "lo", "up"], timeout=SECONDS)
        run([*inside, "route", "add", "default", "via", f"{subnet}.1"], timeout=SECONDS)
        _forward(stack)
        _translate(stack, table=tag, subnet=f"{subnet}.0/24", outer=outer)
        yield Network(name=tag)


def _do(stack: ExitStack, command: list[str], *, undo: list[str] | None = None) -> None:
    run(command, timeout=SECONDS)
    if undo is not None:
        stack.callback(run, undo, timeout=SECONDS, check=False)


def _forward(stack: ExitStack) -> None:
    before = FORWARDING.read_text()
    if before.strip() == "0":
        FORWARDING.write_text("1\n")
        stack.callback(FORWARDING.write_text, before)


def _translate(stack: ExitStack, *, table: str, subnet: str, outer: str) -> None:
    rules = f"""
    table ip {table} {{
        chain out {{
            type nat hook postrouting priority srcnat;
            ip saddr {subnet} oifname != "{outer}" masquerade
        }}
    }}
    """
    run(["nft", "-f", "-"], timeout=SECONDS, stdin_text=rules)
    stack.callback(run, ["nft", "delete", "table", "ip", table], timeout=SECONDS, check=False)
