"""Batches as an agent sends them."""

from datetime import UTC, datetime
from typing import Any

from apps.metrics.batch import Batch

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def sample(at: float, *, guests: dict[Any, dict[str, Any]] | None = None, **host: Any) -> dict[str, Any]:
    """What was seen so many seconds after noon."""
    seen = {str(key): values for key, values in (guests or {}).items()}
    return {"at": NOON.timestamp() + at, "host": host, "guests": seen}


def body(*samples: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "agent": "0.1.0",
        "boot_id": "b",
        "machine_id": "m",
        "sent_at": NOON.timestamp(),
        "schedule": 0,
        "samples": list(samples),
        **more,
    }


def batch(*samples: dict[str, Any], **more: Any) -> Batch:
    import json

    return Batch.model_validate_json(json.dumps(body(*samples, **more)))
