"""The state of a fake host: an SQLite file, so that processes share it and none can leave it half-written."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

Body = dict[str, Any]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS object (kind TEXT, key TEXT, body TEXT NOT NULL, PRIMARY KEY (kind, key));
CREATE TABLE IF NOT EXISTS event (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS fault (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
"""
_BUSY_SECONDS: Final = 20.0


class State:
    """The host within one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self, kind: str, key: str) -> Body | None:
        row = self._connection.execute("SELECT body FROM object WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        return None if row is None else json.loads(row[0])

    def all(self, kind: str) -> dict[str, Body]:
        rows = self._connection.execute("SELECT key, body FROM object WHERE kind = ? ORDER BY key", (kind,))
        return {key: json.loads(body) for key, body in rows}

    def put(self, kind: str, key: str, body: Body) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO object VALUES (?, ?, ?)", (kind, key, json.dumps(body, default=str))
        )

    def remove(self, kind: str, key: str) -> None:
        self._connection.execute("DELETE FROM object WHERE kind = ? AND key = ?", (kind, key))

    def record(self, event: Body) -> None:
        self._connection.execute("INSERT INTO event (body) VALUES (?)", (json.dumps(event, default=str),))

    def events_after(self, last: int) -> list[tuple[int, Body]]:
        rows = self._connection.execute("SELECT id, body FROM event WHERE id > ? ORDER BY id", (last,))
        return [(number, json.loads(body)) for number, body in rows]

    def last_event(self) -> int:
        row = self._connection.execute("SELECT coalesce(max(id), 0) FROM event").fetchone()
        return int(row[0])

    def faults(self) -> list[tuple[int, Body]]:
        rows = self._connection.execute("SELECT id, body FROM fault ORDER BY id")
        return [(number, json.loads(body)) for number, body in rows]

    def put_fault(self, body: Body, number: int | None = None) -> None:
        self._connection.execute("INSERT OR REPLACE INTO fault (id, body) VALUES (?, ?)", (number, json.dumps(body)))

    def remove_fault(self, number: int | None = None) -> None:
        """One, or all of them."""
        self._connection.execute("DELETE FROM fault WHERE ?1 IS NULL OR id = ?1", (number,))


class Store:
    """Opens the file anew for each transaction: safe across threads and forks, and quick enough."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._open()) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._file, timeout=_BUSY_SECONDS, isolation_level=None)
        connection.execute("PRAGMA synchronous = OFF")  # a killed process loses nothing; a power cut may
        return connection

    @contextmanager
    def transaction(self) -> Iterator[State]:
        """All of it or nothing, one process at a time."""
        with closing(self._open()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield State(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
