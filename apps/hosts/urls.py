"""Paths of hosts: pages, and the API below ``/api/v1/``."""

from django.urls import URLPattern, path

from apps.hosts import api, views

urlpatterns: list[URLPattern] = [
    path("hosts/", views.host_list, name="host-list"),
    path("hosts/new/", views.host_create, name="host-create"),
    path("hosts/<uuid:host_id>/", views.host_detail, name="host-detail"),
    path("hosts/<uuid:host_id>/edit/", views.host_update, name="host-update"),
    path("hosts/<uuid:host_id>/setup/", views.host_setup, name="host-setup"),
    path("hosts/<uuid:host_id>/trust/", views.host_trust, name="host-trust"),
    path("hosts/<uuid:host_id>/enable/", views.host_enable, name="host-enable"),
    path("hosts/<uuid:host_id>/probe/", views.host_probe, name="host-probe"),
    path("hosts/<uuid:host_id>/delete/", views.host_delete, name="host-delete"),
]
api_urlpatterns: list[URLPattern] = [
    path("hosts/", api.HostListView.as_view()),
    path("hosts/<uuid:host_id>/", api.HostView.as_view()),
    path("hosts/<uuid:host_id>/trust/", api.HostTrustView.as_view()),
    path("hosts/<uuid:host_id>/probe/", api.HostProbeView.as_view()),
]
