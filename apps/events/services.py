"""Writing history."""

import uuid
from typing import Any, Protocol

import structlog

from apps.events.models import Event


class Actor(Protocol):
    """A user, as far as history needs one."""

    @property
    def pk(self) -> Any: ...

    def get_username(self) -> str: ...


class Target(Protocol):
    """An object that things happen to. ``owner_id`` is absent on objects that only admins see."""

    @property
    def id(self) -> uuid.UUID: ...

    @property
    def name(self) -> str: ...


def event_record(
    *,
    kind: str,
    target_type: str,
    target: Target,
    message: str,
    actor: Actor | None = None,
    operation_id: uuid.UUID | None = None,
    data: dict[str, Any] | None = None,
) -> Event:
    """Write one event in the caller's transaction. ``message`` is cut at 500 characters."""
    event = event_of(
        kind=kind,
        target_type=target_type,
        target=target,
        message=message,
        actor=actor,
        operation_id=operation_id,
        data=data,
    )
    event.save(force_insert=True)
    return event


def events_record(events: list[Event]) -> None:
    """Write many at once, as ``event_of`` made them, in the caller's transaction."""
    Event.objects.bulk_create(events)


def event_of(
    *,
    kind: str,
    target_type: str,
    target: Target,
    message: str,
    actor: Actor | None = None,
    operation_id: uuid.UUID | None = None,
    data: dict[str, Any] | None = None,
) -> Event:
    """An event that is not written yet."""
    context = structlog.contextvars.get_contextvars()
    return Event(
        kind=kind,
        message=message[:500],
        actor_id=actor.pk if actor else None,
        actor_label=actor.get_username() if actor else "",
        owner_id=getattr(target, "owner_id", None),
        target_type=target_type,
        target_id=target.id,
        target_name=str(target.name)[:100],
        operation_id=operation_id,
        request_id=context.get("request_id", ""),
        data=data or {},
    )
