"""The one question: asked at a terminal, never of a script, and a no changes nothing. And sudo's own question."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from bootstrap.console import confirm
from bootstrap.errors import BootstrapError
from bootstrap.root_tasks import get_ticket
from bootstrap.settings import CODE_DIR
from tests.bootstrap.test_nginx import free_ports

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="sudo's own question comes instead")


def at_a_terminal(environment: dict[str, str], answer: bytes) -> tuple[int, str]:
    """Run ``make run``'s command with a terminal as its input, and answer at once."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer)
        process = subprocess.run(
            ["/usr/bin/python3", "-m", "bootstrap", "run"],
            cwd=CODE_DIR,
            env=environment,
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return process.returncode, process.stdout + process.stderr
    finally:
        os.close(ours)
        os.close(theirs)


@needs_root
def test_a_no_changes_nothing(short_dir: Path) -> None:
    port, lan_port, ingest_port = free_ports(3)
    state = short_dir / "state"
    outside = {name: value for name, value in os.environ.items() if name not in ("CI", "CLOUDSITE_YES")}
    ours = {
        "CLOUDSITE_STATE_DIR": str(state),
        "CLOUDSITE_PORT": str(port),
        "CLOUDSITE_LAN_PORT": str(lan_port),
        "CLOUDSITE_INGEST_PORT": str(ingest_port),
        "CLOUDSITE_MACHINE_RECORD": str(short_dir / "changes.json"),
    }
    status, output = at_a_terminal(outside | ours, b"n\n")
    assert status == 1
    assert f"make the state directory {state}" in output, "the preview has to come before the question"
    assert output.index("make the state directory") < output.index("Go on?") < output.index("Nothing was changed.")
    assert list(short_dir.iterdir()) == []


@pytest.mark.parametrize("variable", ["CI", "CLOUDSITE_YES"])
def test_a_script_is_not_asked(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "1")
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("somebody was asked"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert confirm("Go on?")


@pytest.mark.parametrize(("answer", "meant"), [("", True), ("y", True), ("YES ", True), ("n", False), ("what", False)])
def test_only_a_yes_is_a_yes(monkeypatch: pytest.MonkeyPatch, answer: str, meant: bool) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("CLOUDSITE_YES", raising=False)

    class Terminal:
        @staticmethod
        def isatty() -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert confirm("Go on?") is meant


@pytest.mark.parametrize("may", [True, False], ids=["a rule without password", "a password for everything"])
def test_sudo_is_asked_only_if_it_wants_a_password(short_dir: Path, monkeypatch: pytest.MonkeyPatch, may: bool) -> None:
    """Somebody in the group sudo who also has a rule NOPASSWD: ``sudo -v`` wants a password, commands do not."""
    sudo = short_dir / "sudo"
    sudo.write_text(f"#!/bin/sh\ncase \"$*\" in '-n true') exit {0 if may else 1};; *) exit 1;; esac\n")
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{short_dir}:{os.environ['PATH']}")
    if may:
        get_ticket("Password: ")
    else:
        with pytest.raises(BootstrapError, match="sudo refused"):
            get_ticket("Password: ")
