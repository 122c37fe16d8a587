"""Middlewares of the whole site: the request id, which host names we answer to, and slashes."""

import ipaddress
import logging
import re
import time
import uuid
from collections.abc import Callable

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port
from django.middleware.common import CommonMiddleware
from django.utils.functional import SimpleLazyObject

from cloudsite import problems

GetResponse = Callable[[HttpRequest], HttpResponse]
log = structlog.get_logger("cloudsite.access")
LONGEST_PATH = 200
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestId:
    """One id from the click through the operation to the libvirt call, in every log line and answer."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        request.request_id = request_id  # type: ignore[attr-defined]
        begin = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self.get_response(request)
            _log_access(request, response, time.perf_counter() - begin)
        response["X-Request-ID"] = request_id
        return response


def _log_access(request: HttpRequest, response: HttpResponse, seconds: float) -> None:
    """One line per request. Never the query string: people search for names, and links may hold what opens them."""
    quiet = request.path in ("/healthz", "/readyz") or request.path.startswith(settings.STATIC_URL)
    log.log(
        logging.DEBUG if quiet else logging.INFO,
        "request",
        method=(request.method or "")[:16],
        path=request.path[:LONGEST_PATH],
        status=response.status_code,
        ms=round(seconds * 1000, 1),
        user_id=_user_id(request),
    )


def _user_id(request: HttpRequest) -> str | None:
    """Who asked, if the answer had to know; nobody is looked up for the log."""
    user = getattr(request, "_cached_user", None) or request.__dict__.get("user")
    if user is None or type(user) is SimpleLazyObject or user.pk is None:
        return None
    return str(user.pk)


class KnownHost:
    """Answer only to an IP address, ``localhost`` or a configured name.

    A DNS rebinding attack needs a name of the attacker's; an IP address in the Host header cannot be one.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        name, _port = split_domain_port(request.META.get("HTTP_HOST", ""))
        if not is_known(name):
            text = f"This name is not known here. Add it to CLOUDSITE_ALLOWED_HOSTS: {name[:100]!r}\n"
            if is_api(request):
                return problems.problem(status=400, code="request.host", detail=text.strip())
            return HttpResponse(text, status=400, content_type="text/plain; charset=utf-8")
        return self.get_response(request)


class Slashes(CommonMiddleware):
    """Pages forgive a missing last slash. The API does not: a redirected POST arrives as a GET."""

    def should_redirect_with_slash(self, request: HttpRequest) -> bool:
        return not is_api(request) and super().should_redirect_with_slash(request)


def is_api(request: HttpRequest) -> bool:
    """Whether the answer is for a program."""
    return request.path.startswith("/api/")


def is_known(name: str) -> bool:
    """Whether a Host header's name is ours: loopback, any IP address, or listed."""
    if name == "localhost" or name in settings.KNOWN_HOSTS:
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
