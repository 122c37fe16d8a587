"""The agent as a process of its own, under the system's Python and nothing else, against a real backend."""

import ast
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.host.cloudsite_agent import notify
from agents.host.cloudsite_agent.configuration import Configuration, UnusableConfiguration
from agents.host.cloudsite_agent.identity import INGEST
from tests.agents.host.backend import HANG, Backend
from tests.agents.host.pki import HOST, Authority
from tests.agents.host.tree import ONE, Tree
from tests.waiting import wait_for

PACKAGE = Path(__file__).resolve().parents[3] / "agents" / "host" / "cloudsite_agent"
EVERY_SECOND = {"version": 1, "interval": 1, "guests": True, "cores": True}
FILES = {"ca": "/a/ca.crt", "certificate": "/a/a.crt", "key": "/a/a.key", "state_dir": "/a/state"}


@pytest.fixture
def configure(tree: Tree, tmp_path: Path, authority: Authority) -> Callable[..., Path]:
    """Write the configuration of an agent that sees the tree with one guest in it, every second."""
    tree.guest(77, ONE)
    mine = authority.issue(HOST)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "schedule.json").write_text(json.dumps(EVERY_SECOND))

    def write(**fields: object) -> Path:
        document = {
            "ca": str(mine.ca),
            "certificate": str(mine.certificate),
            "key": str(mine.key),
            "state_dir": str(tmp_path / "state"),
            "proc": str(tree.proc),
            "sys": str(tree.sys),
        }
        (tmp_path / "agent.json").write_text(json.dumps(document | fields))
        return tmp_path / "agent.json"

    return write


@pytest.fixture
def backend(authority: Authority) -> Iterator[Backend]:
    made = Backend(authority.issue(INGEST, server=True))
    made.schedule = EVERY_SECOND
    yield made
    made.close()


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Without site packages: only what Debian's python3 brings."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            ["/usr/bin/python3", "-S", "-m", "cloudsite_agent", "--config", *map(str, arguments)],
            env={"PYTHONPATH": str(PACKAGE.parent), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate(timeout=10)


def test_nothing_but_pythons_own_library_is_imported() -> None:
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert {name.name.split(".")[0] for name in node.names} <= sys.stdlib_module_names, path
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert (node.module or "").split(".")[0] in sys.stdlib_module_names, path


def test_killed_and_started_again_with_the_backend_away_in_between(
    configure: Callable[..., Path], backend: Backend, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """Samples keep to full seconds whatever the backend does; none is lost that was taken, none comes twice, all come
    in order.
    """
    port = backend.server_port
    configuration = configure(ingest=f"https://127.0.0.1:{port}")
    first = start(configuration)
    backend.wait(1)
    backend.script = [HANG] + [503] * 100
    wait_for(lambda: len(backend.script) < 100, seconds=10, what="a sample that is not taken")
    first.kill()
    first.wait(timeout=10)
    backend.script = []
    second = start(configuration)
    ats = backend.wait(4)
    assert ats == sorted(ats)
    assert backend.duplicates == 0
    seconds = [round(at) for at in ats]
    assert seconds[:4] == list(range(seconds[0], seconds[0] + 4)), "one was late, or left out"
    body = backend.bodies[-1]
    assert (body["version"], body["schedule"], body["boot_id"]) == (1, 1, "8c1f0f7e-0000-4000-8000-000000000001")
    assert body["samples"][-1]["guests"].keys() == {ONE}
    backend.schedule = EVERY_SECOND | {"version": 2, "guests": False}
    wait_for(lambda: "guests" not in backend.bodies[-1]["samples"][-1], seconds=10, what="the other schedule")
    second.send_signal(signal.SIGTERM)
    _, said = second.communicate(timeout=10)
    assert second.returncode == 0
    entries = [json.loads(line) for line in said.splitlines()]
    assert [entry["event"] for entry in entries] == ["started", "another schedule", "stopped"]
    assert "PRIVATE KEY" not in said


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ingest": "http://127.0.0.1:1"}, "ingest"),
        ({"ingest": "https://"}, "ingest"),
        ({"ingest": "https://h:99999"}, "ingest"),
        ({"ingest": "https://user@h:1"}, "ingest"),
        ({"ingest": 5}, "ingest"),
        ({"listen": "8422"}, "listen"),
        ({"listen": "127.0.0.1:x"}, "listen"),
        ({"listen_key": "/a/b"}, "listen_certificate, listen_key"),
        ({"ca": "relative.crt"}, "ca"),
        ({"key": None}, "missing: key"),
        ({"idle_watts": -1}, "idle_watts"),
        ({"idle_watts": True}, "idle_watts"),
        ({"idle_watts": 90, "max_watts": 20}, "max_watts"),
        ({"buffer_bytes": 10}, "buffer_bytes"),
        ({"buffer_hours": 0}, "buffer_hours"),
        ({"backend_origin": "https://a/b"}, "backend_origin"),
        ({"ingress": "x"}, "unknown: ingress"),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(change: dict[str, object], named: str) -> None:
    with pytest.raises(UnusableConfiguration, match=named):
        Configuration.parse(FILES | change)


def test_a_right_configuration() -> None:
    rest: dict[str, Any] = {"ingest": "https://[::1]:8421", "listen": "[::1]:8422", "buffer_bytes": 2**20}
    made = Configuration.parse(FILES | rest | {"backend_origin": "https://cloud.example"})
    assert made.ingest_address == ("::1", 8421)
    assert made.listen_address == ("::1", 8422)
    assert made.proc == Path("/proc")


@pytest.mark.parametrize("content", ["", "[]", "{", "null", "\0"])
def test_a_file_that_is_no_configuration(tmp_path: Path, content: str) -> None:
    (tmp_path / "agent.json").write_text(content)
    with pytest.raises(UnusableConfiguration, match=r"agent\.json"):
        Configuration.load(tmp_path / "agent.json")


def test_a_configuration_that_cannot_be_used_ends_the_agent(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    (tmp_path / "agent.json").write_text('{"ca": 1}')
    process = start(tmp_path / "agent.json")
    _, said = process.communicate(timeout=10)
    assert process.returncode == 2
    assert json.loads(said)["reason"] == "ca: an absolute path is wanted"


def test_systemd_is_told_what_it_wants_to_hear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        notify.say("READY=1")
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify.say("WATCHDOG=1")
        assert systemd.recv(100) == b"WATCHDOG=1"
    notify.say("nobody listens any more")
