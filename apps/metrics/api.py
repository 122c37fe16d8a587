"""What was measured, in the API: of a host here, of a machine in ``apps.compute`` with the same questions."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.permissions import AdminOnly, actor_of
from apps.errors import refused
from apps.hosts.selectors import host_for
from apps.metrics.models import Reporter
from apps.metrics.selectors import MOST_POINTS, STEPS, points_of, range_for, reporter_of
from apps.metrics.series import HOST, Kind

USUAL = timedelta(hours=1)
LONGEST = timedelta(days=4000)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
NUMBER = re.compile(r"\d{1,12}(\.\d{1,9})?")
PARAMETERS = [
    OpenApiParameter("from", str, description="RFC 3339 or seconds since 1970; an hour before `to` unless given."),
    OpenApiParameter("to", str, description="RFC 3339 or seconds since 1970; now unless given."),
    OpenApiParameter(
        "step",
        {"type": "integer", "minimum": 1, "maximum": STEPS[-1]},
        description=f"Seconds of one point, rounded up to what there is; at most {MOST_POINTS} points are answered.",
    ),
    OpenApiParameter("series", str, description="Names by comma; all unless given."),
]


class AgentSerializer(serializers.Serializer[Reporter]):
    """The agent of the host, as it reported last."""

    version = serializers.CharField(source="agent")
    last_at = serializers.DateTimeField(allow_null=True, help_text="Of the newest sample, by the agent's clock.")
    received_at = serializers.DateTimeField(allow_null=True, help_text="Of the last batch, by Cloudsite's clock.")
    interval = serializers.IntegerField(help_text="Seconds between two samples.")
    energy_source = serializers.CharField(allow_blank=True, help_text="rapl, hwmon or model; empty: no watts.")


def _values() -> serializers.ListField:
    return serializers.ListField(child=serializers.FloatField(allow_null=True))


METRICS = inline_serializer(
    "Metrics",
    {
        "from": serializers.DateTimeField(),
        "to": serializers.DateTimeField(),
        "step": serializers.IntegerField(help_text="Seconds of one point."),
        "agent": AgentSerializer(allow_null=True, help_text="Null: none has reported from this host yet."),
        "at": serializers.ListField(child=serializers.IntegerField(), help_text="Where each point begins."),
        "series": serializers.DictField(
            child=inline_serializer("Series", {"unit": serializers.CharField(), "avg": _values(), "max": _values()}),
            help_text="By name; null where nothing was measured.",
        ),
    },
)


class HostMetricsView(APIView):
    permission_classes = [AdminOnly]

    @extend_schema(responses=METRICS, parameters=PARAMETERS)
    def get(self, request: Request, host_id: uuid.UUID) -> Response:
        """What was measured on a host. Averages and maxima of each step."""
        host = host_for(actor=actor_of(request), host_id=host_id)
        return Response(answer(request, kind=HOST, key=host.pk, host_id=host.pk))


def answer(request: Request, *, kind: Kind, key: uuid.UUID, host_id: uuid.UUID | None) -> dict[str, Any]:
    """The points that the query string asks for. Raises ``Refused`` naming the parameter that is wrong."""
    given = request.query_params
    for name in given:
        if name not in ("from", "to", "step", "series"):
            raise refused(name[:60], "request.unknown_filter", "There are only from, to, step and series.")
    now = timezone.now()
    end = _time("to", given.get("to")) or now
    start = _time("from", given.get("from")) or end - USUAL
    if start >= end:
        raise refused("from", "metrics.range", "It has to be before `to`.")
    if end - start > LONGEST:
        raise refused("from", "metrics.range", f"At most {LONGEST.days} days are answered at once.")
    names, step = _names(kind, given.get("series")), _step(given.get("step"))
    reporter = reporter_of(host_id)
    asked = range_for(start=start, end=end, step=step, interval=reporter.interval if reporter else 5, now=now)
    return {
        "from": asked.start,
        "to": asked.end,
        "step": asked.step,
        "agent": AgentSerializer(reporter).data if reporter and reporter.last_at else None,
        **points_of(kind=kind, key=key, asked=asked, names=names, now=now),
    }


def _time(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromtimestamp(float(text), UTC) if NUMBER.fullmatch(text) else datetime.fromisoformat(text)
        if at.tzinfo is not None and EARLIEST <= at <= timezone.now() + LONGEST:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    detail = "Say a time with its zone, as 2026-11-22T12:00:00Z, or the seconds since 1970."
    raise refused(name, "metrics.time", detail)


def _step(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,7}", text) or not 1 <= int(text) <= STEPS[-1]:
        raise refused("step", "metrics.step", f"Say whole seconds from 1 to {STEPS[-1]}.")
    return int(text)


def _names(kind: Kind, text: str | None) -> tuple[str, ...]:
    if text is None:
        return kind.series
    names = tuple(dict.fromkeys(text.split(",")))
    unknown = [name for name in names if name not in kind.units]
    if unknown:
        known = ", ".join(kind.series)
        raise refused("series", "metrics.unknown_series", f"There is no series {unknown[0][:60]!r}. There are {known}.")
    return names
