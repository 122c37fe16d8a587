"""Writing images, their copies and disks."""

import hashlib
import os
import uuid
from pathlib import Path

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from apps.accounts.models import User
from apps.errors import Conflict
from apps.events.services import event_record
from apps.hosts.models import Host
from apps.names import valid_name
from apps.operations.models import ACTIVE, Operation
from apps.operations.services import operation_create
from apps.storage.models import Image, ImageCopy, Volume
from apps.storage.selectors import image_path

CHUNK = 4 * 2**20


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def image_register(
    *,
    name: str,
    file: Path,
    virtual_size_bytes: int,
    title: str = "",
    source: str = "",
    cloud_init: bool = True,
    default_user: str = "",
    min_memory_mib: int = 0,
    image_format: str = "qcow2",
) -> Image:
    """Know an image whose file was made on this machine by us. The file is linked or copied in.

    The same content under a known name is left alone. Other content gets the name, and the image that had it
    keeps its id, its file and its VMs under a name with the beginning of its checksum.
    """
    valid_name("name", name)
    digest = file_sha256(file)
    known = Image.objects.filter(name=name, owner=None).first()
    if known is not None and known.sha256 == digest and image_path(known).exists():
        return known
    image = Image(name=name, public=True)
    if known is not None and known.sha256 == digest:
        image = known
    image.title, image.source, image.default_user = title, source, default_user
    image.format, image.sha256, image.cloud_init = image_format, digest, cloud_init
    image.size_bytes, image.virtual_size_bytes = file.stat().st_size, virtual_size_bytes
    image.min_memory_mib = min_memory_mib
    _place(file, image_path(image))
    with transaction.atomic():
        if known is not None and known.pk != image.pk:
            Image.objects.filter(pk=known.pk).update(name=f"{name[:50]}-{known.sha256[:8]}", superseded=True)
        image.save()
        event_record(kind="image.added", target_type="image", target=image, message=f"Image {name} was added")
    return image


def _place(file: Path, path: Path) -> None:
    """Have the file under its final name, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    try:
        os.link(file, part)
    except OSError:
        with file.open("rb") as source, part.open("wb") as target:
            while chunk := source.read(CHUNK):
                target.write(chunk)
    part.replace(path)


def image_copy_ensure(*, image: Image, host: Host, actor: User | None) -> tuple[ImageCopy, Operation | None]:
    """The copy of an image on a host, and the operation that sends it unless it is ready.

    Creates wait for the one operation: whoever comes second finds it.
    """
    copy, _created = ImageCopy.objects.get_or_create(image=image, host=host)
    ImageCopy.objects.filter(pk=copy.pk).update(used_at=Now())
    if copy.ready:
        return copy, None
    active = Operation.objects.filter(target_id=copy.pk, status__in=ACTIVE).first()
    if active is not None:
        return copy, active
    try:
        with transaction.atomic():
            return copy, operation_create(
                kind="image.send", target_type="image_copy", target=copy, actor=actor, host_id=host.pk
            )
    except Conflict:
        active = Operation.objects.filter(target_id=copy.pk, status__in=ACTIVE).first()
        if active is None:
            raise
        return copy, active


def volume_record(*, volume_id: uuid.UUID, host: Host, image: Image | None, size_gib: int) -> Volume:
    """Know a disk before it is made; the same row when asked again."""
    try:
        with transaction.atomic():
            volume, _created = Volume.objects.get_or_create(
                id=volume_id, defaults={"host": host, "image": image, "size_gib": size_gib}
            )
            return volume
    except IntegrityError:
        return Volume.objects.get(pk=volume_id)
