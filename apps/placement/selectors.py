"""What a decision sees, and the decisions that were made."""

import uuid

from django.db.models import Q, QuerySet

from apps.accounts.models import User
from apps.hosts.models import Host
from apps.placement.models import Placement
from apps.placement.scheduler import HostView


def hosts_snapshot() -> list[HostView]:
    """Every host as the scheduler sees it now, in one query."""
    return [_view(host) for host in Host.objects.order_by("name")]


def _view(host: Host) -> HostView:
    return HostView(
        id=str(host.pk),
        name=host.name,
        up=host.is_up,
        enabled=host.enabled,
        reason=f"{host.get_status_display().lower()}: {host.reason}" if host.reason else host.status,
        architectures=tuple(host.architectures),
        uefi=tuple(host.uefi),
        vcpus_limit=host.vcpus_limit,
        vcpus_claimed=host.vcpus_claimed,
        memory_limit_mib=host.memory_limit_mib,
        memory_claimed_mib=host.memory_claimed_mib,
        disk_limit_gib=host.disk_limit_gib,
        disk_claimed_gib=host.disk_claimed_gib,
    )


def placements_for(*, actor: User) -> QuerySet[Placement]:
    """Decisions about one's own VMs, or all for an admin."""
    found = Placement.objects.all()
    return found if actor.is_admin else found.filter(Q(owner_id=actor.pk))


def placement_of(*, consumer_id: uuid.UUID) -> Placement | None:
    """The newest decision about a VM."""
    return Placement.objects.filter(consumer_id=consumer_id).first()
