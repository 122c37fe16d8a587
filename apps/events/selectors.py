"""Reading history: what concerns oneself, or all for admins."""

import uuid
from typing import Any

from django.db.models import Q, QuerySet

from apps.events.models import Event


def events_for(*, actor: Any) -> QuerySet[Event]:
    """Events on objects that are theirs or that they caused, newest first.

    ``actor`` is a user; this app lies below the accounts and asks only for ``pk`` and ``is_admin``.
    """
    found = Event.objects.all()
    return found if actor.is_admin else found.filter(Q(owner_id=actor.pk) | Q(actor_id=actor.pk))


def events_on(*, actor: Any, target_id: uuid.UUID) -> QuerySet[Event]:
    """The history of one object."""
    return events_for(actor=actor).filter(target_id=target_id)
