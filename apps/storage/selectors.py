"""Reading images and disks."""

import uuid
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import PROTECT, Exists, OuterRef, Q, QuerySet

from apps.accounts.models import User
from apps.errors import Forbidden, NotFound, refused
from apps.hosts.models import Host, HostStatus
from apps.names import as_id
from apps.operations.models import ACTIVE, Operation
from apps.operations.selectors import operations_for
from apps.storage.models import Image, ImageCopy, ImageStatus, Volume

OPEN = Q(public=True) | Q(owner=None)


def images_for(*, actor: User) -> QuerySet[Image]:
    """One's own images and those that are public; all for admins."""
    images = Image.objects.select_related("owner")
    if actor.is_admin:
        return images
    return images.filter(Q(owner=actor) | OPEN) if actor.is_active else images.none()


def image_for(*, actor: User, image_id: uuid.UUID) -> Image:
    """One image. Raises ``NotFound``."""
    image = images_for(actor=actor).filter(pk=image_id).first()
    if image is None:
        raise NotFound("image.not_found", "There is no image with this id.")
    return image


def image_owned(*, actor: User, image_id: uuid.UUID) -> Image:
    """One image to change, under a row lock. Raises ``NotFound``, or ``Forbidden`` for one that is only public."""
    image = images_for(actor=actor).filter(pk=image_id).select_for_update(of=("self",)).first()
    if image is None:
        raise NotFound("image.not_found", "There is no image with this id.")
    if not actor.is_admin and image.owner_id != actor.pk:
        raise Forbidden("image.not_yours", "You may use this image, but only its owner or an administrator changes it.")
    return image


def image_wanted(*, actor: User, reference: str) -> Image:
    """The image that a body names by id or name: one's own before a public one. Raises ``Refused`` on the field."""
    image_id = as_id(reference)
    found = images_for(actor=actor)
    if image_id:
        image = found.filter(pk=image_id).first()
    else:
        named = found.filter(Q(owner=actor) | OPEN, name=reference)
        image = min(named, key=lambda image: image.owner_id != actor.pk, default=None)
    if image is None:
        raise refused("image", "image.unknown", f"There is no image {reference!r}.")
    if image.status != ImageStatus.READY:
        state = image.get_status_display().lower()
        raise refused("image", "image.not_ready", f"{image.name} cannot be used: it is {state}.")
    return image


def images_usable(*, actor: User) -> QuerySet[Image]:
    """What this person can start a VM from, one's own first where two have the same name."""
    return images_for(actor=actor).filter(Q(owner=actor) | OPEN, status=ImageStatus.READY)


def image_path(image: Image) -> Path:
    """Where the file lies: under the id, never under a name that somebody typed."""
    return Path(settings.STATE_DIR) / "images" / f"{image.pk}.{image.format}"


def incoming_dir(image_id: uuid.UUID) -> Path:
    """Where the file lies until it was checked."""
    return Path(settings.STATE_DIR) / "images" / "incoming" / str(image_id)


def received_bytes(image: Image) -> int:
    """How much of the file is here. The file says it, so that an interrupted upload can go on."""
    try:
        return (incoming_dir(image.pk) / "source").stat().st_size
    except FileNotFoundError:
        return 0


def image_users(*, actor: User, image: Image) -> tuple[list[str], int]:
    """Who needs the image: the names of those VMs that this person may see, and how many others there are."""
    named, others = set(), 0
    for relation in Image._meta.related_objects:
        if relation.on_delete is not PROTECT or not hasattr(relation.related_model, "owner_id"):
            continue
        for user in relation.related_model._base_manager.filter(owner__isnull=False, **{relation.field.name: image}):
            if actor.is_admin or user.owner_id == actor.pk:
                named.add(str(user))
            else:
                others += 1
    return sorted(named), others


def copies_unused(*, before: datetime) -> QuerySet[ImageCopy]:
    """Copies that nothing on their host needs: not needed since then, or of images that were replaced."""
    old = Q(used_at__lte=before) | Q(image__superseded=True)
    found = ImageCopy.objects.filter(old).select_related("image", "host")
    for users in _users_on_hosts(image=OuterRef("image"), host=OuterRef("host")):
        found = found.exclude(Exists(users))
    return found.filter(host__status=HostStatus.UP).order_by("host__name", "image__name")


def used_on(*, image_id: uuid.UUID, host_id: uuid.UUID) -> bool:
    """Whether anything on a host needs its copy of an image: a disk made from it, a machine with it in its drive."""
    return any(users.exists() for users in _users_on_hosts(image=image_id, host=host_id))


def _users_on_hosts(*, image: Any, host: Any) -> list[QuerySet[Any]]:
    """What points at an image and is on a host itself; those above this app are found by their foreign keys."""
    return [
        relation.related_model._base_manager.filter(**{relation.field.name: image, "host": host})
        for relation in Image._meta.related_objects
        if relation.related_model is not ImageCopy and hasattr(relation.related_model, "host_id")
    ]


def images_outlived() -> QuerySet[Image]:
    """Images that were replaced by a newer one under their name and that no disk was made from."""
    return Image.objects.filter(
        ~Exists(Volume.objects.filter(image=OuterRef("pk"))), superseded=True, status=ImageStatus.READY
    )


def copies_of(*, actor: User, image: Image) -> QuerySet[ImageCopy]:
    """The copies on hosts, for admins."""
    copies = image.copies.select_related("host", "image").order_by("host__name")
    return copies if actor.is_admin else copies.none()


def volumes_on(*, host: Host) -> QuerySet[Volume]:
    """Every disk of ours on a host."""
    return host.volumes.select_related("image")


def operations_on_images(*, actor: User, images: Collection[Image]) -> dict[uuid.UUID, Operation]:
    """What is being done to each image. One that is made of a VM's disk is made by an operation on that VM."""
    ids = {str(image.pk): image.pk for image in images}
    made_of_vm = Q(kind="vm.image", params__image__in=list(ids))
    active = operations_for(actor=actor).filter(Q(target_id__in=ids.values()) | made_of_vm, status__in=ACTIVE)
    found = sorted(active, key=lambda operation: operation.deletes)
    return {ids.get(operation.params.get("image", ""), operation.target_id): operation for operation in found}
