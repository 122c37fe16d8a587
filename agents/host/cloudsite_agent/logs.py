"""Logs: one JSON object a line on standard error, which the journal keeps and rotates."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

MOST_CHARACTERS = 1000
SECRET_WORDS = ("password", "secret", "token", "authorization", "key")


class JSONFormatter(logging.Formatter):
    """Fields come by ``extra={"fields": {…}}``. Values are cut, and what is called like a secret is left out."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry: dict[str, Any] = {
            "timestamp": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage()[:MOST_CHARACTERS],
        }
        for name, value in getattr(record, "fields", {}).items():
            secret = any(word in name.lower() for word in SECRET_WORDS)
            entry[name] = "[redacted]" if secret else _cut(value)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)[-4 * MOST_CHARACTERS :]
        return json.dumps(entry)


def _cut(value: object) -> object:
    return value if isinstance(value, int | float | None) else str(value)[:MOST_CHARACTERS]


def configure() -> None:
    """Everything from INFO on goes to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
