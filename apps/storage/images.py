"""Writing images on the side of people: offer a file, have one fetched, change, delete, tidy up copies.

Every function writes the wish, the operation and the event in one transaction; a dry run is the same call rolled
back.
"""

import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.selectors import require_admin
from apps.envelope.mutation import Plan
from apps.errors import Conflict, Forbidden, refused
from apps.events.services import event_record
from apps.names import valid_cpu_features, valid_name
from apps.operations.models import Operation
from apps.operations.services import operation_create
from apps.storage.addresses import checksum_checked, url_checked
from apps.storage.catalogue import Offer, offer_wanted
from apps.storage.models import Image, ImageCopy, ImageStatus
from apps.storage.selectors import copies_unused, image_owned, image_users, images_outlived, incoming_dir

ARCHITECTURES = ("x86_64", "aarch64")
FORMATS = ("qcow2", "raw", "iso")
PACKED = ("xz", "gz", "bz2")
MOST_UNFINISHED = 10
UNFINISHED = (ImageStatus.UPLOADING, ImageStatus.IMPORTING, ImageStatus.CHECKING)


@dataclass(frozen=True, kw_only=True)
class ImageChange:
    """An image after the wish was written, the operation that carries it out if there is one, and the plan."""

    image: Image
    plan: Plan
    operation: Operation | None = field(default=None)


@transaction.atomic
def image_create(
    *,
    actor: User,
    name: str = "",
    url: str = "",
    checksum: str = "",
    checksum_url: str = "",
    catalogue: str = "",
    size_bytes: int | None = None,
    packed: str = "",
    **about: Any,
) -> ImageChange:
    """Wish for an image: fetched from an address or the catalogue, or, with neither, uploaded afterwards.

    Raises ``Refused`` naming the field.
    """
    if catalogue and url:
        raise refused("url", "image.url_and_catalogue", "Give an address or an image of the catalogue; not both.")
    if packed and packed not in PACKED:
        raise refused("packed", "image.packed", f"A packed file is {', '.join(PACKED)}.")
    if catalogue:
        return _from_catalogue(actor, offer_wanted(catalogue), name=name, checksum=checksum, about=about)
    valid_name("name", name)
    if url:
        return _import(actor, name, url, checksum=checksum, sums=checksum_url, packed=packed, about=about)
    if size_bytes is not None and not 1 <= size_bytes <= settings.UPLOAD_LIMIT_BYTES:
        limit = settings.UPLOAD_LIMIT_BYTES >> 20
        raise refused("size_bytes", "image.too_large", f"An image file has 1 byte to {limit} MiB.")
    if checksum_url:
        raise refused("checksum_url", "image.checksum_url", "A list of checksums belongs to an address.")
    if packed:
        raise refused("packed", "image.packed", "Unpack a file before you upload it.")
    image = _new(actor, name, status=ImageStatus.UPLOADING, expected_bytes=size_bytes, about=about)
    image.checksum = checksum_checked(checksum) if checksum else ""
    _save_new(image, actor=actor)
    plan = Plan(changes=(f"make room for the file of {image.name}", "wait for its upload"))
    return ImageChange(image=image, plan=plan)


def _from_catalogue(actor: User, offer: Offer, *, name: str, checksum: str, about: dict[str, Any]) -> ImageChange:
    own = {
        "title": offer.title,
        "default_user": offer.user,
        "min_disk_gib": offer.disk_gib,
        "min_memory_mib": offer.memory_mib,
        "architecture": offer.architecture,
        "firmware": offer.firmware,
        "cloud_init": offer.cloud_init,
    }
    sums = "" if checksum else offer.sums
    about = {**own, **about}
    return _import(
        actor, valid_name("name", name or offer.name), offer.url, checksum=checksum, sums=sums, packed=offer.packed,
        about=about,
    )  # fmt: skip


def _import(
    actor: User, name: str, url: str, *, checksum: str, sums: str, packed: str, about: dict[str, Any]
) -> ImageChange:
    url_checked("url", url)
    if checksum and sums:
        raise refused("checksum_url", "image.checksum_twice", "Give the checksum or where it stands; not both.")
    if not checksum and not sums:
        detail = "Give the checksum (sha256:… or sha512:…), or checksum_url, the vendor's list of checksums."
        raise refused("checksum", "image.checksum_missing", detail)
    image = _new(actor, name, status=ImageStatus.IMPORTING, expected_bytes=None, about=about)
    image.source = url[:500]
    image.checksum = checksum_checked(checksum) if checksum else ""
    _save_new(image, actor=actor)
    params = {"url": url, "sums": url_checked("checksum_url", sums) if sums else "", "packed": packed}
    operation = operation_create(kind="image.import", target_type="image", target=image, actor=actor, params=params)
    plan = Plan(changes=(f"fetch {url}", "compare its checksum", f"check it and enter it as {image.name}"))
    return ImageChange(image=image, operation=operation, plan=plan)


def _new(actor: User, name: str, *, status: ImageStatus, expected_bytes: int | None, about: dict[str, Any]) -> Image:
    image = Image(owner=actor, name=name, status=status, expected_bytes=expected_bytes)
    image.source_format = about.pop("format", "qcow2")
    if image.source_format not in FORMATS:
        raise refused("format", "image.format", "An image is qcow2, raw or iso. Convert others with qemu-img first.")
    if image.source_format == "iso":  # nobody reads a seed beside a CD; what is installed from it may do so later
        about["cloud_init"] = False
    _describe(image, actor=actor, about=about)
    if Image.objects.filter(owner=actor, status__in=UNFINISHED).count() >= MOST_UNFINISHED:
        raise Conflict(
            "image.too_many", f"{MOST_UNFINISHED} of your images are not finished yet. Finish or delete some."
        )
    return image


def _describe(image: Image, *, actor: User, about: dict[str, Any]) -> None:
    """What people say about an image: ``title``, ``architecture``, ``default_user``, ``min_disk_gib``, …"""
    if about.get("public") and not actor.is_admin:
        raise Forbidden("image.public_admin_only", "Only administrators make an image public.")
    if about.get("architecture", "x86_64") not in ARCHITECTURES:
        raise refused("architecture", "image.architecture", f"Known architectures: {', '.join(ARCHITECTURES)}.")
    user = about.get("default_user", "")
    if user and not (user.isascii() and user.replace("-", "").replace("_", "").isalnum() and user[0].isalpha()):
        raise refused("default_user", "image.default_user", "A user name has letters, digits, - and _.")
    for name, most in (("min_disk_gib", 65536), ("min_memory_mib", 4194304)):
        if not 0 <= about.get(name, 0) <= most:
            raise refused(name, "image.out_of_range", f"{name} lies between 0 and {most}.")
    if "cpu_features" in about:
        about = {**about, "cpu_features": list(valid_cpu_features(about["cpu_features"]))}
    columns = {"min_disk_gib": "least_disk_gib"}
    for name, value in about.items():
        setattr(image, columns.get(name, name), value)


def _save_new(image: Image, *, actor: User) -> None:
    try:
        with transaction.atomic():
            image.save(force_insert=True)
    except IntegrityError as error:
        raise _taken(image.name) from error
    event_record(kind="image.added", target_type="image", target=image, actor=actor, message=f"{image.name} was begun")


def _taken(name: str) -> Exception:
    return refused("name", "image.name_taken", f"There is already an image named {name!r}.")


@transaction.atomic
def image_update(*, actor: User, image_id: uuid.UUID, name: str | None = None, **about: Any) -> Image:
    """Change what our records say about an image. No file and no host is touched."""
    image = image_owned(actor=actor, image_id=image_id)
    if name is not None:
        image.name = valid_name("name", name)
    _describe(image, actor=actor, about=about)
    try:
        with transaction.atomic():
            image.save()
    except IntegrityError as error:
        raise _taken(image.name) from error
    words = ", ".join(sorted({*about, *(["name"] if name else [])}))
    event_record(kind="image.update", target_type="image", target=image, actor=actor, message=f"Changed: {words}")
    return image


@transaction.atomic
def image_delete(*, actor: User, image_id: uuid.UUID) -> ImageChange:
    """Delete the image with its file and its copies on hosts. Raises ``Conflict`` naming the VMs that need it."""
    image = image_owned(actor=actor, image_id=image_id)
    check_unused(actor=actor, image=image)
    Image.objects.filter(pk=image.pk).update(status=ImageStatus.DELETING)
    image.status = ImageStatus.DELETING
    operation = operation_create(kind="image.delete", target_type="image", target=image, actor=actor, deletes=True)
    copies = image.copies.select_related("host")
    where = (f"delete its copy on {copy.host.name if actor.is_admin else 'a host'}" for copy in copies)
    plan = Plan(changes=(*where, f"delete the file of {image.name}"), reversible=False)
    return ImageChange(image=image, operation=operation, plan=plan)


def check_unused(*, actor: User, image: Image) -> None:
    """Raises ``Conflict`` with the list while a VM or a disk needs the image."""
    named, others = image_users(actor=actor, image=image)
    if not named and not others and not image.volumes.exists():
        return
    words = [*named[:20], *([f"{others} of other people"] if others else [])] or ["a disk that was made from it"]
    raise Conflict("image.in_use", f"{image.name} is used by {', '.join(words)}.", vms=named)


# --- copies on hosts


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """What tidying up would do, or has begun."""

    operations: list[Operation]
    plan: Plan


@transaction.atomic
def images_prune(*, actor: User | None, older_than_days: int | None = None) -> Pruning:
    """Remove copies that no VM on their host needs, and images that were replaced; one operation for each.

    Each is an operation of its own on the copy, so that a create that needs this copy waits for it or has it sent
    anew. ``actor`` is None for the daily round.
    """
    if actor is not None:
        require_admin(actor)
    days = settings.IMAGE_KEEP_DAYS if older_than_days is None else older_than_days
    if not 0 <= days <= 3650:
        raise refused("older_than_days", "image.older_than", "older_than_days lies between 0 and 3650.")
    outlived = [image for image in images_outlived() if not image_users_any(image)]
    gone = {image.pk for image in outlived}
    changes, operations = [], []
    for copy in copies_unused(before=timezone.now() - timedelta(days=days)):
        if copy.image_id not in gone and (begun := _begin(copy, actor)) is not None:
            operations.append(begun)
            changes.append(
                f"remove the copy of {copy.image.name} from {copy.host.name} ({copy.image.size_bytes >> 20} MiB)"
            )
    for image in outlived:
        Image.objects.filter(pk=image.pk).update(status=ImageStatus.DELETING)
        operations.append(
            operation_create(kind="image.delete", target_type="image", target=image, actor=actor, deletes=True)
        )
        changes.append(f"delete the replaced image {image.name} and its copies ({image.size_bytes >> 20} MiB each)")
    return Pruning(operations=operations, plan=Plan(changes=tuple(changes), reversible=False))


def image_users_any(image: Image) -> bool:
    """Whether anything at all points at the image but its own copies."""
    return any(
        relation.related_model._base_manager.filter(**{relation.field.name: image}).exists()
        for relation in Image._meta.related_objects
        if relation.related_model is not ImageCopy
    )


def _begin(copy: ImageCopy, actor: User | None) -> Operation | None:
    """None: something is being done with this copy, so it is not unused."""
    try:
        return operation_create(
            kind="image.prune", target_type="image_copy", target=copy, actor=actor, host_id=copy.host_id
        )
    except Conflict:
        return None


# --- from a virtual machine


def image_of_disk(*, actor: User, name: str, base: Image | None, title: str) -> Image:
    """The row of an image that will be made from a VM's disk; it inherits what is known of the VM's own image."""
    valid_name("name", name)
    known = {} if base is None else {
        "architecture": base.architecture,
        "firmware": base.firmware,
        "devices": base.devices,
        "default_user": base.default_user,
        "min_memory_mib": base.min_memory_mib,
        "cpu_features": base.cpu_features,
        "cloud_init": base.cloud_init,
    }  # fmt: skip
    image = _new(actor, name, status=ImageStatus.IMPORTING, expected_bytes=None, about={"title": title, **known})
    image.source = title
    _save_new(image, actor=actor)
    return image


def incoming_ensure(image: Image) -> None:
    """Have the directory for a file that is on its way, for us alone."""
    incoming_dir(image.pk).mkdir(mode=0o700, parents=True, exist_ok=True)
