"""Structured logs: one JSON object a line on standard error, with the request id of the click that caused it.

The supervisor (or journald) collects and rotates them. Values are bounded, and keys that hold secrets
are replaced, so that a careless call cannot leak or flood.
"""

import logging.config
from collections.abc import MutableMapping
from typing import Any

import structlog

MAX_VALUE = 4096
SECRET_WORDS = ("password", "secret", "token", "authorization", "cookie", "private_key", "user_data")
Entry = MutableMapping[str, Any]


def redact(_logger: object, _method: str, entry: Entry) -> Entry:
    """Replace the value of every key that names a secret, and cut every long string."""
    for key, value in entry.items():
        if any(word in key.lower() for word in SECRET_WORDS):
            entry[key] = "[redacted]"
        elif isinstance(value, str) and len(value) > MAX_VALUE:
            entry[key] = value[:MAX_VALUE] + "…"
    return entry


def processors() -> list[Any]:
    """What every entry passes, from us and from libraries alike."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]


def configure(*, level: str) -> None:
    """Set up structlog and the standard library's logging for this process."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "json": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": processors(),
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        structlog.processors.JSONRenderer(),
                    ],
                },
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {
                "django.server": {"level": "WARNING"},
                "axes": {"level": "WARNING"},
                # At DEBUG it writes every frame: what people type into consoles, passwords included.
                "websockets": {"level": "INFO"},
            },
        },
    )
    structlog.configure(
        processors=[*processors(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
