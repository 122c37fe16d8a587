"""The way to the backend: one kept HTTPS connection, on which both ends show who they are."""

from __future__ import annotations

import gzip
import http.client
import json
import ssl
from dataclasses import dataclass

from .identity import INGEST, Credentials, names

PATH = "/v1/samples"
SECONDS = 20.0
"""For the connection and for each read. The sampler never waits for it."""
MOST_ANSWER = 65536


class NoAnswer(Exception):
    """The backend was not reached, or did not say what became of the batch: it has to be sent again."""


class Refused(NoAnswer):
    """One end does not accept the other's certificate; trying again soon does not change that."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """``document`` is None when the answer was no JSON; ``retry_after`` is what the server asked for, in seconds."""

    status: int
    document: object
    retry_after: float | None


class Ingest:
    """Not to be used by two threads."""

    def __init__(self, host: str, port: int, credentials: Credentials) -> None:
        self._host, self._port = host, port
        self._credentials = credentials
        self._stamp: tuple[int, ...] = ()
        self._connection: http.client.HTTPSConnection | None = None

    def send(self, body: bytes) -> Answer:
        """:raises NoAnswer: whatever went wrong on the way."""
        try:
            return self._send(gzip.compress(body, 1, mtime=0))
        except ssl.SSLError as error:
            self.close()
            raise Refused(f"TLS: {error.reason or error}") from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise NoAnswer(f"{type(error).__name__}: {error}") from error
        except NoAnswer:
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, body: bytes) -> Answer:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        connection = self._connected()
        connection.request("POST", PATH, body, headers)
        response = connection.getresponse()
        content = response.read(MOST_ANSWER + 1)
        if len(content) > MOST_ANSWER:
            raise NoAnswer("the answer is too long")
        if response.will_close:
            self.close()
        return Answer(
            status=response.status,
            document=_parsed(content),
            retry_after=_seconds(response.headers.get("Retry-After")),
        )

    def _connected(self) -> http.client.HTTPSConnection:
        stamp = self._credentials.stamp()
        if stamp != self._stamp:
            self.close()  # the certificate was renewed
            self._stamp = stamp
        if self._connection is None:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=SECONDS, context=self._credentials.client()
            )
            connection.connect()
            self._connection = connection
            if not names(connection.sock.getpeercert(), INGEST):
                raise Refused("the server's certificate is not that of the ingest")
        return self._connection


def _parsed(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None
