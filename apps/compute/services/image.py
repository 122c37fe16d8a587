"""An image from a virtual machine."""

import uuid
from dataclasses import dataclass

from django.db import transaction

from apps.accounts.models import User
from apps.compute.models import Phase, Power
from apps.compute.selectors.vm import vm_for
from apps.compute.services.wish import not_rescued
from apps.envelope.mutation import Plan
from apps.errors import Conflict
from apps.operations.models import Operation
from apps.operations.services import operation_create
from apps.storage.images import image_of_disk
from apps.storage.models import Image


@dataclass(frozen=True, kw_only=True)
class VMImageChange:
    """The image that will be, the operation that makes it, and the plan."""

    image: Image
    operation: Operation
    plan: Plan


@transaction.atomic
def vm_image(*, actor: User, vm_id: uuid.UUID, name: str) -> VMImageChange:
    """Make an image of the disk of a VM that is off. Raises ``Conflict`` for one that runs."""
    vm = not_rescued(vm_for(actor=actor, vm_id=vm_id, lock=True))
    if vm.phase != Phase.READY or vm.root_volume is None:
        raise Conflict("vm.not_ready", f"{vm.name} has no disk that is ready.")
    if vm.power not in (Power.SHUTOFF, Power.CRASHED):
        raise Conflict("vm.not_off", f"{vm.name} is not off. Shut it down first, so that its disk is in order.")
    base = vm.image or vm.root_volume.image
    image = image_of_disk(actor=actor, name=name, base=base, title=f"Made of {vm.name}")
    operation = operation_create(
        kind="vm.image", target_type="vm", target=vm, actor=actor, host_id=vm.host_id, params={"image": str(image.pk)}
    )
    changes = (
        f"fetch the disk of {vm.name} ({vm.disk_gib} GiB at most) from its host",
        f"check it, flatten it and enter it as {name}",
    )
    host = vm.host.name if vm.host and actor.is_admin else None
    return VMImageChange(image=image, operation=operation, plan=Plan(host=host, changes=changes))
