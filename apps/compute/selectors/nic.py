"""Reading network interfaces and port forwards: through the VM, whoever may see it sees them."""

import uuid

from django.db.models import QuerySet

from apps.accounts.models import User
from apps.compute.models import Nic, PortForward
from apps.compute.selectors.vm import vm_for
from apps.errors import NotFound


def nics_of(*, actor: User, vm_id: uuid.UUID) -> QuerySet[Nic]:
    """The interfaces of one VM with their networks, the first one first. Raises ``NotFound``."""
    return vm_for(actor=actor, vm_id=vm_id).nics.select_related("network").order_by("created_at", "id")


def nic_for(*, actor: User, nic_id: uuid.UUID) -> Nic:
    """One interface. Raises ``NotFound``, also for a foreign one."""
    found = Nic.objects.select_related("vm", "network").filter(pk=nic_id)
    nic = (found if actor.is_admin else found.filter(vm__owner=actor)).first()
    if nic is None:
        raise NotFound("nic.not_found", "There is no network interface with this id.")
    return nic


def forwards_of(*, actor: User, vm_id: uuid.UUID) -> QuerySet[PortForward]:
    """The port forwards of one VM, lowest port first. Raises ``NotFound``."""
    found = vm_for(actor=actor, vm_id=vm_id).port_forwards.select_related("nic__network", "host", "vm")
    return found.order_by("host_port", "protocol")


def forward_for(*, actor: User, forward_id: uuid.UUID) -> PortForward:
    """One port forward. Raises ``NotFound``, also for a foreign one."""
    found = PortForward.objects.select_related("vm", "nic__network", "host").filter(pk=forward_id)
    forward = (found if actor.is_admin else found.filter(vm__owner=actor)).first()
    if forward is None:
        raise NotFound("port_forward.not_found", "There is no port forward with this id.")
    return forward
