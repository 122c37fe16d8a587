"""Reading operations: one's own, or all for admins."""

import uuid

from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from apps.accounts.models import User
from apps.errors import NotFound
from apps.operations.models import ACTIVE, Operation


def operations_for(*, actor: User) -> QuerySet[Operation]:
    """The operations that this person may see, newest first."""
    found = Operation.objects.all()
    return found if actor.is_admin else found.filter(Q(owner_id=actor.pk) | Q(requested_by=actor.pk))


def operation_for(*, actor: User, operation_id: uuid.UUID) -> Operation:
    """One operation. Raises ``NotFound`` for a foreign one as for a missing one."""
    operation = operations_for(actor=actor).filter(pk=operation_id).first()
    if operation is None:
        raise NotFound("operation.not_found", "There is no operation with this id.")
    return operation


def operation_active(*, target_id: uuid.UUID) -> Operation | None:
    """The operation that keeps this target busy: a delete before anything else."""
    return Operation.objects.filter(target_id=target_id, status__in=ACTIVE).order_by("-deletes").first()


def operations_due(*, limit: int = 200) -> QuerySet[Operation]:
    """What nobody works on although it is time: never claimed, postponed and due, or with a dead lease."""
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=Now())
    return Operation.objects.filter(free, status__in=ACTIVE, run_after__lte=Now()).order_by("run_after")[:limit]
