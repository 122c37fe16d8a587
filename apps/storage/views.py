"""Pages of images and of their copies on hosts."""

import uuid

from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import render

from apps.events.selectors import events_on
from apps.operations.models import ACTIVE
from apps.operations.selectors import operations_for
from apps.pages import PageRequest, page, show
from apps.storage.selectors import copies_of, image_for, images_for


@page
def image_list(request: PageRequest) -> HttpResponse:
    """Every image that a VM can start from."""
    images = images_for(actor=request.user).annotate(
        ready_copies=Count("copies", filter=Q(copies__ready=True), distinct=True),
        disks=Count("volumes", distinct=True),
    )
    return render(request, "storage/image_list.html", {"section": "images", "images": images})


@page
def image_detail(request: PageRequest, image_id: uuid.UUID) -> HttpResponse:
    """One image and how far it has come to each host."""
    image = image_for(actor=request.user, image_id=image_id)
    copies = list(copies_of(actor=request.user, image=image))
    sending = operations_for(actor=request.user).filter(target_id__in=[copy.pk for copy in copies], status__in=ACTIVE)
    operations = {operation.target_id: operation for operation in sending}
    context = {
        "section": "images",
        "image": image,
        "copies": [{"copy": copy, "operation": operations.get(copy.pk)} for copy in copies],
        "events": events_on(actor=request.user, target_id=image.pk)[:8],
        "is_live": bool(operations),
    }
    return show(request, "storage/image_detail.html", "storage/image_copies.html", context)
