"""Reservations: room that is claimed now for a VM that is made later, by the same decision and the same claim.

One ends in one of three ways: a VM takes it over, somebody gives it back, or its time is over.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.selectors import require_admin
from apps.errors import Conflict, NotFound, refused
from apps.events.services import event_record
from apps.hosts.capacity import Demand, capacity_release, capacity_take_over
from apps.hosts.models import Allocation, AllocationKind, Host
from apps.hosts.selectors import host_wanted
from apps.names import valid_cpu_features, valid_name
from apps.network.selectors import network_wanted
from apps.placement.features import host_lacks
from apps.placement.groups import group_wanted
from apps.placement.models import Placement, PlacementGroup, Policy, Reservation
from apps.placement.policies import policy_wanted
from apps.placement.services import placement_claim, wish_of
from apps.storage.selectors import image_wanted

LEAST_SECONDS, USUAL_SECONDS, MOST_SECONDS = 10, 600, 86_400
MOST_EXPIRED = 100


@transaction.atomic
def reservation_create(
    *,
    actor: User,
    name: str,
    vcpus: int,
    memory_mib: int,
    disk_gib: int,
    architecture: str = "x86_64",
    firmware: str = "bios",
    image: str | None = None,
    host: str | None = None,
    policy: str | None = None,
    group: str | None = None,
    network: str | None = None,
    cpu_features: Sequence[str] = (),
    expires_s: int = USUAL_SECONDS,
) -> Placement:
    """Claim room on the best host now. Raises ``Refused`` where nothing fits, ``HostsAway`` where it might later."""
    require_admin(actor)
    valid_name("name", name)
    source = image_wanted(actor=actor, reference=image) if image else None
    wanted = host_wanted(actor=actor, reference=host) if host else None
    chosen = policy_wanted(reference=policy) if policy else None
    joined = group_wanted(actor=actor, reference=group) if group else None
    wish = wish_of(
        chosen=chosen,
        demand=Demand(vcpus=vcpus, memory_mib=memory_mib, disk_gib=disk_gib),
        architecture=source.architecture if source else architecture,
        firmware=firmware,
        image_id=source.pk if source else None,
        host_id=wanted.pk if wanted else None,
        group=joined,
        network=network_wanted(actor=actor, reference=network) if network else None,
        cpu_features=valid_cpu_features(cpu_features),
    )
    reserved_id = uuid.uuid4()
    placement_claim(
        consumer_id=reserved_id,
        consumer_name=name,
        owner_id=actor.pk,
        wish=wish,
        kind=AllocationKind.RESERVATION,
    )
    placement = Placement.objects.defer("record").get(consumer_id=reserved_id)
    expires_at = timezone.now() + timedelta(seconds=expires_s)
    Reservation.objects.create(id=reserved_id, placement=placement, policy=chosen, group=joined, expires_at=expires_at)
    message = f"Reserved room on {placement.host_name} for {expires_s} s"
    event_record(kind="placement.reserve", target_type="placement", target=placement, actor=actor, message=message)
    return placement


@transaction.atomic
def reservation_release(*, actor: User, placement_id: uuid.UUID) -> Placement:
    """Give the room back. The decision stays. Raises ``Conflict`` for what is no reservation, or none any more."""
    require_admin(actor)
    reservation = _locked(placement_id)
    if reservation is None:
        placement = Placement.objects.defer("record").filter(pk=placement_id).first()
        if placement is None:
            raise NotFound("placement.not_found", "There is no placement with this id.")
        detail = f"{placement} is no reservation, or none any more. Room of a VM comes back when the VM is deleted."
        raise Conflict("placement.not_reserved", detail)
    placement = reservation.placement
    _give_back(reservation, actor=actor, message=f"Gave back the room reserved on {placement.host_name}")
    return placement


def reservations_expired(*, now: datetime) -> list[uuid.UUID]:
    """The placements whose room was held for long enough, the longest first."""
    found = Reservation.objects.filter(expires_at__lte=now).order_by("expires_at", "pk")
    return list(found.values_list("placement_id", flat=True)[:MOST_EXPIRED])


def reservation_expire(*, placement_id: uuid.UUID, now: datetime) -> bool:
    """Give back what nobody took in time. False: it was taken or given back meanwhile, or somebody is at it."""
    with transaction.atomic():
        reservation = _locked(placement_id, wait=False)
        if reservation is None or reservation.expires_at > now:
            return False
        _give_back(reservation, actor=None, message="Nobody took the room in time; it is free again")
    return True


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a new VM gets of a reservation: its id, its host, and the policy and group by which that was chosen."""

    id: uuid.UUID
    host: Host
    policy: Policy | None
    group: PlacementGroup | None


def reservation_take(
    *,
    actor: User,
    reference: uuid.UUID,
    name: str,
    demand: Demand,
    architecture: str,
    firmware: str,
    cpu_features: tuple[str, ...],
) -> Taken:
    """Make the reserved room that of a new VM, in the caller's transaction. Raises ``Refused`` on ``placement``."""
    reservation = _locked(reference)
    mine = reservation is not None and (actor.is_admin or reservation.placement.owner_id == actor.pk)
    if reservation is None or not mine or reservation.expires_at <= timezone.now():
        detail = "There is no such reservation, or it is taken or over. Reserve again."
        raise refused("placement", "placement.not_reserved", detail)
    held = Allocation.objects.select_related("host").get(consumer_id=reservation.pk)
    short = (
        _short(held, demand)
        or _unable(held.host, architecture, firmware, cpu_features)
        or _foreign(actor, reservation.group)
    )
    if short:
        raise refused("placement", "placement.does_not_suit", short)
    host = capacity_take_over(consumer_id=reservation.pk, label=name, demand=demand)
    Placement.objects.filter(pk=reference).update(consumer_name=name, owner_id=actor.pk)
    taken = Taken(id=reservation.pk, host=host, policy=reservation.policy, group=reservation.group)
    reservation.delete()
    return taken


def _locked(placement_id: uuid.UUID, *, wait: bool = True) -> Reservation | None:
    rows = Reservation.objects.select_for_update(of=("self",), skip_locked=not wait).defer("placement__record")
    return rows.select_related("placement", "policy", "group").filter(placement_id=placement_id).first()


def _give_back(reservation: Reservation, *, actor: User | None, message: str) -> None:
    placement = reservation.placement
    capacity_release(consumer_id=reservation.pk)
    reservation.delete()
    event_record(kind="placement.release", target_type="placement", target=placement, actor=actor, message=message)


def _short(held: Allocation, demand: Demand) -> str:
    """What of the VM is more than was reserved."""
    pairs = (
        ("vCPU", demand.vcpus, held.vcpus),
        ("MiB of memory", demand.claimed_memory_mib, held.memory_mib),
        ("GiB of disk", demand.disk_gib, held.disk_gib),
    )
    lacking = [f"{wanted - reserved} {unit}" for unit, wanted, reserved in pairs if wanted > reserved]
    return f"The VM needs {', '.join(lacking)} more than was reserved." if lacking else ""


def _unable(host: Host, architecture: str, firmware: str, cpu_features: tuple[str, ...]) -> str:
    """Why this VM cannot run where the room is."""
    if architecture not in host.architectures:
        return f"The room is on {host.name}, which cannot run {architecture}."
    if firmware == "uefi" and architecture not in host.uefi:
        return f"The room is on {host.name}, which has no UEFI firmware for {architecture}."
    if lacks := host_lacks(host=host, cpu_features=cpu_features):
        return f"The room is on {host.name}, which does not suit: {lacks}."
    return ""


def _foreign(actor: User, group: PlacementGroup | None) -> str:
    """Why a machine of this person cannot be in the group."""
    if group is None or group.owner_id == actor.pk:
        return ""
    return f"The room is of the group {group.name}, which is somebody else's."
