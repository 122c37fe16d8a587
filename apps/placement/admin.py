"""Decisions in the admin."""

from django.contrib import admin

from apps.envelope.admin import ReadOnlyAdmin
from apps.placement.models import Placement


@admin.register(Placement)
class PlacementAdmin(ReadOnlyAdmin):
    list_display = ["consumer_name", "host_name", "policy", "created_at"]
    search_fields = ["consumer_name", "consumer_id", "host_name"]
