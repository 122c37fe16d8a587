"""Small pictures of screens: taken from the host, made small by a process of its own, and left in the cache.

Rung by the web process, which does not wait. A host that hangs holds one thread of these and nothing else: no
console, no other host's picture for longer than its turn, and no page.
"""

import asyncio
import subprocess
import sys
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import structlog
from django.db import Error

from apps.compute.models import VM
from apps.compute.services.thumbnail import is_visible, thumbnail_keep
from console import picture
from console.threads import in_database, with_connection
from hypervisor.errors import HypervisorError
from workers.connections import connect

log = structlog.get_logger(__name__)
EVERY_SECONDS: Final = 4.0
MOST_AT_ONCE: Final = 8
MOST_WAITING: Final = 200
TAKE_SECONDS: Final = 10.0
SHRINK_SECONDS: Final = 6.0


class Thumbnails:
    """One of a host at a time, and each machine's at most every few seconds."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="console-thumbnails")
        self._rung: dict[uuid.UUID, float] = {}
        self._hosts: set[uuid.UUID] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def ring(self, vm_id: uuid.UUID) -> None:
        """Begin to take one, unless that was just done. Nothing is told: it is in the cache soon, or not."""
        now = time.monotonic()
        self._rung = {known: at for known, at in self._rung.items() if now - at < EVERY_SECONDS}
        if vm_id in self._rung or len(self._rung) >= MOST_WAITING:
            return
        self._rung[vm_id] = now
        task = asyncio.ensure_future(self._take(vm_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, vm_id: uuid.UUID) -> None:
        try:
            vm = await in_database(lambda: _to_show(vm_id))
            if vm is None or vm.host_id is None:
                return
            if vm.host_id in self._hosts:
                self._rung.pop(vm_id, None)  # whoever looks asks again, and then it may be this one's turn
                return
            png = await self._picture(vm, vm.host_id)
            await in_database(lambda: thumbnail_keep(vm_id=vm_id, png=png))
        except Error as error:
            log.info("thumbnail.database_away", vm=str(vm_id), reason=str(error))

    async def _picture(self, vm: VM, host_id: uuid.UUID) -> bytes:
        """The picture, or ``b""``. Who is not waited for any more still holds the host's turn until it is back."""
        self._hosts.add(host_id)
        taking: Future[bytes] = self._pool.submit(with_connection, lambda: _small_picture(vm))
        taking.add_done_callback(lambda _over: self._hosts.discard(host_id))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(taking), TAKE_SECONDS)
        except TimeoutError:
            log.info("thumbnail.too_slow", vm=str(vm.pk))
        except (HypervisorError, OSError, subprocess.SubprocessError) as error:
            log.info("thumbnail.not_taken", vm=str(vm.pk), reason=str(error)[:300])
        return b""


def _to_show(vm_id: uuid.UUID) -> VM | None:
    vm = VM.objects.select_related("host").filter(pk=vm_id).first()
    return vm if vm is not None and is_visible(vm) else None


def _small_picture(vm: VM) -> bytes:
    """In a thread. The domain is found by its UUID and has to carry our mark."""
    assert vm.host is not None  # noqa: S101  # is_visible
    taken = connect(vm.host).screenshot(vm.pk)
    return shrunk(taken.content)


def shrunk(content: bytes) -> bytes:
    """What a guest has drawn is read by a process that has nothing and may nothing, and is soon over."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(Path(picture.__file__))],
        input=content,
        capture_output=True,
        timeout=SHRINK_SECONDS,
        env={},
        cwd="/",
        check=True,
    )
    return done.stdout
