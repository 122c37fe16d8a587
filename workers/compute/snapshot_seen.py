"""The snapshots that a host has, as rows. The host is right about what there is and how it hangs together; ours is
what they are called.
"""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from apps.compute.models import VM, Phase, Snapshot, SnapshotPhase
from apps.events.services import event_record
from apps.hosts.models import Host
from hypervisor.interface import Hypervisor
from hypervisor.specs import SnapshotState
from hypervisor.xml_tree import clean_line
from workers.observations import now

READ_SECONDS = 15.0
READ_AT_ONCE = 20
_LONGEST = 255


def snapshots_read(host: Host, hypervisor: Hypervisor) -> None:
    """Some VMs of a host in every round, those first that were not read for longest: libvirt has no event for it."""
    horizon = Now() - timedelta(seconds=READ_SECONDS * settings.TIME_SCALE)
    due = VM.objects.filter(
        Q(snapshots_read_at__isnull=True) | Q(snapshots_read_at__lt=horizon), host=host, phase=Phase.READY
    )
    due = due.order_by(F("snapshots_read_at").asc(nulls_first=True), "pk")
    vm_ids = list(due.values_list("pk", flat=True)[:READ_AT_ONCE])
    if not vm_ids:
        return
    read_at = now()
    seen = hypervisor.snapshots(vm_ids)
    with_rows = set(Snapshot.objects.filter(vm__in=vm_ids).values_list("vm_id", flat=True))
    for vm_id in vm_ids:
        if vm_id in with_rows or seen.get(vm_id):
            snapshots_observed(vm_id=vm_id, seen=seen.get(vm_id, []), read_at=read_at)
    VM.objects.filter(Q(snapshots_read_at__isnull=True) | Q(snapshots_read_at__lt=read_at), pk__in=vm_ids).update(
        snapshots_read_at=read_at
    )


def snapshots_observed(*, vm_id: uuid.UUID, seen: list[SnapshotState], read_at: datetime) -> None:
    """Write one VM's tree as its host has it. An old look never overwrites a newer one."""
    fresh = Q(snapshots_read_at__isnull=True) | Q(snapshots_read_at__lt=read_at)
    with transaction.atomic():
        vm = VM.objects.select_for_update(of=("self",)).filter(fresh, pk=vm_id).first()
        if vm is None:
            return
        VM.objects.filter(pk=vm_id).update(snapshots_read_at=read_at)
        states = {state.name[:_LONGEST]: state for state in seen if state.complete}
        rows = {row.host_name: row for row in vm.snapshots.all()}
        for name in [name for name in rows if name not in states]:
            if _is_gone(vm, rows[name]):
                del rows[name]
        for name in states.keys() - rows.keys():
            rows[name] = _found(vm, name, states[name])
        _write(rows, states)


def _is_gone(vm: VM, row: Snapshot) -> bool:
    """Deleted beside us. What is being made or deleted, or could not be made, is its operation's to end."""
    if row.phase != SnapshotPhase.READY:
        return False
    row.delete()
    event_record(
        kind="snapshot.gone", target_type="vm", target=vm, message=f"The snapshot {row.name} was deleted on its host"
    )
    return True


def _found(vm: VM, name: str, state: SnapshotState) -> Snapshot:
    """Made beside us, or not known any more to the records."""
    row = Snapshot(vm=vm, name=clean_line(name) or "?", host_name=name, foreign=True, disk_gib=None)
    row.phase = SnapshotPhase.READY
    _fill(row, state)
    row.save(force_insert=True)
    event_record(
        kind="snapshot.found", target_type="vm", target=vm, message=f"A snapshot {row.name} was made on its host"
    )
    return row


def _fill(row: Snapshot, state: SnapshotState) -> None:
    row.external, row.memory, row.power = state.external, state.memory, state.power.value
    row.vcpus, row.memory_mib, row.taken_at = state.vcpus, state.memory_mib, state.taken_at
    row.max_vcpus, row.max_memory_mib = state.max_vcpus, state.max_memory_mib


def _write(rows: Mapping[str, Snapshot], states: Mapping[str, SnapshotState]) -> None:
    """Only what differs. No two may be current even for a moment, so the old one goes first."""
    changed = []
    for name, state in states.items():
        row = rows[name]
        before = _content(row)
        parent = rows.get((state.parent or "")[:_LONGEST])
        row.parent_id, row.current = parent.pk if parent else None, state.current
        if row.phase == SnapshotPhase.CREATING or row.phase == SnapshotPhase.ERROR:
            row.phase, row.reason = SnapshotPhase.READY, ""
        _fill(row, state)
        if _content(row) != before:
            changed.append(row)
    changed += [row for name, row in rows.items() if name not in states and _unhang(row)]
    for row in sorted(changed, key=lambda row: row.current):
        row.save()


def _unhang(row: Snapshot) -> bool:
    """One that its host does not have is not in the tree."""
    before = _content(row)
    row.parent_id, row.current = None, False
    return _content(row) != before


def _content(row: Snapshot) -> dict[str, object]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
