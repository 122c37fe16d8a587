"""How long decisions are kept. That of a machine which is still there stays whole, whatever its age.

Of others first the trace goes, which is nearly all that a decision weighs, and one row stays that says who was placed
where by which version of which policy; later that goes, too.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet

from apps.hosts.capacity import OURS
from apps.hosts.models import Allocation
from apps.placement.models import Placement

AT_ONCE = 1000


def placements_roll_up(*, now: datetime) -> tuple[int, int]:
    """Drop old traces, and what is older still. The value is how many of each."""
    rolled = _in_portions(
        _gone(now, settings.TRACE_DAYS).exclude(record=b""), lambda found: int(found.update(record=b""))
    )
    forgotten = _in_portions(_gone(now, settings.PLACEMENT_DAYS), lambda found: int(found.delete()[0]))
    return rolled, forgotten


def _gone(now: datetime, days: int) -> QuerySet[Placement]:
    """Decisions about what holds no room any more, made before so many days; 0 days is never."""
    if not days:
        return Placement.objects.none()
    holds = Allocation.objects.filter(OURS, consumer_id=OuterRef("consumer_id"))
    return Placement.objects.filter(~Exists(holds), created_at__lt=now - timedelta(days=days)).order_by()


def _in_portions(found: QuerySet[Placement], act: Callable[[QuerySet[Placement]], int]) -> int:
    """Some at a time, each by itself, so that no transaction is long and a worker that ends has done a part."""
    count = 0
    while ids := list(found.values_list("pk", flat=True)[:AT_ONCE]):
        count += act(Placement.objects.filter(pk__in=ids))
    return count
