"""B8b: what happens on a host beside us, from libvirt's event to the committed row."""

import threading
import time
import uuid

from bench.figures import Line, Result, Sample, at_most, milliseconds
from bench.rows import CommittedRows
from bench.surroundings import Say, Surroundings
from hypervisor.libvirt_driver import LibvirtHypervisor
from hypervisor.specs import HostEvent

EVENT_SECONDS = 20.0
POWER = {"started": "running", "stopped": "shutoff"}


class BareListener:
    """When libvirt's events reach a listener that does nothing with them."""

    def __init__(self, around: Surroundings) -> None:
        self._changed = threading.Condition()
        self._events: list[tuple[float, HostEvent]] = []
        by_hand = around.by_hand
        self._driver = LibvirtHypervisor(by_hand.address, by_hand.settings, around.installation)
        self._subscription = self._driver.watch(self._arrived)

    def _arrived(self, event: HostEvent) -> None:
        with self._changed:
            self._events.append((time.perf_counter(), event))
            self._changed.notify_all()

    def wait(self, vm_id: str, kind: str, *, after: float) -> float:
        """When the first such event since ``after`` came."""
        wanted, end = uuid.UUID(vm_id), time.perf_counter() + EVENT_SECONDS
        with self._changed:
            while True:
                for at, event in self._events:
                    if at >= after and event.uuid == wanted and event.kind.value == kind:
                        return at
                if not self._changed.wait(max(0.0, end - time.perf_counter())):
                    raise TimeoutError(f"no event {kind} of {vm_id}")

    def close(self) -> None:
        self._subscription.close()
        self._driver.close()


def measure(around: Surroundings, *, repetitions: int, say: Say) -> Result:
    """Destroy and start one VM by hand; beat is off, so that nobody but the watch can see it."""
    cloud = around.cloud
    cloud.kill("beat")
    vm = cloud.create("events")
    domain = around.by_hand.virt.lookupByUUID(uuid.UUID(vm["id"]).bytes)
    listener = BareListener(around)
    from_event: list[float] = []
    from_call: list[float] = []
    with CommittedRows(cloud.postgres.url) as rows:
        for turn in range(repetitions):
            say(f"event {2 * turn + 1} and {2 * turn + 2} of {2 * repetitions}")
            for act, kind in ((domain.destroy, "stopped"), (domain.create, "started")):
                begin = time.perf_counter()
                act()
                returned = time.perf_counter()
                event_at = listener.wait(vm["id"], kind, after=begin)
                row = rows.wait(vm["id"], power=POWER[kind], after=begin, seconds=EVENT_SECONDS)
                from_event.append(row.at - event_at)
                from_call.append(max(0.0, row.at - returned))
    listener.close()
    checked = _check(around, vm["id"], 2 * repetitions)
    cloud.delete(vm)
    return Result(lines=[_line(Sample(from_event))], notes=[_note(Sample(from_call))], checked=checked)


def _line(sample: Sample) -> Line:
    p99 = sample.percentile(99)
    return Line(
        work="event of a host to committed row",
        ours=sample.tail(),
        peer="bare listener: 0",
        ratio="-",
        must=at_most(p99, 0.250, "p99 ≤ 250 ms"),
        moonshot=at_most(p99, 0.050, "p99 ≤ 50 ms"),
    )


def _note(sample: Sample) -> str:
    p50, p99 = milliseconds(sample.median), milliseconds(sample.percentile(99))
    return f"Events: from the return of destroy or start by hand to the committed row p50 {p50}, p99 {p99}."


def _check(around: Surroundings, vm_id: str, wanted: int) -> list[str]:
    """Each change was told once in the history."""
    ((told,),) = around.cloud.sql(
        "SELECT count(*) FROM events_event WHERE target_id = %s AND kind IN ('vm.started', 'vm.stopped')",
        uuid.UUID(vm_id),
    )
    if told != wanted:
        raise RuntimeError(f"{wanted} changes by hand became {told} events in the history")
    return [f"Events: {wanted} changes by hand are {told} entries of the VM's history."]
