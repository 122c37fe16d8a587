"""The connection to one host: a few links, on which every call is bounded.

A call runs in a thread of its own and may be left behind there when it does not come back; a host thus costs
at most `calls_per_host` threads, and further calls fail at once. A call that was left behind is not allowed
to begin anything new. One thread that calls one after the other, as a worker does, uses one link all the
time.
"""

import contextvars
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

import libvirt

from hypervisor.errors import HostBusy, HostUnreachable
from hypervisor.libvirt_driver.faults import translate
from hypervisor.libvirt_driver.link import Link, open_link
from hypervisor.specs import ConnectionSettings, HostAddress

T = TypeVar("T")
log = logging.getLogger("hypervisor")
_PATIENCE: Final = (
    10  # call timeouts after which a call that was left behind no longer counts: its host may be gone for good
)
_inherited: list[Link] = []  # links of a parent process: neither used nor closed here, so never collected


class _Call:
    """A call in progress; `abandoned_at` is set when nobody waits for it any more."""

    def __init__(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self.done = threading.Event()
        self.abandoned_at: float | None = None
        self.error: BaseException | None = None

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())


class _LeftBehind(HostUnreachable):
    """Nobody waits for this call any more; it may still end one way or the other."""


class Connection:
    """Opens at first use, reopens what broke, closes what is idle."""

    def __init__(self, address: HostAddress, uri: str, settings: ConnectionSettings) -> None:
        self._address = address
        self._uri = uri
        self._settings = settings
        self.pool_paths: dict[str, str] = {}
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._state = threading.Condition()
        self._calls: set[_Call] = set()
        self._idle: list[Link] = []
        self._era = 0  # a link that was lent out before `close` is not taken back after it

    # --- calling
    def run(
        self,
        name: str,
        call: Callable[[libvirt.virConnect], T],
        *,
        seconds: float | None = None,
        repeat: bool = True,
    ) -> T:
        """Do `call` and return what it returns, within `seconds` (the settings' bound by default).

        With `repeat`, a call that began on a link that turned out to be dead is done once more from its top.
        """
        limit = seconds or self._settings.call_timeout
        return self._bounded(name, lambda job: self._attempt(job, call, repeat), limit)

    def begin(self, name: str, call: Callable[[libvirt.virConnect], T], *, seconds: float) -> T | None:
        """Do `call` once; None when it is not done after `seconds`. Then it goes on, and nobody waits for it."""
        try:
            return self._bounded(name, lambda job: self._attempt(job, call, False), seconds)
        except _LeftBehind:
            return None

    def dedicate(self, name: str, call: Callable[[Link], T]) -> T:
        """Open a link for one purpose and give it away: who gets it closes it."""

        def attempt(job: _Call) -> T:
            link = open_link(self._address, self._uri, self._settings)
            try:
                _not_abandoned(job)
                return call(link)
            except BaseException as error:
                link.close()
                if isinstance(error, libvirt.libvirtError):
                    raise translate(error) from error
                raise

        return self._bounded(name, attempt, self._settings.call_timeout)

    def _bounded(self, name: str, attempt: Callable[[_Call], T], seconds: float) -> T:
        self._leave_parent_behind()
        job, results = _Call(seconds), list[T]()
        self._admit(job)

        def body() -> None:
            try:
                results.append(attempt(job))
            except BaseException as error:  # handed to the thread that waits
                job.error = error
            finally:
                self._finish(job)

        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(body,), name=f"host-{name}", daemon=True).start()
        if not job.done.wait(job.seconds_left) and self._abandon(job):
            raise _LeftBehind(f"{name}: no answer within {seconds:.0f} s")
        log.debug("host call", extra={"call": name, "seconds": round(seconds - job.seconds_left, 4)})
        if job.error is not None:
            raise job.error
        return results[0]

    def _admit(self, job: _Call) -> None:
        limit = self._settings.calls_per_host
        with self._state:
            while len(counted := self._counted()) >= limit:
                if all(other.abandoned_at is not None for other in counted):
                    raise HostBusy(f"{len(counted)} calls to this host are still unanswered")
                if not self._state.wait(job.seconds_left):
                    raise HostBusy("other calls to this host took all the time there was")
            self._calls.add(job)

    def _counted(self) -> list[_Call]:
        horizon = time.monotonic() - _PATIENCE * self._settings.call_timeout
        return [job for job in self._calls if job.abandoned_at is None or job.abandoned_at > horizon]

    def _finish(self, job: _Call) -> None:
        with self._state:
            self._calls.discard(job)
            job.done.set()
            self._state.notify_all()

    def _abandon(self, job: _Call) -> bool:
        """False when the answer came at the last moment."""
        with self._state:
            if job.done.is_set():
                return False
            job.abandoned_at = time.monotonic()
            self._state.notify_all()
            return True

    def _attempt(self, job: _Call, call: Callable[[libvirt.virConnect], T], repeat: bool) -> T:
        link, era = self._borrow()
        fresh = link is None
        if link is None:
            link = open_link(self._address, self._uri, self._settings)
        try:
            _not_abandoned(job)
            return call(link.virt)
        except libvirt.libvirtError as error:
            fault = translate(error)
            lost = isinstance(fault, HostUnreachable) and not isinstance(fault, HostBusy)
            in_time = job.seconds_left > self._settings.call_timeout / 2 and job.abandoned_at is None
            if not (lost and repeat and not fresh and in_time):
                raise fault from error
        finally:
            self._give_back(link, era)
        return self._attempt(job, call, False)

    # --- links
    def _borrow(self) -> tuple[Link | None, int]:
        """The idle link that was used last, if any is still alive."""
        while True:
            with self._state:
                link = self._idle.pop() if self._idle else None
                era = self._era
            if link is None or link.is_alive():
                return link, era
            link.close()

    def _give_back(self, link: Link, era: int) -> None:
        link.used_at = time.monotonic()
        alive = link.is_alive()
        with self._state:
            kept = alive and era == self._era
            if kept:
                self._idle.append(link)
        if not kept:
            link.close()

    def is_alive(self) -> bool:
        with self._state:
            idle, busy = list(self._idle), bool(self._counted())
        return self._pid == os.getpid() and (busy or any(link.is_alive() for link in idle))

    def close(self) -> None:
        if self._pid == os.getpid():
            self._close(lambda _link: True, era=1)

    def close_if_idle(self) -> None:
        horizon = time.monotonic() - self._settings.idle_timeout
        self._close(lambda link: link.used_at < horizon, era=0)

    def _close(self, chosen: Callable[[Link], bool], *, era: int) -> None:
        with self._state:
            self._era += era
            closing = [link for link in self._idle if chosen(link)]
            self._idle = [link for link in self._idle if link not in closing]
        for link in closing:
            link.close()

    def _leave_parent_behind(self) -> None:
        """After a fork the sockets are the parent's: closing them here would end the parent's connections."""
        if self._pid != os.getpid():
            _inherited.extend(self._idle)
            self._begin()


def _not_abandoned(job: _Call) -> None:
    if job.abandoned_at is not None:
        raise HostUnreachable("abandoned before it began")
