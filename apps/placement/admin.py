"""Decisions in the admin."""

from django.contrib import admin
from django.http import HttpRequest

from apps.envelope.admin import ReadOnlyAdmin
from apps.placement.models import Placement, PlacementGroup, Policy, PolicyVersion, Reservation


@admin.register(Placement)
class PlacementAdmin(ReadOnlyAdmin):
    list_display = ["consumer_name", "host_name", "policy", "created_at"]
    search_fields = ["consumer_name", "consumer_id", "host_name"]


@admin.register(PlacementGroup)
class PlacementGroupAdmin(ReadOnlyAdmin):
    list_display = ["name", "rule", "owner", "created_at"]
    list_filter = ["rule"]
    list_select_related = ["owner"]
    search_fields = ["name", "owner__username"]


@admin.register(Reservation)
class ReservationAdmin(ReadOnlyAdmin):
    list_display = ["placement", "policy", "group", "expires_at"]
    list_select_related = ["placement", "policy", "group"]
    search_fields = ["placement__consumer_name"]


class PolicyVersionInline(admin.TabularInline[PolicyVersion, Policy]):
    """The history of a policy. Written by the services only."""

    model = PolicyVersion
    can_delete = False
    extra = 0
    readonly_fields = ["number", "author", "created_at", "text"]

    def has_add_permission(self, request: HttpRequest, obj: Policy | None = None) -> bool:
        return False


@admin.register(Policy)
class PolicyAdmin(ReadOnlyAdmin):
    list_display = ["name", "version", "shipped", "description", "updated_at"]
    search_fields = ["name"]
    inlines = [PolicyVersionInline]


@admin.register(PolicyVersion)
class PolicyVersionAdmin(ReadOnlyAdmin):
    list_display = ["policy", "number", "author", "created_at"]
    list_select_related = ["policy"]
