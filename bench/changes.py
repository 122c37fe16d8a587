"""Snapshot, clone and resize through the API, over the libvirt calls that do the same to a guest made by hand."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import libvirt
import psycopg

from bench.byhand import GIB, guest_spec
from bench.figures import Line, Result, Sample, milliseconds, ratio
from bench.surroundings import Say, Surroundings
from hypervisor import domain_xml, snapshot_xml, storage_xml
from hypervisor.specs import DomainSpec, SnapshotSpec, VolumeSpec

MEMORY_MIB = 128
MORE_MEMORY_MIB = 160
ACTIVE = ("queued", "running")
LOOK_SECONDS = 0.002


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One piece of work, done by us and by hand: each call does it once and says how many seconds it took."""

    work: str
    ours: Callable[[], float]
    by_hand: Callable[[], float]


class Ours:
    """The work through the API, from the request to the committed end of its operation."""

    def __init__(self, around: Surroundings, connection: psycopg.Connection[Any]) -> None:
        self.cloud = around.cloud
        self.connection = connection
        self.on = self.cloud.create("changes-on", memory_mib=MEMORY_MIB)
        self.off = self.cloud.create("changes-off", memory_mib=MEMORY_MIB)
        self.cloud.succeeded(self.cloud.verb(self.off, "power-off"))
        self.large = False

    def _timed(self, path: str, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        begin = time.perf_counter()
        answer = self.cloud.call("POST", path, expect=202, json=body)
        status = "queued"
        while status in ACTIVE:
            time.sleep(LOOK_SECONDS)
            row = self.connection.execute(
                "SELECT status FROM operations_operation WHERE id = %s", [answer["operation"]["id"]]
            ).fetchone()
            status = row[0] if row else "lost"
        seconds = time.perf_counter() - begin
        if status != "succeeded":
            raise RuntimeError(f"{path}: {status}")
        return seconds, answer

    def snapshot(self) -> float:
        """With memory, of a machine that runs."""
        seconds, _ = self._timed(f"vms/{self.on['id']}/snapshots/", {"name": "bench"})
        for snapshot in self.cloud.results(f"vms/{self.on['id']}/snapshots/"):
            self.cloud.succeeded(self.cloud.call("DELETE", f"snapshots/{snapshot['id']}/", expect=202)["operation"])
        return seconds

    def clone(self) -> float:
        """Of a machine that is off, until the clone runs."""
        seconds, answer = self._timed(f"vms/{self.off['id']}/clone/", {"name": "changes-clone"})
        self.cloud.delete(answer["vm"])
        return seconds

    def resize(self) -> float:
        """Of a machine that is off, larger and smaller in turns."""
        self.large = not self.large
        memory = MORE_MEMORY_MIB if self.large else MEMORY_MIB
        return self._timed(f"vms/{self.off['id']}/resize/", {"memory_mib": memory})[0]

    def remove(self) -> None:
        for vm in (self.on, self.off):
            self.cloud.delete(vm)


class Peer:
    """The same by libvirt alone, on a connection that is kept; nothing is checked, recorded or looked at twice."""

    def __init__(self, around: Surroundings) -> None:
        self.by_hand = around.by_hand
        self.virt = around.by_hand.virt
        spec = guest_spec(installation=around.installation, image_volume=around.image_volume, memory_mib=MEMORY_MIB)
        self.on, self.off = spec, _another(spec)
        for guest in (self.on, self.off):
            self.by_hand.create(guest, disk_gib=1)
        self._domain(self.off).destroy()
        self.large = False

    def _domain(self, spec: DomainSpec) -> libvirt.virDomain:
        return self.virt.lookupByUUID(spec.uuid.bytes)

    def _xml(self, spec: DomainSpec) -> str:
        return domain_xml.build(spec, lambda _pool, volume: storage_xml.volume_path(self.by_hand.pool_path, volume))

    def snapshot(self) -> float:
        """``virDomainSnapshotCreateXML`` with memory."""
        xml = snapshot_xml.build(SnapshotSpec(name="bench", memory=True))
        domain = self._domain(self.on)
        begin = time.perf_counter()
        snapshot = domain.snapshotCreateXML(xml, 0)
        seconds = time.perf_counter() - begin
        snapshot.delete(0)
        return seconds

    def clone(self) -> float:
        """``virStorageVolCreateXMLFrom``, define and start."""
        clone = _another(self.off)
        target, source = clone.disks[0], self.off.disks[0]
        volume = VolumeSpec(
            pool=target.pool, name=target.volume, capacity_bytes=GIB, format="qcow2", backing=source.backing
        )
        volume_xml = storage_xml.build_volume(volume, pool_path=self.by_hand.pool_path)
        xml = self._xml(clone)
        pool = self.by_hand.pool
        begin = time.perf_counter()
        pool.createXMLFrom(volume_xml, pool.storageVolLookupByName(source.volume), 0)
        self.virt.defineXML(xml).create()
        seconds = time.perf_counter() - begin
        self.by_hand.remove(clone)
        return seconds

    def resize(self) -> float:
        """``virDomainDefineXML`` with another number."""
        self.large = not self.large
        xml = self._xml(replace(self.off, memory_mib=MORE_MEMORY_MIB if self.large else MEMORY_MIB))
        begin = time.perf_counter()
        self.virt.defineXML(xml)
        return time.perf_counter() - begin

    def remove(self) -> None:
        for guest in (self.on, self.off):
            self.by_hand.remove(guest)


def measure(around: Surroundings, *, repetitions: int, say: Say) -> Result:
    """Ours and by hand in turns."""
    with psycopg.connect(around.cloud.postgres.url, autocommit=True) as connection:
        ours, peer = Ours(around, connection), Peer(around)
        pairs = (
            Pair(work="snapshot with memory, machine on", ours=ours.snapshot, by_hand=peer.snapshot),
            Pair(work="clone to running, machine off", ours=ours.clone, by_hand=peer.clone),
            Pair(work="resize, machine off", ours=ours.resize, by_hand=peer.resize),
        )
        lines = [_line(pair, repetitions, say) for pair in pairs]
        ours.remove()
        peer.remove()
    left = around.lab_host.virsh("list", "--all", "--name").split()
    if left:
        raise RuntimeError(f"changes left something behind: {left}")
    note = (
        "Changes, by hand: no record, no plan, no claim and no second look; a clone copies in one call that cannot be "
        "stopped, ours mirrors with progress and is asked for it every second."
    )
    return Result(lines=lines, notes=[note], checked=["Changes: every operation succeeded; no domain was left."])


def _line(pair: Pair, repetitions: int, say: Say) -> Line:
    ours, hand = [], []
    for turn in range(repetitions):
        say(f"{pair.work}: {turn + 1} of {repetitions}")
        if turn % 2:
            hand.append(pair.by_hand())
        ours.append(pair.ours())
        if not turn % 2:
            hand.append(pair.by_hand())
    mine, peer = Sample(ours), Sample(hand)
    added = milliseconds(mine.median - peer.median)
    return Line(work=pair.work, ours=str(mine), peer=str(peer), ratio=f"{ratio(mine, peer):.2f} (+{added})")


def _another(spec: DomainSpec) -> DomainSpec:
    """The same guest as somebody else: other identity, disk and MAC."""
    vm_id = uuid.uuid4()
    disk, nic = spec.disks[0], spec.nics[0]
    return replace(
        spec,
        uuid=vm_id,
        name=f"by-hand-{vm_id.hex[-8:]}",
        disks=(replace(disk, volume=f"hand-{vm_id}.qcow2"),),
        nics=(replace(nic, mac="52:54:00:" + ":".join(vm_id.hex[at : at + 2] for at in (0, 2, 4))),),
    )
