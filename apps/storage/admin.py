"""Images and disks in the admin."""

from django.contrib import admin

from apps.envelope.admin import ReadOnlyAdmin
from apps.storage.models import Image, ImageCopy, Volume


@admin.register(Image)
class ImageAdmin(ReadOnlyAdmin):
    list_display = ["name", "title", "owner", "public", "status", "architecture", "size_bytes", "created_at"]
    list_filter = ["status", "public"]
    list_select_related = ["owner"]
    search_fields = ["name", "title", "sha256"]


@admin.register(ImageCopy)
class ImageCopyAdmin(ReadOnlyAdmin):
    list_display = ["image", "host", "ready", "sent_bytes", "used_at"]
    list_filter = ["ready", "host"]
    list_select_related = ["image", "host"]


@admin.register(Volume)
class VolumeAdmin(ReadOnlyAdmin):
    list_display = ["id", "kind", "name", "owner", "phase", "host", "image", "size_gib", "created_at"]
    list_filter = ["kind", "phase", "host"]
    search_fields = ["name", "id"]
    list_select_related = ["owner", "host", "image"]
