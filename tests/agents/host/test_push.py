"""From the buffer to the backend: over real TLS, with every answer it may give."""

import json
import ssl
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from agents.host.cloudsite_agent.buffer import Buffer
from agents.host.cloudsite_agent.identity import BACKEND, INGEST, Credentials
from agents.host.cloudsite_agent.ingest import Answer, Ingest, NoAnswer, Refused
from agents.host.cloudsite_agent.push import CATCH_UP_PAUSE, LONGEST, MOST_SAMPLES, SHORTEST, Pusher
from tests.agents.host.backend import Backend
from tests.agents.host.pki import HOST, Authority

GOOD = {"accepted": 1, "duplicates": 0, "refused": [], "schedule": {"version": 4}}


def record(number: int) -> bytes:
    return json.dumps({"at": float(number), "host": {}}).encode()


def filled(directory: Path, count: int) -> Buffer:
    buffer = Buffer(directory, most_bytes=2**22, most_seconds=86400)
    for number in range(count):
        buffer.append(record(number))
    return buffer


class Said:
    """A sender that answers what it was told to, and keeps what it was given."""

    def __init__(self, *answers: Answer | NoAnswer) -> None:
        self.answers = list(answers)
        self.sent: list[dict[str, Any]] = []

    def send(self, body: bytes) -> Answer:
        self.sent.append(json.loads(body))
        answer = self.answers.pop(0) if self.answers else said(200)
        if isinstance(answer, NoAnswer):
            raise answer
        return answer

    def ats(self) -> list[list[float]]:
        return [[sample["at"] for sample in body["samples"]] for body in self.sent]


def said(status: int, document: object = None, retry_after: float | None = None) -> Answer:
    good = GOOD if status == 200 and document is None else document
    return Answer(status=status, document=good, retry_after=retry_after)


def pusher(buffer: Buffer, sender: Said, adopt: Callable[[object], None] = lambda _: None) -> Pusher:
    return Pusher(buffer=buffer, sender=sender, head=lambda: b'{"version": 1, ', adopt=adopt, chance=lambda: 0.5)


def test_one_sample_and_then_nothing_to_do(tmp_path: Path) -> None:
    adopted: list[object] = []
    sender = Said()
    pushing = pusher(filled(tmp_path, 1), sender, adopted.append)
    assert pushing.step() is None
    assert sender.sent == [{"version": 1, "samples": [{"at": 0.0, "host": {}}]}]
    assert adopted == [{"version": 4}]
    assert pushing.step() is None
    assert len(sender.sent) == 1


def test_catching_up_goes_in_bounded_batches_with_pauses(tmp_path: Path) -> None:
    sender = Said()
    pushing = pusher(filled(tmp_path, 2 * MOST_SAMPLES + 1), sender)
    assert [pushing.step(), pushing.step(), pushing.step()] == [CATCH_UP_PAUSE, CATCH_UP_PAUSE, None]
    assert [len(ats) for ats in sender.ats()] == [MOST_SAMPLES, MOST_SAMPLES, 1]
    assert list(chain(*sender.ats())) == [float(number) for number in range(2 * MOST_SAMPLES + 1)]


def test_a_body_stays_within_what_the_backend_takes(tmp_path: Path) -> None:
    buffer = filled(tmp_path, 0)
    for number in range(6):
        buffer.append(json.dumps({"at": number, "host": {"cores": ["x" * 300_000]}}).encode())
    sender = Said()
    pushing = pusher(buffer, sender)
    while pushing.step() is not None:
        pass
    assert [len(ats) for ats in sender.ats()] == [3, 3]
    assert all(len(json.dumps(body)) < 2**20 for body in sender.sent)


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_what_the_backend_cannot_use_is_dropped(tmp_path: Path, status: int) -> None:
    sender = Said(said(status, {"code": "malformed"}))
    buffer = filled(tmp_path, 1)
    pushing = pusher(buffer, sender)
    assert pushing.step() is None
    buffer.append(record(1))
    pushing.step()
    assert sender.ats() == [[0.0], [1.0]]
    assert pushing.progress.dropped == 1


@pytest.mark.parametrize(
    ("answer", "pause"),
    [
        (said(401), LONGEST),
        (said(403), LONGEST),
        (Refused("TLS: unknown ca"), LONGEST),
        (NoAnswer("no route"), 1.5),
        (said(429), 1.5),
        (said(429, retry_after=17.0), 17.0),
        (said(503, retry_after=9999.0), LONGEST),
        (said(500), 1.5),
        (said(404), 1.5),
        (said(302), 1.5),
        (said(200, "<html>a captive portal</html>"), 1.5),
        (said(204), 1.5),
    ],
)
def test_everything_else_is_sent_again(tmp_path: Path, answer: Answer | NoAnswer, pause: float) -> None:
    sender = Said(answer)
    pushing = pusher(filled(tmp_path, 2), sender)
    assert pushing.step() == pause
    assert pushing.progress.last_error is not None
    assert pushing.step() is None
    assert sender.ats() == [[0.0, 1.0], [0.0, 1.0]]
    assert pushing.progress.last_error is None


def test_pauses_grow_to_a_minute_and_begin_anew(tmp_path: Path) -> None:
    sender = Said(*[said(500)] * 9, said(200), said(500))
    buffer = filled(tmp_path, 1)
    pushing = pusher(buffer, sender)
    pauses = [pushing.step() for _ in range(9)]
    assert pauses == [1.5, 3.0, 6.0, 12.0, 24.0, 45.0, 45.0, 45.0, 45.0]
    pushing.step()
    buffer.append(record(1))
    assert pushing.step() == 1.5


@given(
    chances=some.lists(some.floats(0, 1, exclude_max=True), min_size=1, max_size=30),
    status=some.sampled_from([429, 500]),
)
@settings(max_examples=30, deadline=None)
def test_a_pause_is_never_too_short_or_too_long(
    tmp_path_factory: pytest.TempPathFactory, chances: list[float], status: int
) -> None:
    buffer = filled(tmp_path_factory.mktemp("buffer"), 1)
    pushing = pusher(buffer, Said(*[said(status)] * len(chances)))
    for chance in chances:
        pushing._chance = lambda chance=chance: chance  # type: ignore[misc]
        pause = pushing.step()
        assert pause is not None and SHORTEST <= pause <= LONGEST
    buffer.close()


def test_garbage_in_a_good_answer_does_no_harm(tmp_path: Path) -> None:
    sender = Said(said(200, {"duplicates": "many", "refused": {"at": 1}}))
    assert pusher(filled(tmp_path, 1), sender).step() is None


# --- over TLS
@pytest.fixture
def start(authority: Authority) -> Iterator[Callable[..., Backend]]:
    started: list[Backend] = []

    def make(credentials: Credentials | None = None, *, port: int = 0) -> Backend:
        started.append(Backend(credentials or authority.issue(INGEST, server=True), port=port))
        return started[-1]

    yield make
    for backend in started:
        backend.close()


def ingest(backend: Backend, credentials: Credentials) -> Ingest:
    return Ingest("127.0.0.1", backend.server_port, credentials)


BODY = b'{"version": 1, "samples": [{"at": 1.0}]}'


def test_on_one_kept_connection(start: Callable[..., Backend], authority: Authority) -> None:
    backend = start()
    way = ingest(backend, authority.issue(HOST))
    assert way.send(BODY).status == 200
    connection = way._connection
    assert connection is not None
    assert connection.sock.version() == "TLSv1.3"
    answer = way.send(BODY)
    assert answer.document == {"accepted": 0, "duplicates": 1, "refused": [], "schedule": backend.schedule}
    assert way._connection is connection
    way.close()


def test_a_renewed_certificate_is_shown_without_a_restart(start: Callable[..., Backend], authority: Authority) -> None:
    backend = start()
    mine, renewed = authority.issue(HOST), authority.issue(HOST)
    way = ingest(backend, mine)
    way.send(BODY)
    before = way._connection
    renewed.key.replace(mine.key)
    renewed.certificate.replace(mine.certificate)
    assert way.send(BODY).status == 200
    assert way._connection is not before
    way.close()


def test_a_server_that_is_not_the_ingest_gets_nothing(start: Callable[..., Backend], authority: Authority) -> None:
    """Of our authority, and for this very address, but another role: a host that plays the backend."""
    for role in (HOST, BACKEND, None):
        backend = start(authority.issue(role, server=True))
        with pytest.raises(Refused, match="not that of the ingest"):
            ingest(backend, authority.issue(HOST)).send(BODY)
        assert backend.bodies == []


def test_a_server_of_another_authority_gets_nothing(
    start: Callable[..., Backend], authority: Authority, tmp_path: Path
) -> None:
    foreign = Authority(tmp_path, "Foreign CA").issue(INGEST, server=True)
    mixed = Credentials(ca=authority.ca, certificate=foreign.certificate, key=foreign.key)
    expired = authority.issue(INGEST, server=True, days=(-3, -1))
    client = authority.issue(INGEST)
    for credentials in (mixed, expired, client):
        backend = start(credentials)
        with pytest.raises(Refused, match="CERTIFICATE_VERIFY_FAILED"):
            ingest(backend, authority.issue(HOST)).send(BODY)
        assert backend.bodies == []


def test_a_server_that_speaks_old_tls_gets_nothing(start: Callable[..., Backend], authority: Authority) -> None:
    backend = start()
    assert isinstance(backend.socket, ssl.SSLSocket)
    backend.socket.context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(Refused):
        ingest(backend, authority.issue(HOST)).send(BODY)


def test_a_client_that_is_not_let_in_says_so(
    start: Callable[..., Backend], authority: Authority, tmp_path: Path
) -> None:
    backend = start()
    foreign = Authority(tmp_path, "Foreign CA").issue(HOST)
    mine = Credentials(ca=authority.ca, certificate=foreign.certificate, key=foreign.key)
    with pytest.raises(NoAnswer):
        ingest(backend, mine).send(BODY)
    assert backend.bodies == []


@pytest.mark.parametrize("missing", ["ca", "certificate", "key"])
def test_files_that_are_missing_are_waited_for(
    start: Callable[..., Backend], authority: Authority, missing: str
) -> None:
    mine, backend = authority.issue(HOST), start()
    getattr(mine, missing).unlink()
    with pytest.raises(NoAnswer):
        ingest(backend, mine).send(BODY)


def test_a_backend_that_goes_away_and_comes_back_has_everything_once_and_in_order(
    start: Callable[..., Backend], authority: Authority, tmp_path: Path
) -> None:
    """Errors, a lost answer, a closed port and another process on the same port, while samples go on."""
    server = authority.issue(INGEST, server=True)
    backend = start(server)
    buffer = filled(tmp_path / "buffer", 3)
    way = ingest(backend, authority.issue(HOST))
    pushing = Pusher(buffer=buffer, sender=way, head=lambda: b'{"version": 1, ', adopt=lambda _: None)
    assert pushing.step() is None
    backend.script = [500, 0, 429]
    buffer.append(record(3))
    assert all(pushing.step() is not None for _ in range(3))
    buffer.append(record(4))
    assert pushing.step() is None
    backend.close()
    for number in range(5, 300):
        buffer.append(record(number))
        if number % 100 == 0:
            assert pushing.step() is not None
    again = start(server, port=backend.server_port)
    pushing.step()
    while pushing.step() is not None:
        pass
    assert [*backend.samples, *again.samples] == [float(number) for number in range(300)]
    assert backend.duplicates == again.duplicates == 0
    way.close()


def test_an_answer_that_got_lost_makes_duplicates_that_harm_nobody(
    start: Callable[..., Backend], authority: Authority, tmp_path: Path
) -> None:
    backend = start()
    buffer = filled(tmp_path / "buffer", 2)
    way = ingest(backend, authority.issue(HOST))
    pushing = Pusher(buffer=buffer, sender=way, head=lambda: b'{"version": 1, ', adopt=lambda _: None)
    backend.headers = {"X-Long": "x" * 70_000}  # taken, but the agent cannot read that
    assert pushing.step() is not None
    backend.headers = {}
    assert pushing.step() is None
    assert list(backend.samples) == [0.0, 1.0]
    assert (backend.duplicates, pushing.progress.duplicates) == (2, 2)
    way.close()
