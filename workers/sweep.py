"""Re-ringing what is due and unclaimed, or whose lease died. Runs in every worker's parent and from beat.

With this, Redis may be emptied or gone at any time: the rows are the queue.
"""

import threading
import uuid
from datetime import datetime

import structlog
from celery import bootsteps, current_app
from celery.worker import WorkController
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection

from apps.compute.selectors.schedule import schedules_due
from apps.compute.selectors.trash import vms_expired
from apps.compute.services.schedule import schedule_run
from apps.compute.services.trash import vm_expire
from apps.operations.doorbell import ring
from apps.operations.selectors import operations_due
from apps.placement.reservations import reservation_expire, reservations_expired
from workers.hearing import Hearing
from workers.heartbeat import beat, is_silent
from workers.observations import now
from workers.pulls import pulls_take_turns

log = structlog.get_logger(__name__)
INTERVAL = 5.0
MOST_EXPIRED = 20


def sweep() -> int:
    """Ring for everything that is due. Returns how many bells rang; duplicates are harmless."""
    return sum(ring(operation_id) for operation_id in operations_due().values_list("pk", flat=True))


def run_schedules() -> int:
    """Turn what people planned into operations. Every sweeper may: a row that one of them moved on is no other's."""
    at = now()
    return sum(_run_schedule(schedule_id, at) for schedule_id in schedules_due(now=at))


def _run_schedule(schedule_id: uuid.UUID, at: datetime) -> bool:
    """One that cannot be run for a reason nobody foresaw keeps no other from its time."""
    try:
        return schedule_run(schedule_id=schedule_id, now=at)
    except DatabaseError:
        raise
    except Exception:
        log.exception("schedule.internal", schedule_id=str(schedule_id))
        return False


def empty_trash() -> int:
    """Delete for good what is in the trash for too long. Every sweeper may: a row that one of them took is no other's.

    No more than a handful at a time, so that a trash that was filled at once does not hold up everything else.
    """
    at = now()
    return sum(vm_expire(vm_id=vm_id, now=at) for vm_id in vms_expired(now=at)[:MOST_EXPIRED])


def expire_reservations() -> int:
    """Give back room that nobody took in time. Every sweeper may: a row that one of them took is no other's."""
    at = now()
    return sum(reservation_expire(placement_id=placement_id, now=at) for placement_id in reservations_expired(now=at))


def ring_reconciles() -> None:
    """Ring one reconcile per host whose turn it is. Beat does; the sweepers do where beat is silent."""
    for host_id in pulls_take_turns():
        current_app.send_task("hosts.reconcile", args=[str(host_id)], ignore_result=True, retry=False, expires=30)


def ring_roll_up() -> None:
    """Ring for the roll-up of metrics, where beat is silent."""
    current_app.send_task("metrics.roll_up", ignore_result=True, retry=False, expires=60)


class Sweeper(bootsteps.StartStopStep):
    """A thread in the worker's parent, so that no beat is needed for correctness."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: WorkController, **kwargs: object) -> None:
        super().__init__(parent, **kwargs)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._hearing = Hearing()

    def start(self, parent: WorkController) -> None:
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self._thread.start()

    def stop(self, parent: WorkController) -> None:
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL * settings.TIME_SCALE):
            try:
                close_old_connections()
                beat("worker")
                run_schedules()
                empty_trash()
                expire_reservations()
                if sweep():
                    self._hearing.check()
                if is_silent("beat"):
                    ring_reconciles()
                    ring_roll_up()
            except Exception as error:
                log.warning("sweep.failed", reason=str(error))
            finally:
                connection.close()
