"""History in the admin."""

from django.contrib import admin

from apps.envelope.admin import ReadOnlyAdmin
from apps.events.models import Event


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ["at", "kind", "target_name", "message", "actor_label"]
    list_filter = ["kind", "target_type"]
    search_fields = ["target_name", "message", "target_id", "request_id"]
