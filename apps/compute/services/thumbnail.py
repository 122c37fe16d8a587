"""The small picture of a machine's screen on its page.

Nobody waits for a host here. The picture lies in the cache for a few seconds; where there is none or an old one, the
console process is asked to fetch one, and whoever looks asks again.
"""

import socket
import time
import uuid
from dataclasses import dataclass
from enum import StrEnum

import structlog
from django.core.cache import cache

from apps.accounts.models import Role, User
from apps.compute.models import VM
from apps.compute.selectors.vm import vm_for
from apps.compute.services.console import is_open, socket_path
from apps.errors import Forbidden
from apps.hosts.models import HostStatus

log = structlog.get_logger(__name__)
FRESH_SECONDS = 5.0
SHOWN_SECONDS = 15
FAILED_SECONDS = 20
RING_SECONDS = 0.5


class Sight(StrEnum):
    SHOWN = "shown"
    PENDING = "pending"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """``png`` is set where ``sight`` is ``shown``."""

    sight: Sight
    png: bytes = b""


def thumbnail_path(vm_id: uuid.UUID) -> str:
    """What the console process is asked for."""
    return f"/thumbnail/{vm_id}/"


def thumbnail_of(*, actor: User, vm_id: uuid.UUID) -> Thumbnail:
    """What is known of the screen now. Who may not open the console may not look over its shoulder either."""
    vm = vm_for(actor=actor, vm_id=vm_id)
    if actor.role == Role.VIEWER and not actor.is_admin:
        raise Forbidden("role.read_only", "Your role only reads.")
    if not is_visible(vm):
        return Thumbnail(sight=Sight.NONE)
    kept = cache.get(_key(vm_id))
    if kept is None:
        return Thumbnail(sight=Sight.PENDING if _ring(vm_id) else Sight.NONE)
    taken_at, png = kept
    if png and time.time() - taken_at > FRESH_SECONDS:
        _ring(vm_id)
    return Thumbnail(sight=Sight.SHOWN if png else Sight.NONE, png=png)


def is_visible(vm: VM) -> bool:
    """Whether there is a screen, and somebody to ask for it."""
    return is_open(vm) and vm.host is not None and vm.host.status == HostStatus.UP


def thumbnail_keep(*, vm_id: uuid.UUID, png: bytes) -> None:
    """The console process has looked. ``b""``: there is no picture, and for a while nobody need ask."""
    cache.set(_key(vm_id), (time.time(), png), SHOWN_SECONDS if png else FAILED_SECONDS)


def _key(vm_id: uuid.UUID) -> str:
    return f"thumbnail:{vm_id}"


def _ring(vm_id: uuid.UUID) -> bool:
    """Ask the console process, which answers before it looks. Whether it did."""
    request = (
        f"POST {thumbnail_path(vm_id)} HTTP/1.1\r\nHost: console\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(RING_SECONDS)
            connection.connect(str(socket_path()))
            connection.sendall(request.encode())
            return connection.recv(12) == b"HTTP/1.1 202"
    except OSError as error:
        log.info("thumbnail.console_away", reason=str(error))
        return False
