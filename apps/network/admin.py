"""Networks and addresses in the admin."""

from django.contrib import admin

from apps.envelope.admin import ReadOnlyAdmin
from apps.network.models import Address, Network


@admin.register(Network)
class NetworkAdmin(ReadOnlyAdmin):
    list_display = ["name", "host", "kind", "cidr", "owner", "shared", "phase", "libvirt_name"]
    list_select_related = ["host", "owner"]
    search_fields = ["name", "cidr", "libvirt_name"]


@admin.register(Address)
class AddressAdmin(ReadOnlyAdmin):
    list_display = ["ip", "mac", "hostname", "network", "consumer_id"]
    search_fields = ["ip", "mac", "hostname", "consumer_id"]
    list_select_related = ["network"]
