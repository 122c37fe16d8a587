"""An image from a VM that is off: its disk is fetched from the host in pieces and flattened here.

The guest wrote what is in the disk, so nothing of it is ever guessed: it is a qcow2 because we made it one, and what
it reads through is the image that our records name, whatever its header says.
"""

import uuid

from django.conf import settings

from apps.compute.models import VM, Power
from apps.errors import Conflict, Unavailable
from apps.storage.images import incoming_ensure
from apps.storage.models import Image, ImageStatus
from apps.storage.selectors import incoming_dir
from hypervisor.interface import Hypervisor
from workers.compute.target import host_of, record_power, vm_of
from workers.connections import hypervisor_for
from workers.engine import Postpone, Run
from workers.hosts import names
from workers.images import image_finish

PIECE_SECONDS = 15.0


def vm_image(run: Run) -> None:
    """Fetch, flatten, enter. The VM stays off meanwhile: its operation is in the way of a start."""
    vm = vm_of(run)
    image = Image.objects.filter(pk=uuid.UUID(run.operation.params["image"])).first()
    if vm is None or image is None or image.status == ImageStatus.READY:
        return
    if vm.root_volume is None:
        raise Unavailable("vm.no_disk", f"{vm.name} has no disk.")
    if not run.operation.state.get("fetched"):
        hypervisor = hypervisor_for(host_of(vm))
        if record_power(run, vm, hypervisor) != Power.SHUTOFF:
            raise Conflict("vm.not_off", f"{vm.name} was started meanwhile. Shut it down first.")
        _fetch(run, vm, image, hypervisor)
    base = vm.root_volume.image
    image_finish(run, image, base=None if base is None or base.is_iso else base)


def _fetch(run: Run, vm: VM, image: Image, hypervisor: Hypervisor) -> None:
    assert vm.root_volume is not None  # noqa: S101
    incoming_ensure(image)
    source = incoming_dir(image.pk) / "source"
    offset = image.received_bytes if source.exists() and image.status == ImageStatus.IMPORTING else 0
    source.touch(mode=0o600)
    text = f"Fetching the disk of {vm.name}: {offset >> 20} MiB"
    with run.step("fetch", text), source.open("r+b") as target:
        target.seek(offset)
        target.truncate()
        here, ended = hypervisor.download(
            pool=names(), name=vm.root_volume.volume_name, target=target, offset=offset, seconds=PIECE_SECONDS
        )
    if here > settings.UPLOAD_LIMIT_BYTES:
        raise Unavailable("image.too_large", "The disk is larger than an image may be.")
    with run.write():
        Image.objects.filter(pk=image.pk).update(received_bytes=here, status=ImageStatus.IMPORTING, reason="")
    run.remember(fetched=ended)
    if not ended:
        raise Postpone(f"Fetching the disk of {vm.name}: {here >> 20} MiB", seconds=0, renew=here > offset)
