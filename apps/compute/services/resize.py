"""Wishing for another size: checked at once as far as can be known, claimed and carried out by a worker."""

import uuid

from django.db import transaction

from apps.accounts.models import User
from apps.compute.growth import Numbers, needs_stop, resized
from apps.compute.models import VM, Power, Size
from apps.compute.selectors.snapshot import vm_has_snapshots
from apps.compute.selectors.vm import numbers_of
from apps.compute.services.numbers import check_bounds, check_maxima, size_wanted
from apps.compute.services.wish import VMChange, act, locked, not_rescued, ready
from apps.errors import Conflict, FieldError, Refused, refused
from apps.hosts.capacity import Demand, capacity_missing

LIVE_FIELDS = ("vcpus", "memory_mib", "disk_gib")


@transaction.atomic
def vm_resize(
    *,
    actor: User,
    vm_id: uuid.UUID,
    size: str | None = None,
    vcpus: int | None = None,
    memory_mib: int | None = None,
    disk_gib: int | None = None,
    max_vcpus: int | None = None,
    max_memory_mib: int | None = None,
) -> VMChange:
    """Give it another size, or own numbers; what is not named stays. While it runs, only what it can have then.

    Raises ``Refused`` naming the field (a disk that would shrink, no room), ``Conflict``
    (``vm.resize_needs_stop``) naming what needs it off and what could be had at once.
    """
    vm = not_rescued(ready(locked(actor=actor, vm_id=vm_id)))
    asked = {"vcpus": vcpus, "memory_mib": memory_mib, "disk_gib": disk_gib}
    chosen = size_wanted(name=size, **asked) if size is not None else None
    if chosen is not None:
        asked = {field: getattr(chosen, field) for field in asked}
    check_bounds(**asked)
    now = numbers_of(vm)
    maxima = {"max_vcpus": max_vcpus, "max_memory_mib": max_memory_mib}
    new = resized(now, live=vm.power != Power.SHUTOFF and vm.power != Power.CRASHED, **asked, **maxima)
    check_maxima(vcpus=new.vcpus, memory_mib=new.memory_mib, **maxima)
    _check_new(vm, chosen, now, new)
    if new.disk_gib != now.disk_gib and vm_has_snapshots(vm_id=vm.pk):
        raise Conflict("vm.has_snapshots", f"{vm.name} has snapshots of its smaller disk. Delete them first.")
    _check_live(vm, now, new)
    _check_room(vm, new)
    changes = _changes(now, new)
    return act(
        vm=vm,
        actor=actor,
        kind="vm.resize",
        change=changes[0],
        then=tuple(changes[1:]),
        params={"numbers": new.as_params(), "size": chosen.name if chosen else None},
        reversible=new.disk_gib == now.disk_gib,
    )


def _check_new(vm: VM, chosen: Size | None, now: Numbers, new: Numbers) -> None:
    if new.disk_gib < now.disk_gib:
        field = "size" if chosen else "disk_gib"
        hint = " Give vcpus and memory_mib instead, and the disk stays." if chosen else ""
        raise refused(field, "vm.disk_shrinks", f"A disk never shrinks: it has {now.disk_gib} GiB.{hint}")
    if vm.image and new.memory_mib < vm.image.min_memory_mib:
        field, least = "size" if chosen else "memory_mib", vm.image.min_memory_mib
        raise refused(field, "vm.memory_too_small", f"{vm.image.name} needs {least} MiB of memory.")
    if new == now and (chosen is None or chosen.name == vm.size_id):
        raise Refused("vm.same_size", f"{vm.name} has this size already.")


def _check_live(vm: VM, now: Numbers, new: Numbers) -> None:
    if vm.power in (Power.SHUTOFF, Power.CRASHED):
        return
    reasons = needs_stop(now, new, paused=vm.power == Power.PAUSED)
    if not reasons:
        return
    live = [field for field in LIVE_FIELDS if field not in reasons and getattr(now, field) != getattr(new, field)]
    could = f" While it runs it could have: {', '.join(live)}." if live else ""
    told = "; ".join(f"{field}: {reason}" for field, reason in reasons.items())
    raise Conflict(
        "vm.resize_needs_stop",
        f"{vm.name} has to be off for this ({told}).{could}",
        errors=tuple(
            FieldError(field=field, code="vm.resize_needs_stop", detail=reason) for field, reason in reasons.items()
        ),
        live=live,
    )


def _check_room(vm: VM, new: Numbers) -> None:
    """Said at once where it is known now; the worker's claim decides."""
    demand = Demand(vcpus=new.vcpus, memory_mib=new.most_memory_mib, disk_gib=new.disk_gib)
    missing = capacity_missing(consumer_id=vm.pk, demand=demand)
    if missing:
        told = "; ".join(f"{number} {unit} short" for number, unit in missing.values())
        errors = tuple(
            FieldError(field=field, code="vm.no_room", detail=f"{number} {unit} short on its host.")
            for field, (number, unit) in missing.items()
        )
        raise Refused("vm.no_room", f"Its host has no room for that: {told}.", errors=errors)


def _changes(now: Numbers, new: Numbers) -> list[str]:
    units = (
        ("vcpus", "vCPUs", ""),
        ("memory_mib", "memory", " MiB"),
        ("most_vcpus", "the most vCPUs while it runs", ""),
        ("most_memory_mib", "the most memory while it runs", " MiB"),
    )
    changes = []
    for field, name, unit in units:
        was, becomes = getattr(now, field), getattr(new, field)
        follows = field.startswith("most_") and becomes == getattr(new, "vcpus" if "vcpus" in field else "memory_mib")
        if was != becomes and not follows:
            changes.append(f"change {name} from {was} to {becomes}{unit}")
    if new.disk_gib != now.disk_gib:
        changes.append(f"grow the disk from {now.disk_gib} to {new.disk_gib} GiB; it never shrinks again")
    more = new.vcpus - now.vcpus, new.most_memory_mib - now.most_memory_mib, new.disk_gib - now.disk_gib
    parts = [f"{n} {u}" for n, u in zip(more, ("vCPU", "MiB memory", "GiB disk"), strict=True) if n > 0]
    if parts:
        changes.append(f"claim {', '.join(parts)} more on its host")
    back = [f"{-n} {u}" for n, u in zip(more, ("vCPU", "MiB memory", "GiB disk"), strict=True) if n < 0]
    if back:
        changes.append(f"give back {', '.join(back)}")
    return changes or ["note the name of the size"]
