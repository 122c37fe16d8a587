"""How often one address may try a password. Whether one account is being guessed is for axes to know."""

import time

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

WINDOW_S = 60


def client_address(request: HttpRequest | Request) -> str:
    """The address a request came from, past exactly as many proxies as are configured."""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    proxies: int = settings.TRUSTED_PROXIES
    if proxies and len(forwarded) >= proxies and forwarded[-proxies].strip():
        return str(forwarded[-proxies]).strip()[:64]
    return str(request.META.get("REMOTE_ADDR", ""))


def attempts_per_minute() -> int:
    """From ``DEFAULT_THROTTLE_RATES["token"]``, spelt like ``30/min``."""
    return int(str(api_settings.DEFAULT_THROTTLE_RATES["token"]).split("/")[0])


def wait_before_attempt(*, key: str) -> int:
    """Count one attempt by ``key``. 0 when it may go on, else the seconds to wait.

    One atomic counter per minute. Without Redis nobody is held up here; axes still locks in PostgreSQL.
    """
    now = int(time.time())
    name = f"attempts:{key}:{now // WINDOW_S}"
    cache.add(name, 0, WINDOW_S * 2)
    try:
        count = cache.incr(name)
    except ValueError:
        return 0
    return 0 if count <= attempts_per_minute() else WINDOW_S - now % WINDOW_S


class AttemptThrottle(BaseThrottle):
    """The same for API views that take a password."""

    def __init__(self) -> None:
        self.seconds = 0

    def allow_request(self, request: Request, view: object) -> bool:
        self.seconds = wait_before_attempt(key=client_address(request))
        return self.seconds == 0

    def wait(self) -> float | None:
        return float(self.seconds)


class RefreshThrottle(AttemptThrottle):
    """The same for refresh tokens, counted by themselves: who signs in again is not held up by an old client."""

    def allow_request(self, request: Request, view: object) -> bool:
        self.seconds = wait_before_attempt(key=f"refresh:{client_address(request)}")
        return self.seconds == 0


class OwnAttemptThrottle(AttemptThrottle):
    """The same per person, for what asks a signed-in person for their password."""

    def allow_request(self, request: Request, view: object) -> bool:
        self.seconds = wait_before_attempt(key=f"person:{request.user.pk}")
        return self.seconds == 0
