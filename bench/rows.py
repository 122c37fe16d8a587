"""Being told when a VM's row is committed, without polling: a trigger notifies, PostgreSQL delivers at commit."""

import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psycopg

CHANNEL = "bench_vm"
TRIGGER = f"""
CREATE OR REPLACE FUNCTION bench_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('{CHANNEL}', NEW.id || ' ' || NEW.phase || ' ' || NEW.power);
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER bench_notify AFTER UPDATE OF power, phase ON compute_vm
FOR EACH ROW WHEN (OLD.power <> NEW.power OR OLD.phase <> NEW.phase) EXECUTE FUNCTION bench_notify();
"""
LOOK_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Change:
    """A committed change of a VM's row, and when (``time.perf_counter``) we were told."""

    vm_id: str
    phase: str
    power: str
    at: float


class CommittedRows:
    """Listens in a thread of its own, so that a change is stamped while the caller is inside libvirt."""

    def __init__(self, database_url: str) -> None:
        self._connection = psycopg.connect(database_url, autocommit=True)
        self._changed = threading.Condition()
        self._changes: list[Change] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="rows", daemon=True)

    def __enter__(self) -> Self:
        self._connection.execute(TRIGGER)
        self._connection.execute(f"LISTEN {CHANNEL}")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(timeout=5 * LOOK_SECONDS)
        self._connection.execute("DROP TRIGGER bench_notify ON compute_vm")
        self._connection.close()

    def _listen(self) -> None:
        while not self._over.is_set():
            for notice in self._connection.notifies(timeout=LOOK_SECONDS, stop_after=1):
                at = time.perf_counter()
                vm_id, phase, power = notice.payload.split()
                with self._changed:
                    self._changes.append(Change(vm_id=vm_id, phase=phase, power=power, at=at))
                    self._changed.notify_all()

    def wait(self, vm_id: str, *, power: str, after: float, seconds: float = 60) -> Change:
        """The first commit of this ready VM with this power since ``after``."""
        end = time.perf_counter() + seconds
        with self._changed:
            while True:
                for change in self._changes:
                    if (change.vm_id, change.phase, change.power) == (vm_id, "ready", power) and change.at >= after:
                        return change
                if not self._changed.wait(max(0.0, end - time.perf_counter())):
                    raise TimeoutError(f"{vm_id} was not {power} within {seconds:.0f} s")
