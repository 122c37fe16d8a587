"""Placement groups: machines that want to be together or apart. A group is its owner's, and its rule never changes."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.postgres.expressions import ArraySubquery
from django.db import IntegrityError, transaction
from django.db.models import F, OuterRef, ProtectedError, QuerySet
from django.db.models.functions import JSONObject

from apps.accounts.models import User
from apps.errors import Conflict, NotFound, refused
from apps.events.services import event_record
from apps.hosts.models import Allocation, Host
from apps.names import as_id, valid_name
from apps.placement.engine.group import Group, Member
from apps.placement.models import GroupRule, PlacementGroup

MOST_NAMED = 5
MOST_LISTED = 200


def groups_for(*, actor: User) -> QuerySet[PlacementGroup]:
    """One's own, or all for an admin, with ``members``: who of it has a place, and where."""
    placed = Allocation.objects.filter(group_id=OuterRef("pk")).order_by("label", "pk")
    member = JSONObject(id=F("consumer_id"), name=F("label"), kind=F("kind"), host=F("host__name"))
    found = PlacementGroup.objects.select_related("owner").annotate(members=ArraySubquery(placed.values(json=member)))
    return found if actor.is_admin else found.filter(owner=actor)


def groups_owned(*, actor: User) -> QuerySet[PlacementGroup]:
    """Those that the actor's machines can join; an administrator's, too, are only their own."""
    return PlacementGroup.objects.filter(owner=actor).order_by("name")


def group_for(*, actor: User, group_id: uuid.UUID, lock: bool = False) -> PlacementGroup:
    """One, locked for the transaction if asked. Raises ``NotFound`` for a foreign one as for a missing one."""
    one = groups_for(actor=actor).filter(pk=group_id)
    found = (one.select_for_update(of=("self",)) if lock else one).first()
    if found is None:
        raise NotFound("placement_group.not_found", "There is no placement group with this id.")
    return found


def group_wanted(*, actor: User, reference: str, lock: bool = True) -> PlacementGroup:
    """The actor's own group that a body names, held for the transaction if it is to be joined. Raises ``Refused``."""
    group_id = as_id(reference)
    own = groups_owned(actor=actor).filter(**({"pk": group_id} if group_id else {"name": reference}))
    found = (own.select_for_update(no_key=True) if lock else own).first()
    if found is None:
        detail = f"There is no placement group {reference[:63]!r} of yours."
        raise refused("group", "placement_group.unknown", detail)
    return found


@contextmanager
def group_turn(group: PlacementGroup | None) -> Iterator[None]:
    """From here until its end the transaction alone places machines of this group: who comes next sees where this one
    went. Whoever places several groups takes the turns of all before any host.
    """
    if group is None:
        yield
        return
    with transaction.atomic():
        PlacementGroup.objects.select_for_update(no_key=True).get(pk=group.pk)
        yield


def group_seen(group: PlacementGroup) -> Group:
    """The group as a decision sees it now."""
    placed = Allocation.objects.filter(group_id=group.pk).order_by("label", "pk")
    members = tuple(
        Member(name=label, host_id=str(host_id), host=host)
        for label, host_id, host in placed.values_list("label", "host_id", "host__name")
    )
    return Group(id=str(group.pk), name=group.name, rule=group.rule, members=members)


def group_broken(*, group: PlacementGroup, name: str, host: Host) -> str:
    """Why a machine on this host cannot join: what of the rule would not hold. Nothing where it would."""
    seen = group_seen(group)
    there = str(host.pk) in seen.host_ids
    if group.rule == GroupRule.ANTI_AFFINITY and there:
        return f"{name} is on {host.name}, and so is {seen.on(str(host.pk))} of {group.name} ({group.rule})."
    if group.rule == GroupRule.AFFINITY and seen.members and not there:
        return f"{name} is on {host.name}, and {group.name} on {seen.hosts} ({group.rule})."
    return ""


@transaction.atomic
def group_create(*, actor: User, name: str, rule: str) -> PlacementGroup:
    """Keep a new group without members. Raises ``Refused`` for a name that is taken."""
    valid_name("name", name)
    made = PlacementGroup(owner=actor, name=name, rule=rule)
    try:
        with transaction.atomic():
            made.save(force_insert=True)
    except IntegrityError as error:
        detail = f"You already have a placement group named {name!r}."
        raise refused("name", "placement_group.name_taken", detail) from error
    message = f"Placement group {name} ({rule}) added"
    event_record(
        kind="placement-group.create", target_type="placement-group", target=made, actor=actor, message=message
    )
    return group_for(actor=actor, group_id=made.pk)


@transaction.atomic
def group_delete(*, actor: User, group_id: uuid.UUID) -> PlacementGroup:
    """Forget a group that nobody is in. Raises ``Conflict`` with the machines and reservations that are."""
    known = group_for(actor=actor, group_id=group_id, lock=True)
    gone = PlacementGroup(pk=known.pk, name=known.name)
    try:
        with transaction.atomic():
            known.delete()
    except ProtectedError as error:
        users = sorted(str(user) for user in error.protected_objects)
        named = ", ".join(users[:MOST_NAMED]) + (f" and {len(users) - MOST_NAMED} more" if users[MOST_NAMED:] else "")
        detail = f"{named} {'is' if len(users) == 1 else 'are'} in {gone.name}, whose rule would be lost."
        raise Conflict("placement_group.in_use", detail, used_by=users[:MOST_LISTED]) from error
    message = f"Placement group {gone.name} deleted"
    event_record(
        kind="placement-group.delete", target_type="placement-group", target=gone, actor=actor, message=message
    )
    return gone
