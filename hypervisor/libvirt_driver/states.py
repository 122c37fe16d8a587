"""libvirt's numbers as words. The order of each tuple is libvirt's own enumeration, which only ever grows at
its end.
"""

from typing import Final

from hypervisor.specs import EventKind, Power

_POWER: Final = (
    Power.UNKNOWN,
    Power.RUNNING,
    Power.RUNNING,  # blocked on a resource
    Power.PAUSED,
    Power.RUNNING,  # being shut down
    Power.SHUTOFF,
    Power.CRASHED,
    Power.PAUSED,  # suspended by the guest's power management
)
_RUNNING: Final = (
    "unknown", "booted", "migrated", "restored", "from-snapshot", "unpaused", "migration-canceled",
    "save-canceled", "wakeup", "crashed", "postcopy", "postcopy-failed",
)  # fmt: skip
_PAUSED: Final = (
    "unknown", "user", "migration", "save", "dump", "io-error", "watchdog", "from-snapshot",
    "shutting-down", "snapshot", "crashed", "starting-up", "postcopy", "postcopy-failed", "api-error",
)  # fmt: skip
_SHUTOFF: Final = (
    "unknown", "shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from-snapshot", "daemon",
)  # fmt: skip
_REASONS: Final = (
    ("unknown",),
    _RUNNING,
    ("unknown",),
    _PAUSED,
    ("shutting-down", "shutting-down"),
    _SHUTOFF,
    ("unknown", "panicked"),
    ("power-management",),
)
NOT_OURS_TO_RESUME: Final = frozenset({"migration", "postcopy", "postcopy-failed", "starting-up"})

_EVENTS: Final = (
    (EventKind.DEFINED, ("added", "updated", "renamed", "from-snapshot")),
    (EventKind.UNDEFINED, ("removed", "renamed")),
    (EventKind.STARTED, ("booted", "migrated", "restored", "from-snapshot", "wakeup")),
    (
        EventKind.SUSPENDED,
        ("paused", "migrated", "io-error", "watchdog", "restored", "from-snapshot", "api-error",
         "postcopy", "postcopy-failed"),
    ),
    (EventKind.RESUMED, ("unpaused", "migrated", "from-snapshot", "postcopy", "postcopy-failed")),
    (
        EventKind.STOPPED,
        ("shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from-snapshot"),
    ),
    (EventKind.SHUTDOWN, ("finished", "guest", "host")),
    (EventKind.PMSUSPENDED, ("memory", "disk")),
    (EventKind.CRASHED, ("panicked", "crashloaded")),
)  # fmt: skip


def power_of(state: int, reason: int) -> tuple[Power, str]:
    if not 0 <= state < len(_POWER):
        return Power.UNKNOWN, "unknown"
    return _POWER[state], _at(_REASONS[state], reason)


def event_of(event: int, detail: int) -> tuple[EventKind, str] | None:
    """None for a kind of event this list does not know."""
    if not 0 <= event < len(_EVENTS):
        return None
    kind, details = _EVENTS[event]
    return kind, _at(details, detail)


def _at(words: tuple[str, ...], index: int) -> str:
    return words[index] if 0 <= index < len(words) else "unknown"
