"""The agent's own API: who gets in, what it says, and what it does not put up with."""

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.host.cloudsite_agent import server as module
from agents.host.cloudsite_agent.agent import Agent
from agents.host.cloudsite_agent.api import API, BURST, MOST_BODY
from agents.host.cloudsite_agent.configuration import Configuration
from agents.host.cloudsite_agent.identity import BACKEND, INGEST, Credentials
from tests.agents.host.pki import HOST, Authority
from tests.agents.host.tree import ONE, TWO, Tree
from tests.waiting import wait_for

ORIGIN = "https://cloud.example"
SCHEDULE = {"version": 7, "interval": 15, "guests": True, "cores": False}


class Client:
    """One kept connection with this certificate."""

    def __init__(self, port: int, credentials: Credentials) -> None:
        context = credentials.client()
        self.connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)

    def ask(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        self.connection.request(method, path, content, {name.replace("_", "-"): text for name, text in headers.items()})
        response = self.connection.getresponse()
        text = response.read()
        is_json = "json" in response.headers.get("Content-Type", "")
        document = json.loads(text) if is_json and text else {"text": text.decode()}
        return response.status, dict(response.headers), document


@pytest.fixture
def agent(tree: Tree, authority: Authority, tmp_path: Path) -> Agent:
    """One that has taken two samples of a host with two guests."""
    mine = authority.issue(HOST, both=True)
    tree.guest(77, ONE, taps=["vnet0"])
    tree.guest(78, TWO, name='a"b\\c')
    made = Agent(
        Configuration(
            ca=mine.ca,
            certificate=mine.certificate,
            key=mine.key,
            state_dir=tmp_path / "state",
            proc=tree.proc,
            sys=tree.sys,
        )
    )
    tree.interfaces({"eth0": (1, 2), "vnet0": (3, 4)})
    made.sample()
    made.sample()
    return made


@pytest.fixture
def api(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> Iterator[API]:
    monkeypatch.setattr(module, "LOOK_EVERY", 0.05)  # also how long its end takes
    made = API(("127.0.0.1", 0), agent._credentials, agent.state, origin=ORIGIN)

    made.start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def client(api: API, authority: Authority) -> Client:
    return Client(api.server_port, authority.issue(BACKEND))


def test_what_it_says(client: Client, agent: Agent) -> None:
    assert client.ask("GET", "/healthz")[::2] == (200, {"status": "ok"})
    _, _, version = client.ask("GET", "/v1/version")
    assert version == {
        "agent": "0.1.0",
        "protocol": 1,
        "boot_id": "8c1f0f7e-0000-4000-8000-000000000001",
        "machine_id": agent.state.machine_id,
    }
    _, headers, status = client.ask("GET", "/v1/status?x=1")
    assert headers["Cache-Control"] == "no-store"
    assert status["host"]["load1"] == 1.25
    assert status["sampling"]["samples"] == 2
    assert status["buffer"]["bytes"] == 0
    assert status["push"]["last_error"] is None
    assert status["schedule"]["version"] == 0
    _, _, guests = client.ask("GET", "/v1/guests")
    assert guests["guests"].keys() == {ONE, TWO}
    assert guests["at"] == status["at"]
    assert client.ask("HEAD", "/v1/status")[0] == 200
    assert client.connection.sock.version() == "TLSv1.3"


def test_the_schedule_is_read_and_changed(client: Client, agent: Agent) -> None:
    assert client.ask("PUT", "/v1/schedule", SCHEDULE)[::2] == (200, SCHEDULE)
    assert client.ask("GET", "/v1/schedule")[2] == SCHEDULE
    assert (agent._configuration.state_dir / "schedule.json").exists()
    assert "cores" not in agent.sample()["host"]
    status, _, problem = client.ask("PUT", "/v1/schedule", SCHEDULE | {"interval": 0})
    assert (status, problem["code"]) == (422, "unusable_schedule")
    assert "interval" in problem["detail"]
    for nonsense in (b"", b"{", b"[" * 10_000, b"\xff"):
        status, headers, problem = client.ask("PUT", "/v1/schedule", nonsense)
        assert (status, problem["code"], headers["Content-Type"]) == (400, "malformed", "application/problem+json")
    assert client.ask("GET", "/v1/schedule")[2] == SCHEDULE


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/status/", 404),
        ("GET", "/v1/../etc/passwd", 404),
        ("POST", "/v1/schedule", 405),
        ("DELETE", "/v1/guests", 405),
        ("PUT", "/metrics", 405),
        ("TRACE", "/healthz", 501),
    ],
)
def test_nothing_else_is_there(client: Client, method: str, path: str, status: int) -> None:
    said, _, problem = client.ask(method, path)
    assert (said, problem["status"]) == (status, status)


def test_metrics_in_the_words_of_prometheus(client: Client) -> None:
    status, headers, answer = client.ask("GET", "/metrics")
    text = answer["text"]
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "application/openmetrics-text")
    lines = text.splitlines()
    for line in (
        'node_cpu_seconds_total{cpu="0",mode="idle"} 0.0',
        "node_load1 1.25",
        "node_memory_MemTotal_bytes 25276514304",
        'node_network_receive_bytes_total{device="eth0"} 1',
        f'libvirt_domain_interface_stats_receive_bytes_total{{domain="web",uuid="{ONE}",target_device="vnet0"}} 4',
        f'libvirt_domain_info_cpu_time_seconds_total{{domain="a\\"b\\\\c",uuid="{TWO}"}} 0.0',
        "cloudsite_agent_samples_total 2",
    ):
        assert line in lines, line
    assert lines[-1] == "# EOF"
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families)) > 15
    assert not any(family.endswith("_total") for family in families)


# --- who gets in
def status(port: int, credentials: Credentials | None) -> int | None:
    """What a request with these files is answered; None: TLS lets nothing through, not even a no. With TLS 1.3 a client
    learns that when it reads.
    """
    context = credentials.client() if credentials else ssl._create_unverified_context()  # noqa: S323  # a stranger's
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def test_without_a_certificate_of_ours_nobody_gets_in(api: API, authority: Authority, tmp_path: Path) -> None:
    port = api.server_port
    foreign = Authority(tmp_path, "Foreign CA")
    theirs = foreign.issue(BACKEND)
    assert status(port, None) is None
    assert status(port, Credentials(ca=authority.ca, certificate=theirs.certificate, key=theirs.key)) is None
    assert status(port, authority.issue(BACKEND, days=(-3, -1))) is None
    assert status(port, authority.issue(BACKEND, days=(1, 2))) is None
    assert status(port, authority.issue(BACKEND, server=True)) is None, "a server's certificate is no client's"
    assert status(port, authority.issue(BACKEND)) == 200


@pytest.mark.parametrize("role", [HOST, INGEST, None, "urn:cloudsite:backend:x", "urn:cloudsite"])
def test_another_role_of_our_authority_is_told_so_and_nothing_else(
    api: API, authority: Authority, role: str | None
) -> None:
    client = Client(api.server_port, authority.issue(role))
    for method, path in (("GET", "/healthz"), ("GET", "/none"), ("PUT", "/v1/schedule"), ("OPTIONS", "/metrics")):
        status, headers, problem = client.ask(method, path)
        assert (status, problem["code"], headers["Connection"]) == (403, "wrong_role", "close")


def test_old_tls_is_refused(api: API, authority: Authority) -> None:
    context = authority.issue(BACKEND).client()
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    connection = http.client.HTTPSConnection("127.0.0.1", api.server_port, context=context, timeout=10)
    with pytest.raises(ssl.SSLError):
        connection.connect()


def test_a_renewed_certificate_is_shown_to_the_next_connection(api: API, agent: Agent, authority: Authority) -> None:
    def serial() -> str:
        client = Client(api.server_port, authority.issue(BACKEND))
        client.ask("GET", "/healthz")
        return str(client.connection.sock.getpeercert()["serialNumber"])

    before, renewed = serial(), authority.issue(HOST, both=True)
    renewed.key.replace(agent._credentials.key)
    renewed.certificate.replace(agent._credentials.certificate)
    assert serial() != before


# --- scripts of browsers
def test_only_scripts_of_the_backends_origin_may_ask(client: Client) -> None:
    status, headers, _ = client.ask("GET", "/v1/version", Origin=ORIGIN)
    assert (status, headers["Access-Control-Allow-Origin"], headers["Vary"]) == (200, ORIGIN, "Origin")
    assert "Access-Control-Allow-Origin" not in client.ask("GET", "/v1/version")[1]
    status, headers, _ = client.ask("OPTIONS", "/v1/schedule", Origin=ORIGIN, Access_Control_Request_Method="PUT")
    assert (status, headers["Access-Control-Allow-Methods"]) == (204, "GET, PUT")
    for origin in ("https://evil.example", "null", ORIGIN + ".evil.example", ORIGIN.upper()):
        for method in ("GET", "PUT", "OPTIONS"):
            status, headers, problem = client.ask(method, "/v1/schedule", Origin=origin)
            assert (status, problem["code"]) == (403, "wrong_origin")
            assert "Access-Control-Allow-Origin" not in headers


# --- limits
def test_too_many_requests(client: Client) -> None:
    answers = [client.ask("GET", "/healthz") for _ in range(BURST + 20)]
    statuses = [status for status, _, _ in answers]
    assert statuses[:BURST] == [200] * BURST
    assert 429 in statuses
    assert answers[statuses.index(429)][1]["Retry-After"] == "1"


def test_bodies_are_bounded_and_their_length_is_known(client: Client) -> None:
    assert client.ask("PUT", "/v1/schedule", b" " * (MOST_BODY + 1))[0] == 413
    for length in ("-1", "1e3", "99999999999999999999", "²"):
        client.connection.close()
        client.connection.putrequest("PUT", "/v1/schedule")
        client.connection.putheader("Content-Length", length.encode("utf-8"))
        client.connection.endheaders()
        response = client.connection.getresponse()
        response.read()
        assert response.status == 413, length
    client.connection.close()
    assert client.ask("PUT", "/v1/schedule", b"{}", Transfer_Encoding="chunked")[0] == 411


@pytest.mark.parametrize("request_", [b"\0\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 70_000])
def test_what_is_no_request_ends_the_connection(api: API, authority: Authority, request_: bytes) -> None:
    context = authority.issue(BACKEND).client()
    with socket.create_connection(("127.0.0.1", api.server_port), 10) as plain, context.wrap_socket(plain) as secure:
        secure.sendall(request_)
        content = b"".join(iter(lambda: secure.recv(65536), b""))
    assert b'"code": "malformed"' in content
    assert status(api.server_port, authority.issue(BACKEND)) == 200


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS_HANDSHAKE", 0.3)
    monkeypatch.setattr(module, "SECONDS_IDLE", 0.3)


@pytest.mark.usefixtures("impatient")
def test_strangers_who_say_nothing_do_not_keep_the_backend_out(api: API, authority: Authority) -> None:
    """Neither one by one, nor all at once: an address has a few connections, and each has to come to the point."""
    mine = authority.issue(BACKEND)
    strangers = [socket.create_connection(("127.0.0.1", api.server_port), 10) for _ in range(30)]
    wait_for(lambda: status(api.server_port, mine) == 200, seconds=5, what="the backend's turn")
    for stranger in strangers:
        stranger.close()


@pytest.mark.usefixtures("impatient")
def test_one_who_trickles_is_cut_off(api: API) -> None:
    """A byte now and then keeps every single read alive, but not the handshake as a whole."""
    with socket.create_connection(("127.0.0.1", api.server_port), 10) as stranger:
        stranger.sendall(b"\x16\x03\x01\x02\x00")
        begin, pause = time.monotonic(), threading.Event()
        with pytest.raises(OSError):  # reset or broken pipe
            while time.monotonic() - begin < 5:
                stranger.sendall(b"\x01")
                pause.wait(0.1)
        assert time.monotonic() - begin < 3
    wait_for(lambda: not api._ends, seconds=5, what="the end of the connection")


@pytest.mark.usefixtures("impatient")
def test_an_idle_connection_is_given_up(client: Client, api: API) -> None:
    client.ask("GET", "/healthz")
    wait_for(lambda: not api._ends, seconds=5, what="the end of the connection")


def test_certificates_that_cannot_be_read_are_said_at_the_start(agent: Agent) -> None:
    agent._credentials.key.write_text("no key")
    with pytest.raises(OSError):  # its text is OpenSSL's
        API(("127.0.0.1", 0), agent._credentials, agent.state, origin=None)
