"""What operations on images and disks do."""

import uuid

import structlog
from django.db.models.functions import Now

from apps.errors import Unavailable
from apps.hosts.models import Host
from apps.operations.doorbell import ring_on_commit
from apps.operations.models import Operation, Status
from apps.storage.models import Image, ImageCopy
from apps.storage.selectors import image_path
from hypervisor.interface import Hypervisor
from hypervisor.specs import VolumeSpec
from workers.connections import hypervisor_for
from workers.engine import Postpone, Run
from workers.hosts import names

log = structlog.get_logger(__name__)
PIECE_SECONDS = 15.0


def image_send(run: Run) -> None:
    """Send an image to a host in pieces of some seconds, each a claim of its own, with the offset in the row.

    The image was checked by its sum when it came in; a piece that the host did not confirm is sent again.
    """
    copy = ImageCopy.objects.select_related("image", "host").filter(pk=run.operation.target_id).first()
    if copy is None:
        return
    if not image_path(copy.image).exists():
        detail = (
            f"The file of {copy.image.name} is not on this machine (a backup holds no images). Add the image again."
        )
        raise Unavailable("image.file_gone", detail)
    hypervisor = hypervisor_for(copy.host)
    total = copy.image.size_bytes
    text = f"Sending {copy.image.name} to {copy.host.name}"
    with run.step("prepare", text, progress=_percent(copy.sent_bytes, total)):
        offset = _ensure_target(copy, hypervisor)
    so_far = f"{text}: {offset >> 20} of {total >> 20} MiB"
    with (
        run.step("send", so_far, progress=_percent(offset, total)),
        image_path(copy.image).open("rb") as source,
    ):
        sent = hypervisor.upload(
            pool=names(),
            name=copy.volume_name,
            source=source,
            offset=offset,
            length=total - offset,
            seconds=PIECE_SECONDS,
        )
    with run.write():
        ImageCopy.objects.filter(pk=copy.pk).update(sent_bytes=sent, ready=sent >= total)
    if sent < total:
        raise Postpone(f"{text}: {sent >> 20} of {total >> 20} MiB", seconds=0, renew=sent > offset)
    image_wake_waiting(copy.host)


def _percent(part: int, whole: int) -> int:
    return min(99, part * 100 // max(1, whole))


def _ensure_target(copy: ImageCopy, hypervisor: Hypervisor) -> int:
    """Have the volume to send into; where it is missing on the host, begin again."""
    known = hypervisor.volume(names(), copy.volume_name)
    if known is not None:
        return copy.sent_bytes
    image = copy.image
    spec = VolumeSpec(
        pool=names(),
        name=copy.volume_name,
        capacity_bytes=image.virtual_size_bytes,
        format="iso" if image.is_iso else "raw" if image.format == "raw" else "qcow2",
    )
    hypervisor.ensure_volume(spec)
    return 0


def image_wake_waiting(host: Host) -> None:
    """Creates that wait for an image on this host go on at once."""
    waiting = Operation.objects.filter(kind="vm.create", status=Status.QUEUED, host_id=host.pk)
    for operation_id in waiting.values_list("pk", flat=True):
        Operation.objects.filter(pk=operation_id, status=Status.QUEUED).update(run_after=Now())
        ring_on_commit(operation_id)


def image_send_failed(operation_ids: list[str]) -> Operation | None:
    """One of the sendings that somebody waited for, if it has failed or was cancelled."""
    return Operation.objects.filter(pk__in=operation_ids, status__in=[Status.FAILED, Status.CANCELLED]).first()


def copy_gone(copy_id: uuid.UUID) -> None:
    """The host lost its copy: the next create sends it again."""
    ImageCopy.objects.filter(pk=copy_id).update(ready=False, sent_bytes=0)


def image_is_there(hypervisor: Hypervisor, image: Image, copy: ImageCopy) -> bool:
    """Whether a copy that we think is ready is still on the host."""
    known = hypervisor.volume(names(), copy.volume_name)
    return known is not None and image.virtual_size_bytes == known.capacity_bytes
