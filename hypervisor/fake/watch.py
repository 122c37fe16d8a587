"""Events of a fake host: read from its file by a thread, since they may come from another process."""

import threading
from collections.abc import Callable
from typing import Final
from uuid import UUID

from hypervisor.fake.host import FakeHost
from hypervisor.fake.store import Body
from hypervisor.specs import EventKind, HostEvent

_POLL_SECONDS: Final = 0.01


class FakeWatch:
    """Delivers `disconnected` once when the host is unplugged or rebooted, and nothing after it."""

    def __init__(self, host: FakeHost, sink: Callable[[HostEvent], None]) -> None:
        self._host = host
        self._sink = sink
        self._over = threading.Event()
        with host.store.transaction() as state:
            self._last = state.last_event()
            self._boot_id = (state.get("host", "identity") or {})["boot_id"]
        threading.Thread(target=self._run, name="fake-watch", daemon=True).start()

    def _run(self) -> None:
        while not self._over.wait(_POLL_SECONDS):
            with self._host.store.transaction() as state:
                events = state.events_after(self._last)
                reachable = bool((state.get("host", "facts") or {})["reachable"])
                same_boot = (state.get("host", "identity") or {})["boot_id"] == self._boot_id
            if not (reachable and same_boot):
                self._over.set()
                self._sink(HostEvent(kind=EventKind.DISCONNECTED, detail="the fake host went away"))
                return
            for number, body in events:
                self._last = number
                if not self._over.is_set():
                    self._sink(_event(body))

    def close(self) -> None:
        self._over.set()


def _event(body: Body) -> HostEvent:
    return HostEvent(
        kind=EventKind(body["kind"]), detail=body["detail"], uuid=UUID(body["uuid"]), name=body["name"] or ""
    )
