"""What operations on images do: check what came in, delete, tidy up copies on hosts."""

import shutil
import uuid
from datetime import timedelta
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import ProtectedError
from django.utils import timezone

from apps.errors import Conflict, Refused, Unavailable
from apps.hosts.models import Host
from apps.operations.models import Operation
from apps.storage.images import images_prune
from apps.storage.models import Image, ImageCopy, ImageStatus
from apps.storage.selectors import image_path, incoming_dir, used_on
from hypervisor.interface import Hypervisor
from imagefile import job
from imagefile.job import Job
from workers.connections import hypervisor_for
from workers.engine import Postpone, Run
from workers.hosts import names

POLL_SECONDS = 1.0
MOST_JOBS = 3


def image_of(run: Run) -> Image | None:
    return Image.objects.filter(pk=run.operation.target_id).first()


def image_check(run: Run) -> None:
    """An uploaded file becomes an image, or is refused."""
    if (image := image_of(run)) is not None:
        image_finish(run, image)


def image_finish(run: Run, image: Image, *, packed: str = "", base: Image | None = None) -> None:
    """The way through the one gate behind every door. The job lasts longer than a claim: it is started in one and
    looked at in later ones. ``base``: the file is the overlay of a VM, over this image."""
    directory = incoming_dir(image.pk)
    if (outcome := job.result(directory)) is None:
        with run.step("check", f"Checking and converting {image.name}", progress=90):
            _keep_job_going(run, directory_job(image, packed=packed, base=base), image)
        raise Postpone(f"Checking and converting {image.name}", seconds=POLL_SECONDS, renew=True)
    if "code" in outcome:
        raise Refused(outcome["code"], outcome["detail"])
    with run.step("enter", f"Entering {image.name}", progress=98):
        image.format = "iso" if image.source_format == "iso" else "qcow2"
        made, final = directory / f"image.{image.format}", image_path(image)
        if made.exists():
            made.replace(final)
    with run.write():
        Image.objects.filter(pk=image.pk).exclude(status=ImageStatus.DELETING).update(
            status=ImageStatus.READY, reason="", format=image.format, **outcome
        )
    shutil.rmtree(directory, ignore_errors=True)


def directory_job(image: Image, *, packed: str, base: Image | None) -> Job:
    """The job for the file of an image."""
    over = {} if base is None else {
        "base": str(image_path(base)),
        "base_format": base.format,
        "base_name": f"img-{base.pk}.{base.format}",
    }  # fmt: skip
    return Job(
        format=image.source_format,
        most_bytes=settings.UPLOAD_LIMIT_BYTES,
        most_virtual_bytes=settings.IMAGE_DISK_LIMIT_BYTES,
        checksum=image.checksum,
        packed=packed,
        **over,
    )


def _keep_job_going(run: Run, wanted: Job, image: Image) -> None:
    """Start it unless it runs. One that died without a word is started anew, a few times."""
    directory = incoming_dir(image.pk)
    if not (directory / "source").exists():
        raise Refused("image.no_file", "The file is not here any more. Begin again with a new image.")
    if job.is_running(directory):
        return
    begun = int(run.operation.state.get("jobs", 0))
    if begun >= MOST_JOBS:
        raise Unavailable("image.check_died", "Checking the file was broken off several times; the log has more.")
    if job.start(directory, wanted):
        run.remember(jobs=begun + 1)


def image_failed(operation: Operation, message: str) -> None:
    """It stays visible with the reason; nothing of its file does."""
    image_id = uuid.UUID(operation.params.get("image", str(operation.target_id)))
    Image.objects.filter(pk=image_id).exclude(status=ImageStatus.DELETING).update(
        status=ImageStatus.ERROR, reason=message[:500], received_bytes=0
    )
    transaction.on_commit(partial(shutil.rmtree, incoming_dir(image_id), ignore_errors=True))


# --- going away


def copy_remove(run: Run, copy: ImageCopy, hypervisor: Hypervisor) -> None:
    """Take a copy off its host, unless any disk there reads through it: the host is asked, not our records alone.

    Whoever makes a disk from it holds the copy's row (``copy_hold``), so no disk appears in between.
    """
    where = f"the copy of {copy.image.name} on {copy.host.name}"
    with run.step("read", f"Looking who needs {where}"):
        dependents = hypervisor.dependents(names(), copy.volume_name)
    if dependents:
        raise Conflict("image.in_use", f"On {copy.host.name} {', '.join(sorted(dependents)[:5])} read through it.")
    with run.write():
        ImageCopy.objects.select_for_update().get(pk=copy.pk)
        if used_on(image_id=copy.image_id, host_id=copy.host_id):
            raise Conflict("image.in_use", f"A machine on {copy.host.name} needs it.")
        ImageCopy.objects.filter(pk=copy.pk).update(ready=False, sent_bytes=0)
    with run.step("remove", f"Removing {where}"):
        hypervisor.remove_volume(names(), copy.volume_name)
    with run.write():
        ImageCopy.objects.filter(pk=copy.pk).delete()


def copy_hold(image: Image, host: Host) -> None:
    """Called in the transaction that records a disk made from the image. Raises ``Postpone`` if the copy just went."""
    copy = ImageCopy.objects.select_for_update().filter(image=image, host=host, ready=True).first()
    if copy is None:
        raise Postpone(f"Waiting for the image on {host.name}", seconds=POLL_SECONDS)


def image_prune(run: Run) -> None:
    """Remove one copy that no VM of its host uses."""
    copy = ImageCopy.objects.select_related("image", "host").filter(pk=run.operation.target_id).first()
    if copy is not None:
        copy_remove(run, copy, hypervisor_for(copy.host))


def image_delete(run: Run) -> None:
    """The copies on hosts, the row, the file; what is gone already is fine."""
    if (image := image_of(run)) is None:
        return
    for copy in image.copies.select_related("image", "host"):
        copy_remove(run, copy, hypervisor_for(copy.host))
    with run.step("forget", f"Deleting the file of {image.name}", progress=90), run.write():
        try:
            Image.objects.get(pk=image.pk).delete()
        except ProtectedError as error:
            raise Conflict("image.in_use", f"{image.name} came into use.") from error
        image_path(image).unlink(missing_ok=True)
        shutil.rmtree(incoming_dir(image.pk), ignore_errors=True)


def image_delete_failed(operation: Operation, message: str) -> None:
    """Usable again where its file is still there."""
    image = Image.objects.filter(pk=operation.target_id, status=ImageStatus.DELETING).first()
    if image is not None:
        status = ImageStatus.READY if image_path(image).exists() else ImageStatus.ERROR
        reason = f"Deleting failed: {message}"[:500]
        Image.objects.filter(pk=image.pk).update(status=status, reason=reason)


def images_forget() -> None:
    """The daily round: uploads that nobody went on with, directories without an image, copies that nobody needs."""
    long_ago = timezone.now() - timedelta(days=1)
    for image in Image.objects.filter(status=ImageStatus.UPLOADING, created_at__lt=long_ago):
        source = incoming_dir(image.pk) / "source"
        if not source.exists() or source.stat().st_mtime < long_ago.timestamp():
            image.delete()
    incoming = incoming_dir(uuid.UUID(int=0)).parent
    known = {str(pk) for pk in Image.objects.values_list("pk", flat=True)}
    for directory in incoming.iterdir() if incoming.exists() else ():
        if directory.name not in known and directory.stat().st_mtime < long_ago.timestamp():
            shutil.rmtree(directory, ignore_errors=True)
    for image_id, host_id in ImageCopy.objects.values_list("image", "host"):
        if used_on(image_id=image_id, host_id=host_id):
            ImageCopy.objects.filter(image=image_id, host=host_id).update(used_at=timezone.now())
    if settings.IMAGE_KEEP_DAYS:
        images_prune(actor=None)
