"""B2: decisions by a real policy over the same filters and score written by hand in NumPy. No database, no network."""

import random
import time
import tracemalloc
from collections.abc import Callable, Sequence

import numpy as np

from apps.placement.engine.decide import decide
from apps.placement.engine.record import pack
from apps.placement.engine.snapshot import Bools, Floats, HostView, Request, Room, Snapshot
from apps.placement.policy.language import policy_read
from bench.figures import Limit, Line, Result, Sample, milliseconds
from bench.surroundings import Say

SIZES = (100, 1_000, 10_000)
MUST, AIM = 0.25, 0.5
POLICY = """
name: bench
filters:
  labels: {require: {disk: ssd}}
  max_vms: 60
score:
  - {metric: memory_free_share, weight: 2}
  - {metric: vcpus_free_share}
  - {metric: watts_added, prefer: low, weight: 3}
"""
SEED = 20261121


def measure(*, decisions: int, say: Say) -> Result:
    """Ours and by hand take turns on the same hosts and requests, and have to choose the same host."""
    lines, notes = [], []
    for size in SIZES:
        say(f"placement: {decisions} decisions among {size} hosts")
        hosts = some_hosts(size)
        lines.append(_line(hosts, decisions))
        notes.append(_note(hosts))
    checked = ["Placement: ours and the one by hand chose the same host every time, and none without room."]
    return Result(lines=lines, notes=notes, checked=checked)


def some_hosts(number: int) -> list[HostView]:
    """Heterogeneous and about two thirds full, always the same."""
    chance = random.Random(SEED)  # noqa: S311  # the same hosts in every run
    return [_host(f"host-{index:05}", chance) for index in range(number)]


def _host(name: str, chance: random.Random) -> HostView:
    cpus = chance.choice([8, 16, 32, 64])
    memory = cpus * chance.choice([2048, 4096, 8192])

    def claimed(limit: int) -> int:
        return int(limit * chance.uniform(0.3, 1.0))

    return HostView(
        id=name,
        name=name,
        up=chance.random() > 0.02,
        enabled=chance.random() > 0.02,
        reason="",
        architectures=("x86_64",),
        labels={"disk": chance.choice(["ssd", "ssd", "hdd"])},
        vms=chance.randrange(64),
        vcpus=Room(size=cpus, limit=8 * cpus, claimed=claimed(8 * cpus)),
        memory=Room(size=memory, limit=memory, claimed=claimed(memory)),
        disk=Room(size=4000, limit=8000, claimed=claimed(8000)),
    )


def requests(number: int) -> list[Request]:
    chance = random.Random(SEED + 1)  # noqa: S311  # the same requests in every run
    return [
        Request(vcpus=vcpus, memory_mib=vcpus * chance.choice([1024, 2048, 4096]) + 64, disk_gib=20 * vcpus)
        for vcpus in chance.choices([1, 2, 4, 8], k=number)
    ]


def by_hand(hosts: Sequence[HostView]) -> Callable[[Request], int]:
    """The index of the best host, with everything that can be known beforehand made beforehand; -1 for none."""
    fixed = np.array([h.up and h.enabled and h.labels["disk"] == "ssd" and h.vms < 60 for h in hosts])
    free = [np.array([float(r.limit - r.claimed) for r in column]) for column in _columns(hosts)]
    memory, vcpus, disk = free
    limits = [np.array([float(r.limit) for r in column]) for column in _columns(hosts)]
    cpus = np.array([float(h.vcpus.size) for h in hosts])
    busy = np.minimum(limits[1] - vcpus, cpus)
    idle = np.where(np.array([h.vms for h in hosts]) == 0, 60.0, 0.0)
    each = 120.0 / cpus

    def spread(values: Floats, fits: Bools) -> Floats:
        chosen = values[fits]
        least, most = chosen.min(), chosen.max()
        return (values - least) / (most - least) if most > least else values * 0

    def choose(request: Request) -> int:
        fits = fixed & (memory >= request.memory_mib) & (vcpus >= request.vcpus) & (disk >= request.disk_gib)
        if not fits.any():
            return -1
        watts = idle + each * (np.minimum(limits[1] - vcpus + request.vcpus, cpus) - busy)
        score = 2 * spread((memory - request.memory_mib) / limits[0], fits)
        score = score + spread((vcpus - request.vcpus) / limits[1], fits) + 3 * spread(-watts, fits)
        return int(np.argmax(np.where(fits, score, -np.inf)))

    return choose


def _columns(hosts: Sequence[HostView]) -> list[list[Room]]:
    return [[host.memory for host in hosts], [host.vcpus for host in hosts], [host.disk for host in hosts]]


def _line(hosts: Sequence[HostView], decisions: int) -> Line:
    policy, snapshot, choose = policy_read(POLICY), Snapshot(hosts), by_hand(hosts)
    ours: list[float] = []
    hand: list[float] = []
    for turn, request in enumerate(requests(decisions + 20)):
        begin = time.perf_counter()
        winner = decide(hosts=snapshot, request=request, policy=policy).winner
        between = time.perf_counter()
        index = choose(request)
        end = time.perf_counter()
        _compare(winner, hosts[index] if index >= 0 else None, request)
        if turn >= 20:  # the first ones make the columns
            ours.append(between - begin)
            hand.append(end - between)
    mine, peer = Sample(ours), Sample(hand)
    speed = peer.median / mine.median
    return Line(
        work=f"decision among {len(hosts)} hosts",
        ours=f"{1 / mine.median:.0f}/s, {mine.tail()}",
        peer=f"{1 / peer.median:.0f}/s, {peer.tail()}",
        ratio=f"{speed:.2f} of its speed",
        must=Limit(text="≥ 0.25", met=speed >= MUST),
        moonshot=Limit(text="≥ 0.5", met=speed >= AIM),
    )


def _compare(winner: HostView | None, other: HostView | None, request: Request) -> None:
    if winner is None or other is None:
        if winner is not other:
            raise RuntimeError(f"only one found a host for {request}")
        return
    fits = winner.memory.claimed + request.memory_mib <= winner.memory.limit
    if winner.name != other.name or not fits:
        raise RuntimeError(f"{winner.name} and {other.name} for {request}")


def _note(hosts: Sequence[HostView]) -> str:
    """What a decision costs beside itself."""
    begin = time.perf_counter()
    snapshot = Snapshot(hosts)
    decision = decide(hosts=snapshot, request=requests(1)[0], policy=policy_read(POLICY))
    fresh = time.perf_counter() - begin
    begin = time.perf_counter()
    kept = pack(decision)
    packing = time.perf_counter() - begin
    tracemalloc.start()
    decide(hosts=Snapshot(hosts), request=requests(1)[0], policy=policy_read(POLICY))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (
        f"Placement among {len(hosts)} hosts: the first decision on hosts just read {milliseconds(fresh)}, "
        f"packing its record {milliseconds(packing)} ({len(kept.content) / 1024:.1f} KiB); "
        f"{peak / 2**20:.1f} MiB at most."
    )
