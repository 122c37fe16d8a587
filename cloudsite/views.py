"""Pages of the whole site: errors outside of the API's own views, and the two health endpoints."""

import sys
import time
from collections.abc import Callable

from django.conf import settings
from django.core.cache import cache
from django.db import Error, InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import loader
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from cloudsite import problems
from cloudsite.middleware import is_api

HEARTBEAT_MAX_AGE_S = 30.0
HEARTBEATS = ("worker", "beat", "watch")
BROKER_TIMEOUT_S = 0.5


def _page(template: str, *, status: int) -> HttpResponse:
    """An error page that needs neither the database nor the request."""
    return HttpResponse(loader.render_to_string(template), status=status)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's 400 and, as it arrives here too, a body over the limit."""
    if not is_api(request):
        return _page("400.html", status=400)
    return problems.problem(status=400, code="request.malformed", detail="The request cannot be read.")


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if not is_api(request):
        return _page("403.html", status=403)
    return problems.problem(status=403, code="auth.forbidden", title="Not allowed", detail="You may not do this.")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form without a valid CSRF token: mostly one that was opened before signing in again."""
    if not is_api(request):
        return _page("403.html", status=403)
    detail = "The CSRF token is missing or wrong."
    return problems.problem(status=403, code="auth.csrf", title="Not allowed", detail=detail)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if not is_api(request):
        return _page("404.html", status=404)
    slash = "" if request.path.endswith("/") else " Paths end with a slash."
    return problems.problem(status=404, code="request.not_found", detail=f"There is nothing here.{slash}")


def server_error(request: HttpRequest) -> HttpResponse:
    """An error nobody expected, or PostgreSQL being away. Django has logged it; nothing of it is shown."""
    away = isinstance(sys.exc_info()[1], (OperationalError, InterfaceError))
    if not is_api(request):
        return _page("503.html", status=503) if away else _page("500.html", status=500)
    if away:
        content = problems.database_away()
        return problems.problem(status=503, code=content["code"], detail=content["detail"])
    detail = "Something went wrong on our side. The log has the details under the request id of this answer."
    return problems.problem(status=500, code="internal", detail=detail)


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """This process is alive."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """What this process needs. Without PostgreSQL 503; without the rest 200 and ``degraded``.

    Degraded serves everything from the rows and accepts work, which starts when the missing part is back.
    """
    checks = {name: check() for name, check in CHECKS.items()}
    if checks["database"] != "up":
        status, code = "unready", 503
    else:
        status, code = ("ready" if set(checks.values()) == {"up"} else "degraded"), 200
    return JsonResponse({"status": status, "checks": checks}, status=code)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return "down"
    return "up"


def _broker() -> str:
    client = Redis.from_url(
        settings.CONFIG.redis_url,
        socket_connect_timeout=BROKER_TIMEOUT_S,
        socket_timeout=BROKER_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        client.ping()
    except (RedisError, OSError):
        return "down"
    finally:
        client.close()
    return "up"


def _heartbeat(name: str) -> str:
    """``up`` when ``name`` wrote the time into the cache within the last half minute."""
    at = cache.get(f"heartbeat:{name}")
    if not isinstance(at, (int, float)):
        return "unknown"
    return "up" if 0 <= time.time() - at <= HEARTBEAT_MAX_AGE_S * max(1.0, settings.TIME_SCALE) else "down"


CHECKS: dict[str, Callable[[], str]] = {
    "database": _database,
    "broker": _broker,
    "worker": lambda: _heartbeat("worker"),
    "beat": lambda: _heartbeat("beat"),
}
