"""Paths of networks: pages, and the API below ``/api/v1/``."""

from django.urls import URLPattern, path

from apps.network import api, views

urlpatterns: list[URLPattern] = [
    path("networks/", views.network_list, name="network-list"),
    path("networks/new/", views.network_create, name="network-create"),
    path("networks/<uuid:network_id>/", views.network_detail, name="network-detail"),
    path("networks/<uuid:network_id>/delete/", views.network_delete, name="network-delete"),
]
api_urlpatterns: list[URLPattern] = [
    path("networks/", api.NetworkListView.as_view()),
    path("networks/<uuid:network_id>/", api.NetworkView.as_view()),
]
