"""Room for several VMs that belong together: all of them, or none where that was asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from apps.accounts.models import User
from apps.accounts.selectors import require_admin
from apps.errors import AppError, FieldError, Refused, refused
from apps.placement.groups import group_wanted
from apps.placement.models import Placement
from apps.placement.policies import policy_wanted
from apps.placement.reservations import USUAL_SECONDS, reservation_create

MOST_AT_ONCE = 100
BATCHES = 0x636C6F7564
"""The number of the lock that batches take turns by."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one wish: its place, or why there is none."""

    name: str
    placement: Placement | None = None
    error: AppError | None = None


@transaction.atomic
def reservations_create(
    *, actor: User, wishes: Sequence[Mapping[str, Any]], all_or_nothing: bool = True, expires_s: int = USUAL_SECONDS
) -> list[Outcome]:
    """Reserve the largest first, since what is small finds room beside it. The answer is in the order of the wishes.

    Raises ``Refused`` (``placement.not_all_fit``) where one fits nowhere; nothing is claimed then, unless not
    ``all_or_nothing``.
    """
    require_admin(actor)
    names = [wish["name"] for wish in wishes]
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise refused("placements", "placement.name_twice", f"{twice!r} is there twice.")
    _take_turns()
    for reference in sorted({wish["policy"] for wish in wishes if wish.get("policy")}):
        policy_wanted(reference=reference)  # before any host: whoever places one VM holds its policy first, too
    for reference in sorted({wish["group"] for wish in wishes if wish.get("group")}):
        group_wanted(actor=actor, reference=reference)  # and then its group
    largest_first = sorted(range(len(wishes)), key=lambda number: _size(wishes[number]), reverse=True)
    found = {number: _outcome(actor, wishes[number], expires_s) for number in largest_first}
    outcomes = [found[number] for number in range(len(wishes))]
    if all_or_nothing and any(outcome.error for outcome in outcomes):
        raise _not_all(outcomes)
    return outcomes


def _outcome(actor: User, wish: Mapping[str, Any], expires_s: int) -> Outcome:
    try:
        with transaction.atomic():
            made = reservation_create(actor=actor, expires_s=expires_s, **wish)
    except AppError as error:
        return Outcome(name=wish["name"], error=error)
    return Outcome(name=wish["name"], placement=made)


def _not_all(outcomes: list[Outcome]) -> Refused:
    failed = [(outcome.name, outcome.error) for outcome in outcomes if outcome.error is not None]
    errors = tuple(
        FieldError(field="placements", code=error.code, detail=f"{name}: {error.detail}") for name, error in failed
    )
    detail = (
        f"{len(failed)} of {len(outcomes)} have no place beside the others; nothing is reserved. {errors[0].detail}"
    )
    return Refused("placement.not_all_fit", detail, errors=errors)


def _size(wish: Mapping[str, Any]) -> tuple[int, int, int]:
    return wish["memory_mib"], wish["vcpus"], wish["disk_gib"]


def _take_turns() -> None:
    """A batch holds the rows of several hosts until it ends: two that took them in another order would wait for each
    other for ever. Whoever places one VM holds one host's row, and waits for no second.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [BATCHES])
