"""Every time-out of the operation engine, as one inequality:

    libvirt keepalive < host call < worker child's self-kill < lease < broker visibility < deadline

A child that hangs is killed before its lease can be taken by another, so two workers never act at once.
``CLOUDSITE_TIME_SCALE`` multiplies all of them (tests).
"""

from itertools import pairwise

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

KEEPALIVE = 20.0
HOST_CALL = 25.0
SELF_KILL = 50.0
LEASE = 60.0
VISIBILITY = 120.0
DEADLINE = 15 * 60.0
ALERT_UNKNOWN = 5 * 60.0
PROBE_AGAIN = 10 * 60.0
BACK_OFF_FIRST = 2.0
BACK_OFF_MOST = 30.0


def host_call() -> float:
    """Seconds that one call to a host may take."""
    return HOST_CALL * settings.TIME_SCALE


def self_kill() -> float:
    """Seconds after which Celery kills a worker child together with whatever it hangs in."""
    return SELF_KILL * settings.TIME_SCALE


def lease() -> float:
    """Seconds that a claim is valid without a sign of life."""
    return LEASE * settings.TIME_SCALE


def visibility() -> float:
    """Seconds after which Redis delivers an unacknowledged message again."""
    return VISIBILITY * settings.TIME_SCALE


def deadline() -> float:
    """Seconds after which an operation that only waits is given up."""
    return DEADLINE * settings.TIME_SCALE


def probe_again() -> float:
    """Seconds after which a host that could not be probed is tried once more."""
    return PROBE_AGAIN * settings.TIME_SCALE


def back_off(attempts: int) -> float:
    """Seconds to wait before attempt ``attempts + 1`` at a host that did not answer."""
    return float(min(BACK_OFF_FIRST * 2 ** min(attempts, 10), BACK_OFF_MOST)) * settings.TIME_SCALE


@register("cloudsite")
def timeouts_are_ordered(**_kwargs: object) -> list[CheckMessage]:
    """Refuse to start with time-outs under which a late worker could meet its successor."""
    chain = [KEEPALIVE, HOST_CALL, SELF_KILL, LEASE, VISIBILITY, DEADLINE]
    if all(left < right for left, right in pairwise(chain)):
        return []
    hint = "keepalive < host call < self-kill < lease < visibility < deadline"
    return [Error("The time-outs of the operation engine are out of order.", hint=hint, id="operations.E001")]
