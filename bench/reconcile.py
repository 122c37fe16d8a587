"""B8a: our reconcile of a whole host over one bulk call by hand. Needs Django set up (``surroundings.inside``)."""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from apps.accounts.models import User
from apps.compute.models import VM, DesiredPower, Nic, Phase, Power
from apps.hosts.models import Host
from apps.network.models import Network
from bench.byhand import guest_spec, off_spec
from bench.figures import Limit, Line, Result, Sample, at_most, milliseconds, ratio
from bench.surroundings import Say, Surroundings
from workers.observations import now
from workers.reconcile import reconcile_host

CHANGED_SHARE = 0.01


def measure(around: Surroundings, *, sizes: Sequence[int], repetitions: int, say: Say) -> Result:
    """With more and more domains on the host: only the largest number is judged, as the fixed part vanishes in it."""
    for name in ("beat", "watch", "worker"):
        around.cloud.kill(name)  # nobody else reads the host now
    host = Host.objects.get(pk=uuid.UUID(around.host["id"]))
    lines: list[Line] = []
    checked: list[str] = []
    vm_ids: list[uuid.UUID] = []
    for domains in sizes:
        say(f"defining {domains} domains")
        vm_ids += _define(around, host, range(len(vm_ids), domains))
        times = _times(around, host, vm_ids, repetitions, say)
        lines += _lines(domains, times, judged=domains == max(sizes))
        checked += _check(host, vm_ids, around.by_hand.bulk())
    return Result(lines=lines, checked=checked)


@dataclass(frozen=True, kw_only=True)
class Times:
    """Of our pass with nothing changed and with some rows changed, of one bulk call, and of asking each."""

    same: Sample
    changed: Sample
    bulk: Sample
    loop: Sample


def _times(around: Surroundings, host: Host, vm_ids: list[uuid.UUID], repetitions: int, say: Say) -> Times:
    """Nothing differs, then 1 % of the rows differ, and by hand one bulk call and the loop, in turns."""
    _pass(host)
    around.by_hand.bulk()
    same, changed, bulk, loop = [], [], [], []
    for turn in range(repetitions):
        say(f"reconcile {turn + 1} of {repetitions}")
        same.append(_timed(lambda: _pass(host)))
        bulk.append(_timed(around.by_hand.bulk))
        _pretend_running(vm_ids, turn)
        changed.append(_timed(lambda: _pass(host)))
        bulk.append(_timed(around.by_hand.bulk))
        loop.append(_timed(around.by_hand.loop))
    return Times(same=Sample(same), changed=Sample(changed), bulk=Sample(bulk), loop=Sample(loop))


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _pass(host: Host) -> None:
    if not reconcile_host(host.pk):
        raise RuntimeError("the host was not read")


def _define(around: Surroundings, host: Host, numbers: range) -> list[uuid.UUID]:
    """So many guests that are off on the host, each with a row and a network card here."""
    owner, network = User.objects.get(username="admin"), Network.objects.get(host=host)
    spec = guest_spec(installation=around.installation, image_volume=around.image_volume, memory_mib=128)
    vms, nics = [], []
    for index in numbers:
        name = f"idle-{index:05d}"
        vm = VM(
            owner=owner, name=name, created_name=name, host=host, vcpus=1, memory_mib=128, disk_gib=1,
            phase=Phase.READY, power=Power.SHUTOFF, desired_power=DesiredPower.OFF,
        )  # fmt: skip
        vms.append(vm)
        mac = "52:54:01:" + ":".join(f"{index:06x}"[i : i + 2] for i in (0, 2, 4))
        nics.append(Nic(vm=vm, network=network, mac=mac))
        around.by_hand.define(off_spec(spec, name=vm.libvirt_name, vm_id=vm.pk))
    VM.objects.bulk_create(vms)
    Nic.objects.bulk_create(nics)
    return [vm.pk for vm in vms]


def _pretend_running(vm_ids: list[uuid.UUID], turn: int) -> None:
    """Rows that say what is not so: what the host did while nobody looked."""
    number = max(1, int(len(vm_ids) * CHANGED_SHARE))
    begin = turn * number % len(vm_ids)
    chosen = vm_ids[begin : begin + number]
    VM.objects.filter(pk__in=chosen).update(power=Power.RUNNING, desired_power=DesiredPower.ON)


def _lines(number: int, times: Times, *, judged: bool) -> list[Line]:
    same, changed, bulk, loop = times.same, times.changed, times.bulk, times.loop
    over_bulk = ratio(changed, bulk)
    faster = loop.median / changed.median
    return [
        Line(
            work=f"reconcile of {number} domains, 1 % changed",
            ours=str(changed),
            peer=f"bulk call {bulk}",
            ratio=f"{over_bulk:.2f} (+{milliseconds(changed.median - bulk.median)})",
            must=at_most(over_bulk, 2.0, "≤ 2.0") if judged else None,
            moonshot=at_most(over_bulk, 1.3, "≤ 1.3") if judged else None,
        ),
        Line(
            work=f"reconcile of {number} domains, nothing changed",
            ours=str(same),
            peer=f"bulk call {bulk}",
            ratio=f"{ratio(same, bulk):.2f}",
        ),
        Line(
            work=f"reconcile of {number} domains over list, look up, ask each",
            ours=str(changed),
            peer=f"loop {loop}",
            ratio=f"1/{faster:.1f}",
            must=Limit(text="≥ 20 times faster", met=faster >= 20) if judged else None,
        ),
    ]


def _check(host: Host, vm_ids: list[uuid.UUID], seen: int) -> list[str]:
    """Every row says what is so, and the host when that was; nothing was taken for another's."""
    before = now()
    _pass(host)
    host.refresh_from_db()
    right = VM.objects.filter(pk__in=vm_ids, power=Power.SHUTOFF, missing=False, host__observed_at__gt=before).count()
    foreign = host.allocations.filter(kind="foreign").count()
    if right != len(vm_ids) or foreign or seen != len(vm_ids):
        raise RuntimeError(f"{right} of {len(vm_ids)} rows are right, {foreign} domains are foreign, {seen} were seen")
    return [f"Reconcile: all {right} rows say what is on the host; no domain was taken for somebody else's."]


def forget() -> None:
    """Take the rows away again, for what is measured next."""
    Nic.objects.all().delete()
    VM.objects.all().delete()
