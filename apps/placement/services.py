"""Deciding (read-only, in a request) and claiming (in a worker)."""

import uuid
from dataclasses import replace

from django.db import transaction

from apps.errors import FieldError, Refused, Unavailable
from apps.hosts.capacity import OURS, Demand, capacity_claim
from apps.hosts.models import Allocation, AllocationKind, Host, HostStatus
from apps.placement.models import Placement
from apps.placement.scheduler import SPREAD, Decision, Policy, Request, decide
from apps.placement.selectors import hosts_snapshot

ATTEMPTS = 20


class HostsAway(Unavailable):
    """There is room, on a host that does not answer now."""


def no_host_fits(decision: Decision, *, host_id: uuid.UUID | None = None) -> Refused:
    """The refusal, naming what each host lacks."""
    detail = decision.summary() or "There is no host yet."
    errors = (FieldError(field="host", code="placement.no_host_fits", detail=detail),) if host_id else ()
    return Refused("placement.no_host_fits", f"No host fits: {detail}", errors=errors)


def placement_preview(
    *,
    demand: Demand,
    architecture: str,
    firmware: str = "bios",
    host_id: uuid.UUID | None = None,
    policy: Policy = SPREAD,
) -> Decision:
    """Decide without claiming anything. Raises ``Refused`` (``placement.no_host_fits``)."""
    request = _request(demand, architecture, firmware, host_id)
    decision = decide(hosts=hosts_snapshot(), request=request, policy=policy)
    if not decision.candidates:
        raise no_host_fits(decision, host_id=host_id)
    return decision


def placement_claim(
    *,
    consumer_id: uuid.UUID,
    consumer_name: str,
    owner_id: uuid.UUID | None,
    demand: Demand,
    architecture: str,
    firmware: str = "bios",
    host_id: uuid.UUID | None = None,
    policy: Policy = SPREAD,
    kind: AllocationKind = AllocationKind.VM,
) -> Host:
    """Claim room on the best host; a lost race takes the next candidate, then reads again.

    What is already held is returned as it is, so that a repeated step claims once. Raises ``Refused``, or
    ``HostsAway`` where only a host that does not answer now has room.
    """
    held = Allocation.objects.filter(OURS, consumer_id=consumer_id).first()
    if held is not None:
        return Host.objects.get(pk=held.host_id)
    for _ in range(ATTEMPTS):
        try:
            decision = placement_preview(
                demand=demand, architecture=architecture, firmware=firmware, host_id=host_id, policy=policy
            )
        except Refused:
            _raise_if_only_away(_request(demand, architecture, firmware, host_id), policy)
            raise
        for candidate in decision.candidates:
            chosen = uuid.UUID(candidate)
            with transaction.atomic():
                if capacity_claim(
                    host_id=chosen, consumer_id=consumer_id, label=consumer_name, demand=demand, kind=kind
                ):
                    host = Host.objects.get(pk=chosen)
                    _record(decision, host, consumer_id, consumer_name, owner_id)
                    return host
    raise Refused("placement.contended", "Room was found and taken by others each time. Try again.")


def _raise_if_only_away(request: Request, policy: Policy) -> None:
    """A host that is away for a moment is no reason to break a wish that was accepted."""
    away = {str(pk) for pk in Host.objects.filter(status=HostStatus.UNREACHABLE).values_list("pk", flat=True)}
    views = [replace(view, up=True) for view in hosts_snapshot() if view.id in away]
    back = decide(hosts=views, request=request, policy=policy)
    if back.candidates:
        names = ", ".join(verdict.host for verdict in back.verdicts if verdict.score is not None)
        raise HostsAway("placement.hosts_away", f"Only hosts that do not answer now have room: {names}.")


def _request(demand: Demand, architecture: str, firmware: str, host_id: uuid.UUID | None) -> Request:
    return Request(
        vcpus=demand.vcpus,
        memory_mib=demand.claimed_memory_mib,
        disk_gib=demand.disk_gib,
        architecture=architecture,
        firmware=firmware,
        host_id=str(host_id) if host_id else None,
    )


def _record(
    decision: Decision, host: Host, consumer_id: uuid.UUID, consumer_name: str, owner_id: uuid.UUID | None
) -> None:
    Placement.objects.create(
        consumer_id=consumer_id,
        consumer_name=consumer_name,
        owner_id=owner_id,
        host_id=host.pk,
        host_name=host.name,
        policy=decision.policy,
        trace={**decision.as_trace(), "winner": str(host.pk)},
    )
