"""Reading hosts. Only admins see them; everybody's VM shows its host's name."""

import uuid

from django.db.models import QuerySet

from apps.accounts.models import User
from apps.errors import Forbidden, NotFound, refused
from apps.hosts.models import Allocation, Host, HostStatus, Installation
from apps.names import as_id


def installation_id() -> str:
    """Eight hex digits that mark what is ours on a host."""
    return str(Installation.objects.values_list("id", flat=True).get())


def restored_installation() -> Installation | None:
    """The installation while a restored backup waits for somebody to look at what differs."""
    return Installation.objects.filter(restored_at__isnull=False).first()


def hosts_for(*, actor: User) -> QuerySet[Host]:
    """All hosts for an admin, none for anybody else."""
    return Host.objects.all() if actor.is_admin else Host.objects.none()


def host_for(*, actor: User, host_id: uuid.UUID, lock: bool = False) -> Host:
    """One host, locked for the transaction if asked. Raises ``NotFound``, also for whoever may not see hosts."""
    found = hosts_for(actor=actor).filter(pk=host_id)
    host = (found.select_for_update() if lock else found).first()
    if host is None:
        raise NotFound("host.not_found", "There is no host with this id.")
    return host


def host_wanted(*, actor: User, reference: str) -> Host:
    """The host that a body names by id or name. Raises ``Refused`` for an unknown one, ``Forbidden`` for members."""
    if not actor.is_admin:
        raise Forbidden("host.admin_only", "Only administrators choose the host.")
    host_id = as_id(reference)
    by = {"pk": host_id} if host_id else {"name": reference}
    found = hosts_for(actor=actor).filter(**by).first()
    if found is None:
        raise refused("host", "host.unknown", f"There is no host {reference!r}.")
    return found


def hosts_usable() -> QuerySet[Host]:
    """Where a new VM may go at all."""
    return Host.objects.filter(enabled=True, status=HostStatus.UP)


def allocations_on(*, host: Host) -> QuerySet[Allocation]:
    """What is claimed on a host, ours and foreign, by name."""
    return host.allocations.order_by("label")
