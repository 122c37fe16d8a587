"""Agents that report, in the admin."""

from django.contrib import admin

from apps.envelope.admin import ReadOnlyAdmin
from apps.metrics.models import Reporter, TouchedWindow


@admin.register(Reporter)
class ReporterAdmin(ReadOnlyAdmin):
    list_display = ["host", "agent", "last_at", "received_at", "skew_seconds", "foreign_guests", "refused_samples"]
    list_select_related = ["host"]
    search_fields = ["host__name"]


@admin.register(TouchedWindow)
class TouchedWindowAdmin(ReadOnlyAdmin):
    list_display = ["at", "step", "host_id"]
    list_filter = ["step"]
