"""Deciding (read-only, in a request) and claiming (in a worker)."""

import uuid
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction

from apps.errors import FieldError, Refused, Unavailable
from apps.hosts.capacity import OURS, Ceiling, Demand, capacity_claim, disk_demand
from apps.hosts.models import Allocation, AllocationKind, Host, HostStatus
from apps.network.models import Network
from apps.placement import models
from apps.placement.engine.advice import smallest_changes
from apps.placement.engine.decide import Decision, decide
from apps.placement.engine.filters import RESOURCES, limit_of
from apps.placement.engine.network import Reach
from apps.placement.engine.record import pack
from apps.placement.engine.snapshot import HostView, Request
from apps.placement.groups import group_seen, group_turn
from apps.placement.models import Placement, PlacementGroup
from apps.placement.policies import policy_in_force
from apps.placement.policy.model import Policy
from apps.placement.policy.shipped import FOR_VOLUMES, shipped
from apps.placement.selectors import hosts_snapshot

ATTEMPTS = 20


class HostsAway(Unavailable):
    """There is room, on a host that does not answer now."""


def no_host_fits(decision: Decision, *, host_id: uuid.UUID | None = None) -> Refused:
    """The refusal, naming what each host lacks."""
    detail = decision.summary() or "There is no host yet."
    changes = smallest_changes(decision, most=1)
    if changes:
        detail += f". Smallest change: {changes[0].words}"
    errors = (FieldError(field="host", code="placement.no_host_fits", detail=detail),) if host_id else ()
    return Refused("placement.no_host_fits", f"No host fits: {detail}", errors=errors, removed=decision.removed)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is to be placed, and by which policy. ``host_id`` is a person's choice."""

    demand: Demand
    architecture: str
    firmware: str = "bios"
    image_id: uuid.UUID | None = None
    host_id: uuid.UUID | None = None
    group: PlacementGroup | None = None
    network: Network | None = None
    cpu_features: tuple[str, ...] = ()
    policy: Policy
    policy_version: int | None = None

    def hosts(self) -> list[HostView]:
        """The hosts as they are now, with what is asked of them."""
        asked = {*self.cpu_features, *self.policy.filters.cpu_features}
        return hosts_snapshot(image_id=self.image_id, cpu_features=asked)

    def request(self) -> Request:
        """With its group as it is now."""
        return Request(
            vcpus=self.demand.vcpus,
            memory_mib=self.demand.claimed_memory_mib,
            disk_gib=self.demand.disk_gib,
            architecture=self.architecture,
            firmware=self.firmware,
            host_id=str(self.host_id) if self.host_id else None,
            group=group_seen(self.group) if self.group else None,
            network=_reach(self.network) if self.network else None,
            cpu_features=self.cpu_features,
        )


def _reach(network: Network) -> Reach:
    return Reach(name=network.name, host_id=str(network.host_id), host=network.host.name)


def wish_of(*, chosen: models.Policy | None, **more: Any) -> Wish:
    """A VM's wish, by its own policy or else the installation's."""
    policy, version = policy_in_force(chosen)
    return Wish(policy=policy, policy_version=version, **more)


def disk_wish(*, size_gib: int, host_id: uuid.UUID | None) -> Wish:
    """A volume: disk alone."""
    return Wish(demand=disk_demand(size_gib), architecture="", host_id=host_id, policy=shipped(FOR_VOLUMES))


def placement_preview(*, wish: Wish) -> Decision:
    """Decide without claiming anything. Raises ``Refused`` (``placement.no_host_fits``)."""
    decision = decide(hosts=wish.hosts(), request=wish.request(), policy=wish.policy)
    if decision.winner is None:
        raise no_host_fits(decision, host_id=wish.host_id)
    return decision


def placement_claim(
    *,
    consumer_id: uuid.UUID,
    consumer_name: str,
    owner_id: uuid.UUID | None,
    wish: Wish,
    kind: AllocationKind = AllocationKind.VM,
) -> Host:
    """Claim room on the best host; a lost race takes the next candidate, then reads again.

    What is already held is returned as it is, so that a repeated step claims once. Raises ``Refused``, or
    ``HostsAway`` where only a host that does not answer now has room. Machines of one group are placed one after the
    other, each in sight of those before it.
    """
    with group_turn(wish.group):
        held = Allocation.objects.filter(OURS, consumer_id=consumer_id).first()
        if held is not None:
            return Host.objects.get(pk=held.host_id)
        for _ in range(ATTEMPTS):
            try:
                decision = placement_preview(wish=wish)
            except Refused:
                _raise_if_only_away(wish)
                raise
            for candidate in decision.candidates:
                with transaction.atomic():
                    if capacity_claim(
                        host_id=uuid.UUID(candidate.id),
                        consumer_id=consumer_id,
                        label=consumer_name,
                        demand=wish.demand,
                        kind=kind,
                        ceiling=_ceiling(candidate, wish.policy),
                        group_id=wish.group.pk if wish.group else None,
                    ):
                        host = Host.objects.get(pk=candidate.id)
                        _record(decision, host, consumer_id, consumer_name, owner_id, wish.policy_version)
                        return host
    raise Refused("placement.contended", "Room was found and taken by others each time. Try again.")


def _ceiling(host: HostView, policy: Policy) -> Ceiling:
    """What the policy lets be claimed: the claim itself holds to it, whatever happened since the decision."""
    vcpus, memory, disk = (limit_of(resource.room(host), resource.ratio(policy)) for resource in RESOURCES)
    return Ceiling(vcpus=vcpus, memory_mib=memory, disk_gib=disk, vms=policy.filters.max_vms)


def _raise_if_only_away(wish: Wish) -> None:
    """A host that is away for a moment is no reason to break a wish that was accepted."""
    away = {str(pk) for pk in Host.objects.filter(status=HostStatus.UNREACHABLE).values_list("pk", flat=True)}
    views = [replace(view, up=True, age_s=0.0) for view in wish.hosts() if view.id in away]
    back = decide(hosts=views, request=wish.request(), policy=wish.policy)
    if back.winner is not None:
        names = ", ".join(host.name for host in back.candidates)
        raise HostsAway("placement.hosts_away", f"Only hosts that do not answer now have room: {names}.")


def _record(
    decision: Decision,
    host: Host,
    consumer_id: uuid.UUID,
    consumer_name: str,
    owner_id: uuid.UUID | None,
    policy_version: int | None,
) -> None:
    record = pack(decision)
    Placement.objects.create(
        consumer_id=consumer_id,
        consumer_name=consumer_name,
        owner_id=owner_id,
        host_id=host.pk,
        host_name=host.name,
        policy=decision.policy.name,
        policy_version=policy_version,
        snapshot_hash=record.snapshot_hash,
        record=record.content,
    )
