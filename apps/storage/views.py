"""Pages of images and of their copies on hosts."""

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.accounts.models import Role
from apps.accounts.selectors import require_admin
from apps.errors import AppError
from apps.events.selectors import events_on
from apps.operations.models import ACTIVE
from apps.operations.selectors import operations_for
from apps.pages import PageRequest, form_page, page, page_of, preview, render_form, show, show_refusal
from apps.storage import images as services
from apps.storage.forms import ABOUT, ImageCreateForm, ImageDeleteForm, ImageUpdateForm, PruneForm
from apps.storage.images import UNFINISHED, ImageChange, Pruning
from apps.storage.models import Image, ImageStatus
from apps.storage.selectors import copies_of, image_for, image_owned, images_for, operations_on_images, received_bytes

RECENT = 8
MOVING = (*UNFINISHED, ImageStatus.DELETING)


@page
def image_list(request: PageRequest) -> HttpResponse:
    """Every image that a VM can start from, and those that are on their way."""
    images = images_for(actor=request.user).annotate(
        ready_copies=Count("copies", filter=Q(copies__ready=True), distinct=True),
        disks=Count("volumes", distinct=True),
    )
    found = page_of(request, images, ordering=("-created_at", "-id"))
    moving = [image for image in found.rows if image.status in MOVING]
    operations = operations_on_images(actor=request.user, images=moving)
    context = {
        "section": "images",
        "page": found,
        "rows": [{"image": image, **_coming(image), "operation": operations.get(image.pk)} for image in found.rows],
        "is_live": bool(moving),
    }
    return show(request, "storage/image_list.html", "storage/image_rows.html", context)


def _coming(image: Image) -> dict[str, Any]:
    """How far an upload is."""
    return {"received": received_bytes(image) if image.status == ImageStatus.UPLOADING else image.received_bytes}


@page
def image_detail(request: PageRequest, image_id: uuid.UUID) -> HttpResponse:
    """One image: how far it is on its way, and how far it has come to each host."""
    image = image_for(actor=request.user, image_id=image_id)
    copies = list(copies_of(actor=request.user, image=image))
    sending = operations_for(actor=request.user).filter(target_id__in=[copy.pk for copy in copies], status__in=ACTIVE)
    operations = {operation.target_id: operation for operation in sending}
    recent = list(operations_for(actor=request.user).filter(target_id=image.pk)[:RECENT])
    making = operations_on_images(actor=request.user, images=[image]).get(image.pk)
    context = {
        "section": "images",
        "image": image,
        **_coming(image),
        "operation": making or (recent[0] if recent else None),
        "operations": recent,
        "copies": [{"copy": copy, "operation": operations.get(copy.pk)} for copy in copies],
        "events": events_on(actor=request.user, target_id=image.pk)[:RECENT],
        "is_live": bool(operations or making) or image.status in MOVING,
        "may_change": _may_change(request, image),
    }
    return show(request, "storage/image_detail.html", "storage/image_live.html", context)


def _may_change(request: PageRequest, image: Image) -> bool:
    """Which buttons are shown; the services decide again."""
    return request.user.is_admin or (image.owner_id == request.user.pk and request.user.role != Role.VIEWER)


@form_page
def image_create(request: PageRequest) -> HttpResponse:
    """Have an image fetched, or offer one for upload. The plan is the same call rolled back.

    With scripts a file is sent from this very page (``static/js/upload.js``), without them from the image's.
    """
    form = ImageCreateForm(request.POST or None, actor=request.user, initial={"way": request.GET.get("way", "upload")})
    change: ImageChange | None = None
    if request.method == "POST" and form.is_valid():
        try:
            wish = partial(services.image_create, actor=request.user, **form.wanted())
            if request.POST.get("intent") == "create":
                return redirect("image-detail", image_id=wish().image.pk)
            change = preview(wish)
        except AppError as error:
            show_refusal(form, error)
    most = settings.UPLOAD_LIMIT_BYTES
    context = {"section": "images", "form": form, "plan": change.plan if change else None, "most_bytes": most}
    if request.htmx:
        return render(request, "storage/image_plan.html", context)
    return render_form(request, "storage/image_create.html", context)


@form_page
def image_update(request: PageRequest, image_id: uuid.UUID) -> HttpResponse:
    """What is said about it, and who sees it. No file and no host is touched."""
    image = _owned(request, image_id)
    now = {name: getattr(image, name) for name in ("name", "public", *ABOUT)}
    now["cpu_features"] = ", ".join(image.cpu_features)
    now |= {"min_disk_gib": image.least_disk_gib or None, "min_memory_mib": image.min_memory_mib or None}
    form = ImageUpdateForm(request.POST or None, actor=request.user, initial=now)
    if request.method == "POST" and form.is_valid():
        try:
            name = form.cleaned_data["name"]
            services.image_update(actor=request.user, image_id=image_id, name=name, **form.about())
            return redirect("image-detail", image_id=image_id)
        except AppError as error:
            show_refusal(form, error)
    return render_form(request, "storage/image_update.html", {"section": "images", "image": image, "form": form})


@form_page
def image_delete(request: PageRequest, image_id: uuid.UUID) -> HttpResponse:
    """Delete it. What goes, or who needs it, stands there before."""
    image = _owned(request, image_id)
    form = ImageDeleteForm(request.POST if request.method == "POST" else None, name=image.name)
    wish = partial(services.image_delete, actor=request.user, image_id=image_id)
    if request.method == "POST" and form.is_valid():
        try:
            operation = wish().operation
            assert operation is not None  # noqa: S101  # a delete always has one
            messages.success(request, f"{image.name} is being deleted.")
            return redirect("operation-detail", operation_id=operation.pk)
        except AppError as error:
            show_refusal(form, error)
    context = {"section": "images", "image": image, "form": form, **_plan(wish)}
    return render_form(request, "storage/image_delete.html", context)


@form_page
def image_prune(request: PageRequest) -> HttpResponse:
    """Tidy up copies on hosts. What would go, and how much, stands there before."""
    require_admin(request.user)
    form = PruneForm(request.POST or None, initial={"older_than_days": settings.IMAGE_KEEP_DAYS})
    days = form.cleaned_data["older_than_days"] if form.is_valid() else settings.IMAGE_KEEP_DAYS
    wish = partial(services.images_prune, actor=request.user, older_than_days=days)
    if request.POST.get("intent") == "prune" and form.is_valid():
        begun = len(wish().operations)
        messages.success(request, f"{begun} operation{'' if begun == 1 else 's'} begun.")
        return redirect("image-list")
    context = {"section": "images", "form": form, "days": days, **_plan(wish)}
    return render_form(request, "storage/image_prune.html", context)


def _owned(request: PageRequest, image_id: uuid.UUID) -> Image:
    """Raises ``Forbidden`` for one that is only public."""
    with transaction.atomic():
        return image_owned(actor=request.user, image_id=image_id)


def _plan(wish: Callable[[], ImageChange | Pruning]) -> dict[str, Any]:
    """The plan, or why there is none."""
    try:
        return {"plan": preview(wish).plan, "refusal": ""}
    except AppError as error:
        return {"plan": None, "refusal": error.detail}
