"""B4: from ``POST vms/`` to a VM that the API calls running, over overlay, define and start by hand."""

import json
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median

from bench.byhand import Steps, guest_spec
from bench.figures import Line, Result, Sample, at_most, milliseconds, ratio
from bench.rows import CommittedRows
from bench.surroundings import Say, Surroundings

DISK_GIB = 1
MEMORY_MIB = 128
WORK = "create: POST vms/ to running"


@dataclass(frozen=True, kw_only=True)
class Created:
    """One create through the API: seconds until 202 and until running, and when its steps began (wall clock)."""

    accepted: float
    running: float
    begin: datetime
    operation_id: str


def measure(around: Surroundings, *, repetitions: int, say: Say) -> Result:
    """Ours and by hand in turns, each as the first in every other turn."""
    ours: list[Created] = []
    hand: list[Steps] = []
    with CommittedRows(around.cloud.postgres.url) as rows:
        for turn in range(repetitions):
            say(f"create {turn + 1} of {repetitions}")
            if turn % 2:
                hand.append(_by_hand(around))
            ours.append(_ours(around, rows, f"bench-{turn}"))
            if not turn % 2:
                hand.append(_by_hand(around))
    checked = _check(around, [created.operation_id for created in ours])
    return Result(lines=[_line(ours, hand)], notes=_notes(around, ours, hand), checked=checked)


def _ours(around: Surroundings, rows: CommittedRows, name: str) -> Created:
    cloud, begin_wall, begin = around.cloud, datetime.now(UTC), time.perf_counter()
    vm, operation = cloud.ask(name, memory_mib=MEMORY_MIB, disk_gib=DISK_GIB)
    accepted = time.perf_counter()
    rows.wait(vm["id"], power="running", after=begin)
    shown = cloud.vm(vm["id"])["status"]
    running = time.perf_counter()
    if shown != "running":
        raise RuntimeError(f"{name} is {shown} after its row said running")
    cloud.succeeded(operation)
    cloud.delete(vm)
    return Created(accepted=accepted - begin, running=running - begin, begin=begin_wall, operation_id=operation["id"])


def _by_hand(around: Surroundings) -> Steps:
    spec = guest_spec(installation=around.installation, image_volume=around.image_volume, memory_mib=MEMORY_MIB)
    steps = around.by_hand.create(spec, disk_gib=DISK_GIB)
    around.by_hand.remove(spec)
    return steps


def _line(ours: list[Created], hand: list[Steps]) -> Line:
    mine, peer = Sample([created.running for created in ours]), Sample([steps.total for steps in hand])
    times = ratio(mine, peer)
    added = mine.median - peer.median
    return Line(
        work=WORK,
        ours=str(mine),
        peer=str(peer),
        ratio=f"{times:.2f} (+{milliseconds(added)})",
        must=at_most(times, 1.10, "≤ 1.10"),
        moonshot=at_most(times, 1.04, "≤ 1.04"),
    )


def _notes(around: Surroundings, ours: list[Created], hand: list[Steps]) -> list[str]:
    accepted = milliseconds(median(created.accepted for created in ours))
    by_hand = ", ".join(
        f"{name} {milliseconds(median(getattr(steps, name) for steps in hand))}"
        for name in ("volume", "define", "start")
    )
    parts = [_parts(around, created) for created in ours]
    names = list(parts[0])
    steps = ", ".join(f"{name} {milliseconds(median(part[name] for part in parts))}" for name in names)
    return [f"Create, ours: 202 after {accepted}; from the log of the worker: {steps}.", f"Create, by hand: {by_hand}."]


def _parts(around: Surroundings, created: Created) -> dict[str, float]:
    """How long each step took, by the time stamps of the worker's log."""
    marks = [("request and bell", created.begin)]
    for line in (around.cloud.state_dir / "worker.log").read_text(errors="replace").splitlines():
        if created.operation_id not in line or not line.startswith("{"):
            continue
        entry = json.loads(line)
        if entry["event"] in ("operation.claimed", "operation.step", "operation.succeeded"):
            name = entry.get("step") or entry["event"].removeprefix("operation.")
            marks.append((name, datetime.fromisoformat(entry["timestamp"])))
    return {name: (after[1] - at).total_seconds() for (name, at), after in pairwise(marks)}


def _check(around: Surroundings, operation_ids: list[str]) -> list[str]:
    """Nothing is left, nothing is claimed, everything succeeded."""
    cloud = around.cloud
    wrong = cloud.sql(
        "SELECT id, status, attempts FROM operations_operation WHERE id = ANY(%s) AND status <> 'succeeded'",
        [uuid.UUID(operation_id) for operation_id in operation_ids],
    )
    vms = cloud.sql("SELECT name FROM compute_vm")
    claims = cloud.sql("SELECT label FROM hosts_allocation WHERE kind = 'vm'")
    ((claimed, held),) = cloud.sql(
        "SELECT (SELECT sum(memory_claimed_mib) FROM hosts_host), "
        "(SELECT coalesce(sum(memory_mib), 0) FROM hosts_allocation)"
    )
    domains = around.lab_host.virsh("list", "--all", "--name").split()
    if wrong or vms or claims or claimed != held or domains:
        raise RuntimeError(f"create left something behind: {wrong} {vms} {claims} {claimed} {held} {domains}")
    return ["Create: every operation succeeded; no VM, claim or domain was left after the deletes."]
