"""The file of an image as it comes in: streamed to the disk, in pieces if somebody likes, one at a time.

The file itself says how far it came, so whoever was interrupted asks for ``received_bytes`` and goes on there.
"""

import fcntl
import os
import shutil
import uuid
from dataclasses import dataclass
from typing import BinaryIO

from django.conf import settings
from django.db import transaction

from apps.accounts.models import User
from apps.envelope.mutation import Plan
from apps.errors import Conflict, Unavailable, refused
from apps.operations.services import operation_create
from apps.storage.images import ImageChange, incoming_ensure
from apps.storage.models import Image, ImageStatus
from apps.storage.selectors import image_owned, incoming_dir, received_bytes
from imagefile.errors import ImageRefused
from imagefile.inspector import inspect

RESERVE = 2 * 2**30


@dataclass
class Upload:
    """One request that carries a file, from its first look to its end. Holds the lock of the file while open."""

    file: BinaryIO | None = None

    def close(self) -> None:
        """Let others go on. Closing twice is fine."""
        if self.file is not None:
            self.file.close()


def upload_open(*, actor: User, image_id: uuid.UUID, offset: int, length: int) -> BinaryIO:
    """The file, positioned where this piece begins. Raises ``Conflict`` where another one is being sent, or where the
    piece does not fit what is here, ``Refused`` for one beyond the limit, ``Unavailable`` without room."""
    with transaction.atomic():
        image = _uploading(actor, image_id)
    _check_length(image, offset, length)
    incoming_ensure(image)
    if shutil.disk_usage(incoming_dir(image.pk)).free < length + RESERVE:
        raise Unavailable("image.no_space", "There is no room for this file on the control plane.")
    descriptor = os.open(
        incoming_dir(image.pk) / "source", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
    )
    file = os.fdopen(descriptor, "wb", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise Conflict("image.upload_in_flight", "Another request is sending this file now.") from error
    here = file.seek(0, os.SEEK_END)
    if here != offset:
        file.close()
        raise Conflict("image.offset", f"{here} bytes are here; go on there.", received_bytes=here)
    return file


def _uploading(actor: User, image_id: uuid.UUID) -> Image:
    image = image_owned(actor=actor, image_id=image_id)
    if image.status != ImageStatus.UPLOADING:
        state = image.get_status_display().lower()
        raise Conflict("image.not_uploading", f"{image.name} waits for no file: it is {state}.")
    return image


def _check_length(image: Image, offset: int, length: int) -> None:
    if offset < 0 or length < 1:
        raise refused("offset", "image.offset", "A piece begins at 0 or later and has at least one byte.")
    most = settings.UPLOAD_LIMIT_BYTES if image.expected_bytes is None else image.expected_bytes
    if offset + length > most:
        raise refused("file", "image.too_large", f"The file is larger than {most} bytes.")


@transaction.atomic
def upload_plan(*, actor: User, image_id: uuid.UUID, offset: int, length: int) -> Plan:
    """What a piece would do, for a dry run; nothing is opened."""
    image = _uploading(actor, image_id)
    _check_length(image, offset, length)
    here = received_bytes(image)
    if here != offset:
        raise Conflict("image.offset", f"{here} bytes are here; go on there.", received_bytes=here)
    return Plan(changes=(f"take {length} bytes of {image.name}", "check it once it is whole"))


@transaction.atomic
def upload_end(*, actor: User, image_id: uuid.UUID) -> ImageChange:
    """A piece has come whole. With the last one the file is looked at, and a worker checks and converts it.

    Raises ``Refused`` for a file that can be seen to be none of ours; then nothing of it stays.
    """
    image = _uploading(actor, image_id)
    here = received_bytes(image)
    Image.objects.filter(pk=image.pk).update(received_bytes=here)
    image.received_bytes = here
    if image.expected_bytes is not None and here < image.expected_bytes:
        return ImageChange(image=image, plan=Plan(changes=("wait for the rest",)))
    source = incoming_dir(image.pk) / "source"
    try:
        inspect(source, declared=image.source_format, most_virtual_bytes=settings.IMAGE_DISK_LIMIT_BYTES)
    except ImageRefused as error:
        source.unlink(missing_ok=True)
        raise refused("file", error.code, error.detail) from error
    Image.objects.filter(pk=image.pk).update(status=ImageStatus.CHECKING)
    image.status = ImageStatus.CHECKING
    operation = operation_create(kind="image.check", target_type="image", target=image, actor=actor)
    return ImageChange(image=image, operation=operation, plan=Plan(changes=(f"check {image.name}",)))
