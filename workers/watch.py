"""The watch: one libvirt event connection per host, so that what happens on a host is a row within two seconds.

Run as ``python -m workers.watch``; any number may run, a lease per host in PostgreSQL decides who holds which.
An event says only where to look: the state is read from the host, and the reconcile catches what was missed.
"""

import os
import queue
import signal
import socket
import threading
import time
import uuid
from datetime import timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cloudsite.settings")
django.setup()

import structlog  # noqa: E402  # Django must be set up before models are imported
from django.conf import settings  # noqa: E402
from django.db import close_old_connections, connection  # noqa: E402
from django.db.models import Q  # noqa: E402
from django.db.models.functions import Now  # noqa: E402

from apps.hosts.models import Host, HostStatus  # noqa: E402
from hypervisor.errors import HypervisorError  # noqa: E402
from hypervisor.interface import Subscription  # noqa: E402
from hypervisor.specs import EventKind, HostEvent  # noqa: E402
from workers.connections import connect  # noqa: E402
from workers.heartbeat import beat  # noqa: E402
from workers.observations import now, vm_edited, vm_observed  # noqa: E402
from workers.reconcile import reconcile_host  # noqa: E402

log = structlog.get_logger(__name__)
LEASE_SECONDS = 15.0
ROUND_SECONDS = 3.0
OWNER = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"[:80]


class HostWatch(threading.Thread):
    """Holds the event connection of one host while the lease is ours."""

    def __init__(self, host: Host) -> None:
        super().__init__(name=f"watch-{host.name}", daemon=True)
        self.host = host
        self.events: queue.Queue[tuple[HostEvent, float] | None] = queue.Queue(maxsize=10_000)

    def run(self) -> None:
        with structlog.contextvars.bound_contextvars(host=self.host.name):
            subscription: Subscription | None = None
            try:
                subscription = connect(self.host).watch(self._enqueue)
                log.info("watch.connected")
                reconcile_host(self.host.pk)  # what happened while nobody listened
                while (entry := self.events.get()) is not None and entry[0].kind != EventKind.DISCONNECTED:
                    self._look(*entry)
                log.info("watch.ended")
            except HypervisorError as error:
                log.info("watch.no_connection", reason=error.detail)
            except Exception:
                log.exception("watch.failed")
            finally:
                if subscription is not None:
                    subscription.close()
                connection.close()

    def _enqueue(self, event: HostEvent) -> None:
        try:
            self.events.put_nowait((event, time.monotonic()))
        except queue.Full:
            log.warning("watch.flooded")  # the reconcile reads what is dropped here

    def _look(self, event: HostEvent, arrived: float) -> None:
        if event.uuid is None:
            return
        close_old_connections()
        log.debug("watch.event", vm=str(event.uuid), kind=event.kind.value, detail=event.detail)
        read_at = now()
        seen = connect(self.host).domain(event.uuid)
        if vm_observed(vm_id=event.uuid, seen=seen, read_at=read_at):
            log.info("watch.changed", vm=str(event.uuid), kind=event.kind.value, detail=event.detail)
        if (event.kind, event.detail) == (EventKind.DEFINED, "updated"):
            vm_edited(vm_id=event.uuid, seconds_ago=time.monotonic() - arrived)

    def end(self) -> None:
        """Let the thread finish; it may hang in a call for a while, and is then left to die with the process."""
        self.events.put(None)


def lease_hosts() -> list[Host]:
    """Renew the leases that are ours and take those that nobody holds. Returns the hosts that are ours now."""
    free = Q(watch_until__isnull=True) | Q(watch_until__lt=Now()) | Q(watch_owner=OWNER)
    until = Now() + timedelta(seconds=LEASE_SECONDS)
    Host.objects.filter(free, status=HostStatus.UP).update(watch_owner=OWNER, watch_until=until)
    return list(Host.objects.filter(watch_owner=OWNER, watch_until__gte=Now(), status=HostStatus.UP))


def watch_round(watches: dict[uuid.UUID, HostWatch]) -> None:
    """Have a living watch for each of our hosts, and for no other."""
    ours = {host.pk: host for host in lease_hosts()}
    for host_id in [known for known, thread in watches.items() if known not in ours or not thread.is_alive()]:
        watches.pop(host_id).end()
    for host_id, host in ours.items():
        if host_id not in watches:
            watches[host_id] = HostWatch(host)
            watches[host_id].start()


def main() -> None:
    """Watch until told to stop; a database that is away is waited for."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    watches: dict[uuid.UUID, HostWatch] = {}
    while True:
        try:
            close_old_connections()
            beat("watch")
            watch_round(watches)
        except Exception as error:
            log.warning("watch.round_failed", reason=str(error))
        if stop.wait(ROUND_SECONDS * settings.TIME_SCALE):
            break
    for thread in watches.values():
        thread.end()
    Host.objects.filter(watch_owner=OWNER).update(watch_until=None, watch_owner="")


if __name__ == "__main__":
    main()
