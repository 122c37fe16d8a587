"""Policies as pages show them: who changed them, what uses them, and where they would place a VM now."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery

from apps.accounts.models import User
from apps.compute.models import VM, Size
from apps.compute.selectors.vm import sizes, vms_for
from apps.errors import AppError
from apps.placement.explain import placement_explain
from apps.placement.models import Policy, PolicyVersion
from apps.placement.policies import policies, policy_checked
from apps.placement.policy.model import Policy as Parsed

WHERE_NO_SIZE_IS = {"vcpus": 1, "memory_mib": 1024, "disk_gib": 10}


def policies_listed(*, actor: User) -> Sequence[Policy]:
    """All of them, each with ``author`` of its newest version, and ``machines``: how many VMs of the actor's it is for.

    VMs that name no policy are the default's.
    """
    newest = PolicyVersion.objects.filter(policy=OuterRef("pk")).order_by("-number")
    theirs = None if actor.is_admin else Q(vms__owner=actor)
    counted = policies().annotate(
        author=Subquery(newest.values("author")[:1]), machines=Count("vms", filter=theirs, distinct=True)
    )
    found = list(counted)
    for policy in found:
        if is_default(policy):
            policy.machines += vms_for(actor=actor).filter(policy=None).count()
    return found


def is_default(policy: Policy) -> bool:
    """Whether VMs that name none are placed by it."""
    return bool(policy.name == settings.DEFAULT_POLICY)


def policy_users(*, actor: User, policy: Policy) -> QuerySet[VM]:
    """The VMs of the actor's that are placed by it."""
    by_default = Q(policy=None) if is_default(policy) else Q()
    return vms_for(actor=actor).filter(Q(policy=policy) | by_default).order_by("name")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Where a VM of a size would go now, and why; or why that cannot be said."""

    size: str
    trace: dict[str, Any] | None = None
    refusal: str = ""


def policy_trial(*, actor: User, text: str, size: Size | None) -> Trial:
    """A dry run against the hosts as they are: nothing is placed. For administrators, as it names hosts."""
    numbers = {name: getattr(size, name) for name in WHERE_NO_SIZE_IS} if size else WHERE_NO_SIZE_IS
    label = size.name if size else "1 vCPU, 1 GiB"
    try:
        return Trial(size=label, trace=placement_explain(actor=actor, policy_text=text, **numbers))
    except AppError as error:
        return Trial(size=label, refusal=error.detail)


def size_named(name: str) -> Size | None:
    """A size of the catalogue, or its smallest."""
    known = list(sizes())
    return next((size for size in known if size.name == name), known[0] if known else None)


def policy_read_as(*, text: str) -> Parsed | None:
    """A kept policy as the engine reads it; None where a newer Cloudsite refuses what an older one took."""
    try:
        return policy_checked(text)
    except AppError:
        return None
