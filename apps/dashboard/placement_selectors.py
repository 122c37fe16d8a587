"""Decisions as pages show them: what was asked, what was seen, and why."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.accounts.models import User
from apps.accounts.selectors import require_admin
from apps.compute.models import VM
from apps.compute.selectors.vm import vms_for
from apps.errors import NotFound
from apps.hosts.models import Host
from apps.hosts.selectors import hosts_for
from apps.placement.engine.record import kept
from apps.placement.engine.trace import as_trace
from apps.placement.models import Placement
from apps.placement.policies import policies
from apps.placement.selectors import placements_for


@dataclass(frozen=True, kw_only=True)
class Told:
    """One decision with all that belongs to it. ``policy_id``, ``vm`` and ``host`` are None where they are gone.

    Where ``trace`` is None, ``problem`` says why.
    """

    placement: Placement
    trace: dict[str, Any] | None
    problem: str
    request: Mapping[str, Any]
    text: str
    policy_id: uuid.UUID | None
    vm: VM | None
    host: Host | None

    @property
    def was_taken(self) -> bool:
        """Whether others took the room on the best host at the same moment."""
        return bool(self.trace and self.trace["best"] != self.placement.host_name)


def placement_told(*, actor: User, placement_id: uuid.UUID) -> Told:
    """One decision, worked out again from what it saw. For administrators. Raises ``Forbidden``, ``NotFound``."""
    require_admin(actor)
    placement = placements_for(actor=actor).filter(pk=placement_id).first()
    if placement is None:
        raise NotFound("placement.not_found", "There is no placement with this id.")
    found = kept(bytes(placement.record))
    return Told(
        placement=placement,
        trace=as_trace(found.decision) if found.decision else None,
        problem=found.problem,
        request=found.request,
        text=found.policy,
        policy_id=policies().filter(name=placement.policy).values_list("pk", flat=True).first(),
        vm=vms_for(actor=actor).filter(pk=placement.consumer_id).first(),
        host=hosts_for(actor=actor).filter(pk=placement.host_id).first(),
    )
