"""Reading images and disks."""

import uuid
from pathlib import Path

from django.conf import settings
from django.db.models import QuerySet

from apps.accounts.models import User
from apps.errors import NotFound, refused
from apps.hosts.models import Host
from apps.names import as_id
from apps.storage.models import Image, ImageCopy, Volume


def images_for(*, actor: User) -> QuerySet[Image]:
    """Images are public: everybody who is signed in sees them."""
    return Image.objects.all() if actor.is_active else Image.objects.none()


def image_for(*, actor: User, image_id: uuid.UUID) -> Image:
    """One image. Raises ``NotFound``."""
    image = images_for(actor=actor).filter(pk=image_id).first()
    if image is None:
        raise NotFound("image.not_found", "There is no image with this id.")
    return image


def image_wanted(*, actor: User, reference: str) -> Image:
    """The image that a body names by id or name. Raises ``Refused`` on the field."""
    image_id = as_id(reference)
    by = {"pk": image_id} if image_id else {"name": reference}
    image = images_for(actor=actor).filter(**by).first()
    if image is None:
        raise refused("image", "image.unknown", f"There is no image {reference!r}.")
    return image


def image_path(image: Image) -> Path:
    """Where the file lies: under the id, never under a name that somebody typed."""
    return Path(settings.STATE_DIR) / "images" / f"{image.pk}.{image.format}"


def copies_of(*, actor: User, image: Image) -> QuerySet[ImageCopy]:
    """The copies on hosts, for admins."""
    copies = image.copies.select_related("host", "image").order_by("host__name")
    return copies if actor.is_admin else copies.none()


def volumes_on(*, host: Host) -> QuerySet[Volume]:
    """Every disk of ours on a host."""
    return host.volumes.select_related("image")
