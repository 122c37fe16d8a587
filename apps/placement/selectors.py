"""What a decision sees, and the decisions that were made."""

import uuid
from collections.abc import Collection, Mapping
from typing import Any

from django.db.models import Count, DurationField, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Now

from apps.accounts.models import User
from apps.hosts.capacity import guest_memory_mib
from apps.hosts.models import AllocationKind, Host, HostStatus
from apps.placement.engine.cpu import expanded
from apps.placement.engine.record import kept
from apps.placement.engine.snapshot import HostView, Room
from apps.placement.engine.trace import as_trace
from apps.placement.models import Placement
from apps.storage.models import ImageCopy

MACHINES = Q(allocations__kind__in=[AllocationKind.VM, AllocationKind.RESERVATION]) | Q(
    allocations__kind=AllocationKind.FOREIGN, allocations__vcpus__gt=0
)
COLUMNS = (
    "pk", "name", "status", "enabled", "reason", "architectures", "uefi", "native_architecture", "accelerator",
    "accelerator_proven", "labels", "cpus", "vcpus_limit", "vcpus_claimed", "memory_mib", "memory_limit_mib",
    "memory_claimed_mib", "pool_total_gib", "disk_limit_gib", "disk_claimed_gib", "machines", "age", "cached",
    "pull_interval_s",
)  # fmt: skip


def hosts_snapshot(*, image_id: uuid.UUID | None = None, cpu_features: Collection[str] = frozenset()) -> list[HostView]:
    """Every host as a decision sees it now, in one query. Of its CPU's features those that are asked for are read."""
    copies = ImageCopy.objects.filter(host=OuterRef("pk"), ready=True)
    rows = Host.objects.order_by("name").annotate(
        machines=Count("allocations", filter=MACHINES),
        age=ExpressionWrapper(Now() - F("observed_at"), output_field=DurationField()),
        cached=Exists(copies.filter(image_id=image_id)) if image_id else Value(False),
    )
    columns = (*COLUMNS, "cpu_features") if cpu_features else COLUMNS
    return [_view(row, expanded(cpu_features)) for row in rows.values(*columns)]


def features_known(features: Mapping[str, Collection[str]], accelerator: str) -> frozenset[str] | None:
    """What guests under this accelerator have; None where nobody has looked."""
    return frozenset(features[accelerator]) if features.get(accelerator) else None


def _view(row: dict[str, Any], asked: frozenset[str]) -> HostView:
    known = features_known(row["cpu_features"], row["accelerator"]) if asked else None
    status = HostStatus(row["status"])
    return HostView(
        id=str(row["pk"]),
        name=row["name"],
        up=status == HostStatus.UP,
        enabled=row["enabled"],
        reason=f"{status.label.lower()}: {row['reason']}" if row["reason"] else status.value,
        architectures=tuple(row["architectures"]),
        uefi=tuple(row["uefi"]),
        native=row["native_architecture"],
        accelerator=row["accelerator"],
        proven=row["accelerator_proven"],
        labels=row["labels"],
        vms=row["machines"],
        age_s=row["age"].total_seconds() if row["age"] is not None else None,
        image_cached=row["cached"],
        pull_interval_s=row["pull_interval_s"],
        cpu_features=None if known is None else tuple(sorted(asked & known)),
        vcpus=Room(size=row["cpus"], limit=row["vcpus_limit"], claimed=row["vcpus_claimed"]),
        memory=Room(
            size=guest_memory_mib(row["memory_mib"]), limit=row["memory_limit_mib"], claimed=row["memory_claimed_mib"]
        ),
        disk=Room(size=row["pool_total_gib"], limit=row["disk_limit_gib"], claimed=row["disk_claimed_gib"]),
    )


def placements_for(*, actor: User) -> QuerySet[Placement]:
    """Decisions about one's own VMs, or all for an admin."""
    found = Placement.objects.defer("record").select_related("reservation")
    return found if actor.is_admin else found.filter(Q(owner_id=actor.pk))


def placement_of(*, consumer_id: uuid.UUID) -> Placement | None:
    """The newest decision about a VM."""
    return Placement.objects.filter(consumer_id=consumer_id).first()


def placement_trace(*, placement: Placement) -> tuple[dict[str, Any] | None, str]:
    """Why, worked out again from what was seen; or None and a sentence on why that cannot be."""
    found = kept(bytes(placement.record))
    return (as_trace(found.decision) if found.decision else None), found.problem
