"""Reading data volumes: one's own, or all for admins. What is shown as status is derived here."""

import uuid

from django.db.models import Case, CharField, F, Q, QuerySet, Value, When

from apps.accounts.models import User
from apps.compute.models import VM, VolumeAttachment
from apps.compute.selectors.vm import vms_for
from apps.errors import NotFound, refused
from apps.names import as_id
from apps.operations.models import Operation
from apps.operations.selectors import operations_for
from apps.storage.models import Volume, VolumeKind, VolumePhase

STATUSES = ("creating", "available", "attaching", "attached", "detaching", "error", "deleting")

STATUS = Case(
    When(~Q(phase=VolumePhase.READY), then=F("phase")),
    When(attachment__isnull=False, then=F("attachment__state")),
    default=Value("available"),
    output_field=CharField(),
)


def volumes_for(*, actor: User) -> QuerySet[Volume]:
    """The data volumes this person may see, with ``status``, host, owner and VM in one query."""
    found = Volume.objects.filter(kind=VolumeKind.DATA).annotate(status=STATUS)
    found = found.select_related("host", "owner", "attachment__vm")
    return found if actor.is_admin else found.filter(owner=actor)


def volume_for(*, actor: User, volume_id: uuid.UUID, lock: bool = False) -> Volume:
    """One volume, locked for the transaction if asked. Raises ``NotFound`` for a foreign one as for a missing one."""
    found = volumes_for(actor=actor).filter(pk=volume_id)
    volume = (found.select_for_update(of=("self",)) if lock else found).first()
    if volume is None:
        raise NotFound("volume.not_found", "There is no volume with this id.")
    return volume


def attachment_of(volume: Volume) -> VolumeAttachment | None:
    """Which VM has it, or is about to get or give it."""
    return VolumeAttachment.objects.select_related("vm").filter(volume=volume).first()


def vm_of_owner(*, actor: User, owner: User, reference: str) -> VM:
    """The VM that a body names by id or name, among those of one owner. Raises ``Refused`` on the field.

    Somebody else's is as unknown as one that is not there, also for an admin: a disk does not cross owners.
    """
    vm_id = as_id(reference)
    by = {"pk": vm_id} if vm_id else {"name": reference}
    vm = vms_for(actor=actor).filter(owner=owner, **by).first()
    if vm is None:
        raise refused("vm", "vm.unknown", f"{owner.get_username()} has no virtual machine {reference!r}.")
    return vm


def volumes_of_vm(*, actor: User, vm: VM) -> QuerySet[Volume]:
    """The data volumes of a VM, in the order of its disks."""
    return volumes_for(actor=actor).filter(attachment__vm=vm).order_by("attachment__target")


def volumes_to_attach(*, actor: User, vm: VM) -> QuerySet[Volume]:
    """The free volumes that a VM could have: of its owner, on its host."""
    free = volumes_for(actor=actor).filter(owner=vm.owner, host=vm.host, phase=VolumePhase.READY)
    return free.filter(attachment__isnull=True).order_by("name")


def vms_to_attach_to(*, actor: User, volume: Volume) -> QuerySet[VM]:
    """The VMs that could have a volume: of its owner, on its host."""
    return vms_for(actor=actor).filter(owner_id=volume.owner_id, host=volume.host, phase="ready").order_by("name")


def operations_on_volume(*, actor: User, volume: Volume) -> QuerySet[Operation]:
    """Its own operations, and those of VMs that attach or detach it."""
    concerned = Q(target_id=volume.pk) | Q(params__volume=str(volume.pk))
    return operations_for(actor=actor).filter(concerned)
