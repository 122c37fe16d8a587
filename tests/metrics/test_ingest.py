"""The door of the ingest: real TLS on loopback, and who gets through it with what."""

import asyncio
import gzip
import http.client
import json
import socket
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from apps.hosts import certificates
from tests.metrics.reports import NOON, body, sample
from tests.waiting import wait_for
from workers import ingest

Answer = tuple[int, dict[str, Any]]
HOST = uuid.UUID("00000000-0000-4000-8000-000000000001")


@pytest.fixture
def port(own_state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A running ingest of an installation of its own."""
    monkeypatch.setattr(ingest, "WRITERS", 1)
    certificates.ca_ensure()
    certificates.ingest_certificate_ensure(names=["localhost", "127.0.0.1"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    server = ingest.server(host="127.0.0.1", port=number)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started, seconds=10, what="the ingest")
    yield number
    server.should_exit = True
    thread.join(10)
    server.config.app.writers.submit(connections.close_all).result(10)


def context(tmp_path: Path, issued: Any = None) -> ssl.SSLContext:
    """A client that trusts our authority and shows this certificate."""
    made = ssl.create_default_context(cafile=str(certificates.pki_dir() / "ca.crt"))
    if issued is not None:
        file = tmp_path / f"{uuid.uuid4()}.pem"
        file.write_text(issued.certificate + issued.key)
        made.load_cert_chain(file)
    return made


def agent(tmp_path: Path, host_id: uuid.UUID = HOST) -> ssl.SSLContext:
    return context(tmp_path, certificates.agent_certificate_issue(host_id=host_id))


def send(
    port: int, tls: ssl.SSLContext, content: Any, *, method: str = "POST", path: str = ingest.PATH, **headers: str
) -> Answer:
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=10)
    try:
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, payload, {"Content-Type": "application/json", **given})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def foreign_agent(tmp_path: Path, settings: Any) -> Any:
    """A certificate for our host, by the authority of somebody else."""
    ours, settings.STATE_DIR = settings.STATE_DIR, tmp_path / "elsewhere"
    issued = certificates.agent_certificate_issue(host_id=HOST)
    settings.STATE_DIR = ours
    return issued


class TestCertificates:
    """Nothing of HTTP is reached without one of ours."""

    def refused(self, port: int, tls: ssl.SSLContext) -> None:
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            send(port, tls, body())

    def test_strangers_get_nowhere(self, port: int, tmp_path: Path, settings: Any) -> None:
        self.refused(port, context(tmp_path))
        self.refused(port, context(tmp_path, foreign_agent(tmp_path, settings)))
        server = certificates.certificate_issue(common_name="h1", names=[f"urn:cloudsite:host:{HOST}"], server=True)
        self.refused(port, context(tmp_path, server))
        old = agent(tmp_path)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        self.refused(port, old)

    def test_expired(self, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(certificates, "LEAF_DAYS", 0)  # ended an hour ago less than nothing
        issued = certificates.agent_certificate_issue(host_id=HOST)
        self.refused(port, context(tmp_path, issued))

    def test_ours_that_are_no_agents(self, port: int, tmp_path: Path) -> None:
        certificates.backend_certificate_ensure()
        backend = context(tmp_path)
        backend.load_cert_chain(certificates.keys_dir() / "backend.crt", certificates.keys_dir() / "backend.key")
        libvirt = certificates.certificate_issue(common_name=certificates.CLIENT_NAME, server=False)
        for tls in (backend, context(tmp_path, libvirt)):
            status, problem = send(port, tls, body())
            assert (status, problem["code"]) == (403, "metrics.no_agent")

    def test_the_server_says_what_it_is(self, port: int, tmp_path: Path) -> None:
        plain = socket.create_connection(("127.0.0.1", port), 10)
        with agent(tmp_path).wrap_socket(plain, server_hostname="localhost") as shown:
            assert ("URI", "urn:cloudsite:ingest") in shown.getpeercert()["subjectAltName"]  # type: ignore[index]
            assert shown.version() == "TLSv1.3"


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What would be kept, instead of keeping it."""
    came: list[bytes] = []
    monkeypatch.setattr(ingest, "store", lambda _host, content: came.append(content) or {"accepted": 1})
    return came


def test_what_is_no_batch_is_refused(port: int, tmp_path: Path, no_database: list[bytes]) -> None:
    """Each with the status that tells the agent not to try it again."""
    tls, large = agent(tmp_path), b"x" * (ingest.MOST_BYTES + 1)
    packed = gzip.compress(json.dumps(body()).encode())
    for expected, code, arguments in [
        (404, "request.not_found", {"content": body(), "path": "/"}),
        (404, "request.not_found", {"content": b"", "method": "GET"}),
        (413, "request.too_large", {"content": large}),
        (413, "request.too_large", {"content": gzip.compress(large), "Content_Encoding": "gzip"}),
        (415, "request.media_type", {"content": body(), "Content_Type": "text/plain"}),
        (415, "request.encoding", {"content": body(), "Content_Encoding": "br"}),
        (400, "request.gzip", {"content": b"no", "Content_Encoding": "gzip"}),
        (400, "request.gzip", {"content": packed[:-9], "Content_Encoding": "gzip"}),
        (400, "request.gzip", {"content": packed * 2, "Content_Encoding": "gzip"}),
    ]:
        status, problem = send(port, tls, **arguments)  # type: ignore[arg-type]
        assert (status, problem["code"]) == (expected, code), arguments
    assert no_database == []
    assert send(port, tls, packed, Content_Encoding="gzip") == (200, {"accepted": 1})
    assert json.loads(no_database[0]) == body()


def test_a_host_that_sends_without_end_harms_no_other(port: int, tmp_path: Path, no_database: list[bytes]) -> None:
    first, second = agent(tmp_path), agent(tmp_path, uuid.uuid4())
    answers = [send(port, first, body())[0] for _time in range(int(ingest.BURST) + 3)]
    assert answers[: int(ingest.BURST)] == [200] * int(ingest.BURST)
    assert 429 in answers
    assert send(port, second, body())[0] == 200


def test_too_many_at_once_are_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> list[dict[str, Any]]:
        door, said = ingest.Ingest(), []
        door.waiting = ingest.MOST_WAITING

        async def tell(message: dict[str, Any]) -> None:
            said.append(message)

        async def nothing() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        scope = {"state": {"host_id": HOST}, "method": "POST", "path": ingest.PATH, "headers": []}
        await door(scope, nothing, tell)
        return said

    start, content = asyncio.run(run())
    assert start["status"] == 503
    assert (b"retry-after", b"2") in start["headers"]
    assert json.loads(content["body"])["code"] == "metrics.busy"


@pytest.mark.django_db(transaction=True)
def test_from_the_agent_to_the_row(
    port: int, tmp_path: Path, host: Any, machines: list[uuid.UUID], kept: Callable[..., Any], monkeypatch: Any
) -> None:
    monkeypatch.setattr(ingest, "now", lambda: NOON)
    guests = {machines[0]: {"cpu": 0.5}, uuid.uuid4(): {"cpu": 9.0}}
    sent = body(sample(0, cpu=0.25, guests=guests), sample(700, cpu=0.5))
    tls = agent(tmp_path, host.pk)
    status, answer = send(port, tls, sent)
    assert status == 200
    assert (answer["accepted"], answer["duplicates"]) == (1, 0)
    assert answer["refused"] == [{"at": NOON.timestamp() + 700, "reason": "clock"}]
    assert answer["schedule"]["interval"] == 5
    assert send(port, tls, sent)[1]["duplicates"] == 1
    assert [row["cpu"] for row in kept("host", "raw", host.pk)] == [0.25]
    assert [row["cpu"] for row in kept("vm", "raw", machines[0])] == [0.5]
    for wrong, expected, code in [
        (b"{", 400, "request.unparsable"),
        (body(sample(0, cpu=-1)), 422, "metrics.batch"),
        (body(version=2), 422, "metrics.batch"),
    ]:
        status, problem = send(port, tls, wrong)
        assert (status, problem["code"]) == (expected, code)
    status, problem = send(port, agent(tmp_path, uuid.uuid4()), body(sample(0)))
    assert (status, problem["code"]) == (403, "metrics.unknown_host")
